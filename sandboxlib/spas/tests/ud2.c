// SPDX-License-Identifier: Apache-2.0
/* An undefined instruction: #UD. */
#include "fault.h"

FAULT("ud2")
{
	__asm__ volatile("ud2");
}
