// SPDX-License-Identifier: Apache-2.0
/* Writes to another sandbox: parameter arg is the address; by default the counters of the next slice. #PF. */
#include "fault.h"

FAULT("neighbour-write")
{
	poke(SPA_PARAM(arg) ? SPA_PARAM(arg) :
	     (u64)(uintptr_t)spa_info() - ULS_OFF_INFO + ULS_SLICE_SIZE + ULS_OFF_COUNTERS, 1);
}
