// SPDX-License-Identifier: Apache-2.0
/* Ticks in the manifest, but nobody to take them: aborts itself (SPA_ABORT_NO_TICK) in the first. */
#include "spa.h"

SPA_MANIFEST("no-tick", "1.0", .tick_us = 1000);

int spa_init(void)
{
	return 0;
}

void spa_rx(struct spa_batch *b)
{
	(void)b;
}
