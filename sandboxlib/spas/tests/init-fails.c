// SPDX-License-Identifier: Apache-2.0
/* spa_init() returns -ENOSPC: the load fails with that error and nothing stays behind. */
#include "spa.h"

SPA_MANIFEST("init-fails", "1.0");

int spa_init(void)
{
	spa_log("init-fails: as it should");
	return -SPA_ENOSPC;
}

void spa_rx(struct spa_batch *b)
{
	(void)b;
}
