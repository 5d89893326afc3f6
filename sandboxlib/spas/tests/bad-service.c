// SPDX-License-Identifier: Apache-2.0
/* A system call that is no service (getppid on Linux, 110): abort, and no call is made. */
#include "fault.h"

FAULT("bad-service")
{
	u64 rax = SPA_PARAM(arg) ? SPA_PARAM(arg) : 110;

	__asm__ volatile("syscall" : "+a"(rax) : : "rcx", "r11", "memory");
}
