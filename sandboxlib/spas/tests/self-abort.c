// SPDX-License-Identifier: Apache-2.0
/* Gives itself up: cause "self", the code (parameter arg, default 0x1234) as the address. */
#include "fault.h"

FAULT("self-abort")
{
	spa_abort(SPA_PARAM(arg) ? SPA_PARAM(arg) : 0x1234);
}
