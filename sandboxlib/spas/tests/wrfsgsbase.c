// SPDX-License-Identifier: Apache-2.0
/* Writes FS and GS bases and returns: allowed, but the interrupted process must keep its own. */
#include "fault.h"

FAULT("wrfsgsbase")
{
	__asm__ volatile("wrfsbase %0; wrgsbase %0" : : "r"(0xdead0000ULL));
}
