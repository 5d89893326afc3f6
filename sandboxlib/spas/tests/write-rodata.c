// SPDX-License-Identifier: Apache-2.0
/* Writes to its own constants: #PF, they are r--. */
#include "fault.h"

FAULT("write-rodata")
{
	poke((u64)(uintptr_t)&spa_manifest, 0);
}
