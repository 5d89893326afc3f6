// SPDX-License-Identifier: Apache-2.0
/* Fills every general register and returns: the interrupted process must not see any of it. */
#include "fault.h"

FAULT("general-regs")
{
	__asm__ volatile("mov $0x5a5a5a5a5a5a5a5a, %rbx; mov %rbx, %rcx; mov %rbx, %rdx; mov %rbx, %rsi; mov %rbx, %rbp;"
			 "mov %rbx, %r8; mov %rbx, %r9; mov %rbx, %r10; mov %rbx, %r11; mov %rbx, %r12; mov %rbx, %r13;"
			 "mov %rbx, %r14; mov %rbx, %r15; mov %rbx, %rsp; xor %edi, %edi; xor %eax, %eax; syscall");
}
