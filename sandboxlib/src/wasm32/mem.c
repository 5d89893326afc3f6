// SPDX-License-Identifier: Apache-2.0
/*
 * Memory functions, for an engine that has them as instructions: with
 * -mbulk-memory the builtins below become memory.copy and memory.fill, which
 * do not count against the budget byte by byte.
 */
#include "spa/base.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	return __builtin_memmove(dst, src, n);
}

void *memmove(void *dst, const void *src, size_t n)
{
	return __builtin_memmove(dst, src, n);
}

void *memset(void *dst, int c, size_t n)
{
	return __builtin_memset(dst, c, n);
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *p = a, *q = b;

	for (; n >= 8 && spa_get64(p) == spa_get64(q); n -= 8) {
		p += 8;
		q += 8;
	}
	for (; n--; p++, q++)
		if (*p != *q)
			return *p - *q;
	return 0;
}

size_t strlen(const char *s)
{
	const char *p = s;

	while (*p)
		p++;
	return (size_t)(p - s);
}
