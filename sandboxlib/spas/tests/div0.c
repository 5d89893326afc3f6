// SPDX-License-Identifier: Apache-2.0
/* Division by zero: #DE. */
#include "fault.h"

FAULT("div0")
{
	u64 a = 1, d = 0, b = 0;

	__asm__ volatile("div %2" : "+a"(a), "+d"(d) : "r"(b) : "cc");
}
