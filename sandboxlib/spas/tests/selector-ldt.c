// SPDX-License-Identifier: Apache-2.0
/* Loads a selector of the interrupted process LDT: #GP, it has none here. */
#include "fault.h"

FAULT("selector-ldt")
{
	__asm__ volatile("mov %0, %%ds" : : "r"(0x7));
}
