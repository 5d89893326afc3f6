// SPDX-License-Identifier: Apache-2.0
/* Calls a function of libc: the linker must name it. */
#include "spa.h"

SPA_MANIFEST("libc", "1.0");

int puts(const char *s);

int spa_init(void)
{
	return puts("no libc here");
}

void spa_rx(struct spa_batch *b)
{
	(void)b;
}
