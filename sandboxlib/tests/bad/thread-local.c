// SPDX-License-Identifier: Apache-2.0
/* A thread-local variable: there is no thread; the linker or check-spa must refuse it. */
#include "spa.h"

SPA_MANIFEST("thread-local", "1.0");

_Thread_local int mine;

int spa_init(void)
{
	return mine++;
}

void spa_rx(struct spa_batch *b)
{
	(void)b;
}
