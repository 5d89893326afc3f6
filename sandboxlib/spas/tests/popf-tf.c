// SPDX-License-Identifier: Apache-2.0
/* Sets the trap flag: #DB in its own code, and none in what was interrupted. */
#include "fault.h"

FAULT("popf-tf")
{
	__asm__ volatile("sub $128, %%rsp; pushf; orq $0x100, (%%rsp); popf; nop; add $128, %%rsp" : : : "cc", "memory");
}
