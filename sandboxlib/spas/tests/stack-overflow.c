// SPDX-License-Identifier: Apache-2.0
/* Recursion without end: #PF in the guard gap. */
#include "fault.h"

#pragma GCC diagnostic ignored "-Winfinite-recursion"

static u64 deeper(u64 n)
{
	volatile u8 page[1024];

	page[0] = (u8)n;
	return deeper(n + 1) + page[0];
}

FAULT("stack-overflow")
{
	deeper(0);
}
