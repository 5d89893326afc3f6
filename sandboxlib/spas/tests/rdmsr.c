// SPDX-License-Identifier: Apache-2.0
/* A model-specific register: #GP. */
#include "fault.h"

FAULT("rdmsr")
{
	u32 lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(0xc0000082));
}
