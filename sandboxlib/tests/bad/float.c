// SPDX-License-Identifier: Apache-2.0
/* Floating point: the compiler must refuse it. */
#include "spa.h"

SPA_MANIFEST("float", "1.0");

double factor;

int spa_init(void)
{
	return (int)(factor * 1.5);
}

void spa_rx(struct spa_batch *b)
{
	(void)b;
}
