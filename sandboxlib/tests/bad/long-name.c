// SPDX-License-Identifier: Apache-2.0
/* A name of more than 31 bytes: the compiler must refuse it. */
#include "spa.h"

SPA_MANIFEST("a-name-that-is-longer-than-it-may-be", "1.0");

int spa_init(void)
{
	return 0;
}

void spa_rx(struct spa_batch *b)
{
	(void)b;
}
