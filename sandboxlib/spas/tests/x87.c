// SPDX-License-Identifier: Apache-2.0
/* An x87 instruction without FPU in the manifest: #NM. */
#include "fault.h"

FAULT("x87")
{
	__asm__ volatile("fninit; fld1");
}
