// SPDX-License-Identifier: Apache-2.0
/* An SSE instruction without FPU in the manifest: #NM. */
#include "fault.h"

FAULT("sse")
{
	__asm__ volatile("pxor %xmm0, %xmm0");
}
