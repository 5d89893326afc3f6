// SPDX-License-Identifier: Apache-2.0
/* Calls code in a frame: #PF, frames are not executable. */
#include "fault.h"

FAULT("exec-umem")
{
	struct spa_frame f;

	if (!spa_frame_alloc(&f))
		return;
	*f.data = 0xc3;	/* ret */
	__asm__ volatile("call *%0" : : "r"(f.data) : "memory");
}
