// SPDX-License-Identifier: Apache-2.0
/* No spa_init(): the linker must name it. */
#include "spa.h"

SPA_MANIFEST("no-init", "1.0");

void spa_rx(struct spa_batch *b)
{
	(void)b;
}
