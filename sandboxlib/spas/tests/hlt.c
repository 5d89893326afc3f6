// SPDX-License-Identifier: Apache-2.0
/* Another privileged instruction: #GP. */
#include "fault.h"

FAULT("hlt")
{
	__asm__ volatile("hlt");
}
