// SPDX-License-Identifier: Apache-2.0
/* A constructor: nobody would call it; the linker must refuse its section. */
#include "spa.h"

SPA_MANIFEST("constructor", "1.0");

static int made;

__attribute__((constructor)) static void make(void)
{
	made = 1;
}

int spa_init(void)
{
	return made - 1;
}

void spa_rx(struct spa_batch *b)
{
	(void)b;
}
