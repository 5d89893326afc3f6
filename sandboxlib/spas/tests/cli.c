// SPDX-License-Identifier: Apache-2.0
/* A privileged instruction: #GP. */
#include "fault.h"

FAULT("cli")
{
	__asm__ volatile("cli");
}
