// SPDX-License-Identifier: Apache-2.0
/* Port I/O: #GP. */
#include "fault.h"

FAULT("outb")
{
	__asm__ volatile("outb %%al, $0x80" : : "a"(0));
}
