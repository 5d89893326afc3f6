// SPDX-License-Identifier: Apache-2.0
/* A load of the page-table root: #GP. */
#include "fault.h"

FAULT("wrcr3")
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(0ULL) : "memory");
}
