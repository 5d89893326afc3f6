// SPDX-License-Identifier: Apache-2.0
/* A system call with a stack pointer into the kernel: the kernel must not use it. The call is CLOCK, so the SPA lives. */
#include "fault.h"

FAULT("bad-stack")
{
	u64 rax = ULS_SYS_CLOCK, sp;

	__asm__ volatile("mov %%rsp, %1; mov $-8, %%rsp; syscall; mov %1, %%rsp" : "+a"(rax), "=&r"(sp) : : "rcx", "r11", "memory");
}
