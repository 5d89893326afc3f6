// SPDX-License-Identifier: Apache-2.0
/* Never returns, and tries popf with IF clear first, which user level cannot: cut off by the budget. */
#include "fault.h"

FAULT("hang-irq-off-try")
{
	__asm__ volatile("sub $128, %%rsp; pushf; andq $~0x200, (%%rsp); popf; add $128, %%rsp" : : : "cc", "memory");
	for (;;)
		__asm__ volatile("pause");
}
