// SPDX-License-Identifier: Apache-2.0
/* Writes to its own text: #PF, text is r-x. */
#include "fault.h"

FAULT("write-text")
{
	poke((u64)(uintptr_t)&spa_init, 0);
}
