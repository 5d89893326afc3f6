// SPDX-License-Identifier: Apache-2.0
/* Writes address 0: #PF. */
#include "fault.h"

FAULT("null-write")
{
	poke(0, 1);
}
