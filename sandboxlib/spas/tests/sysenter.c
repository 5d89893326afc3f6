// SPDX-License-Identifier: Apache-2.0
/* The other 32-bit entry: abort, and no call is made. */
#include "fault.h"

FAULT("sysenter")
{
	u64 rax = 20;

	__asm__ volatile("sysenter" : "+a"(rax) : : "rcx", "rdx", "memory");
}
