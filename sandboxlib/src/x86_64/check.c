// SPDX-License-Identifier: Apache-2.0
/*
 * The numbers that start.S repeats, held against the ABI header: assembly
 * cannot include it.
 */
#include "spa/base.h"

_Static_assert(ULS_UP_NOP == 5, "start.S");
_Static_assert(ULS_SYS_RETURN == 0 && ULS_SYS_CLOCK == 1 && ULS_SYS_BUDGET == 2, "start.S");
_Static_assert(ULS_SYS_CPU == 3 && ULS_SYS_ABORT == 4, "start.S");
