// SPDX-License-Identifier: Apache-2.0
/* Writes to struct uls_info: #PF, the kernel alone writes it. */
#include "fault.h"

FAULT("write-info")
{
	poke((u64)(uintptr_t)spa_info(), 0);
}
