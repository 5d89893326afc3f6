// SPDX-License-Identifier: Apache-2.0
/* A breakpoint: #BP. */
#include "fault.h"

FAULT("int3")
{
	__asm__ volatile("int3");
}
