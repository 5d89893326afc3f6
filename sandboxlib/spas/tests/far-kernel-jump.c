// SPDX-License-Identifier: Apache-2.0
/* Jumps into kernel text (parameter arg): #PF on the instruction fetch. */
#include "fault.h"

#undef FAULT_ARG
#define FAULT_ARG 0xffffffff81000000ULL
FAULT("far-kernel-jump")
{
	__asm__ volatile("jmp *%0" : : "r"(SPA_PARAM(arg)));
}
