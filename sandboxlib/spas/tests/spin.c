// SPDX-License-Identifier: Apache-2.0
/* Never returns: cut off by the budget. */
#include "fault.h"

FAULT("spin")
{
	for (;;)
		pause_cpu();
}
