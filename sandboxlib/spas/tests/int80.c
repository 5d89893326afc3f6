// SPDX-License-Identifier: Apache-2.0
/* The 32-bit system call gate: #GP or abort, and no call is made (getpid, 20). */
#include "fault.h"

FAULT("int80")
{
	u64 rax = 20;

	__asm__ volatile("int $0x80" : "+a"(rax) : : "memory");
}
