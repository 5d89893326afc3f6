// SPDX-License-Identifier: Apache-2.0
/*
 * Memory functions, by words where that pays. Built with
 * -fno-tree-loop-distribute-patterns (gcc) and -fno-builtin, or a compiler
 * would turn each loop into a call of the function it stands in.
 */
#include "spa/base.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	u8 *d = dst;
	const u8 *s = src;

	for (; n >= 8; n -= 8, d += 8, s += 8)
		spa_put64(d, spa_get64(s));
	while (n--)
		*d++ = *s++;
	return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
	u8 *d = dst;
	const u8 *s = src;

	/* Each word is read whole before it is written, so ascending order is safe when dst is lower. */
	if ((uintptr_t)d - (uintptr_t)s >= n) {
		for (; n >= 8; n -= 8, d += 8, s += 8)
			spa_put64(d, spa_get64(s));
		while (n--)
			*d++ = *s++;
		return dst;
	}
	for (; n >= 8; n -= 8)
		spa_put64(d + n - 8, spa_get64(s + n - 8));
	while (n--)
		d[n] = s[n];
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	u8 *d = dst;
	u64 word = 0x0101010101010101ULL * (u8)c;

	for (; n >= 8; n -= 8, d += 8)
		spa_put64(d, word);
	while (n--)
		*d++ = (u8)c;
	return dst;
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
