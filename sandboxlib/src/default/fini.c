// SPDX-License-Identifier: Apache-2.0
/* In place of a missing spa_fini(): right for every SPA that never says SPA_KEEP. */
#include "../lib.h"

void spa_fini(void)
{
}
