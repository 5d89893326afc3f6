// SPDX-License-Identifier: Apache-2.0
/* Sets DF, AC and NT and returns: allowed, but the interrupted process must not see any of it. */
#include "fault.h"

FAULT("popf-leak")
{
	__asm__ volatile("pushf; orq $0x44400, (%%rsp); popf" : : : "cc", "memory");
	/* Straight out: C code must not run with DF set. */
	__asm__ volatile("xor %edi, %edi; xor %eax, %eax; syscall");
}
