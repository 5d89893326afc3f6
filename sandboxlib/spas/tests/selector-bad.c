// SPDX-License-Identifier: Apache-2.0
/* Loads a selector outside the descriptor table: #GP. */
#include "fault.h"

FAULT("selector-bad")
{
	__asm__ volatile("mov %0, %%ds" : : "r"(0xfff3));
}
