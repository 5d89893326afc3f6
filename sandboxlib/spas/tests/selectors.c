// SPDX-License-Identifier: Apache-2.0
/* Loads the data segment registers and returns: allowed, but the interrupted process must keep its own. */
#include "fault.h"

FAULT("selectors")
{
	/* 0x2b: user data; 0: the null selector. FS and GS bases go with them. */
	__asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs; mov %1, %%gs" : : "r"(0x2b), "r"(0));
}
