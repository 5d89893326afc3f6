// SPDX-License-Identifier: Apache-2.0
/*
 * relocs - pointers in constants and in data, which only relocation makes
 * right. spa_init() follows each; -71 (EPROTO) means the loader got one wrong.
 */
#include "spa.h"

SPA_MANIFEST("relocs", "1.0");

static int one(void) { return 1; }
static int two(void) { return 2; }
static int (*const constant[])(void) = { one, two };
static int (*variable[])(void) = { two, one };
static const char *const words[] = { "one", "two" };
static int target = 3;
static int *pointer = &target;
static int **volatile pointer_to_pointer = &pointer;

int spa_init(void)
{
	volatile unsigned int zero = 0;

	if (constant[zero]() != 1 || constant[zero + 1]() != 2 || variable[zero]() != 2 ||
	    variable[zero + 1]() != 1 || words[zero + 1][0] != 't' || **pointer_to_pointer != 3)
		return -SPA_EPROTO;
	variable[zero] = one;
	return variable[zero]() == 1 ? 0 : -SPA_EPROTO;
}

static inline enum spa_verdict bounce(struct spa_frame *f)
{
	(void)f;
	return SPA_TX;
}
SPA_PER_FRAME(bounce)
