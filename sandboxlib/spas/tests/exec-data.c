// SPDX-License-Identifier: Apache-2.0
/* Calls code in its own data: #PF, data is not executable. */
#include "fault.h"

static u8 code[] = { 0xc3 };	/* ret */

FAULT("exec-data")
{
	__asm__ volatile("call *%0" : : "r"(code) : "memory");
}
