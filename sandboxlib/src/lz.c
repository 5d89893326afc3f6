// SPDX-License-Identifier: Apache-2.0
/*
 * The LZ4 block format (spa/lz.h). A block is a row of sequences:
 *
 *	token		high nibble: literals, low nibble: match length - 4
 *	[255...] n	more of the literals' number, when the nibble is 15
 *	literals
 *	offset		16 bits, little-endian, from 1
 *	[255...] n	more of the match's length, when the nibble is 15
 *
 * The last has literals only. Its last 5 bytes are literals, and no match
 * begins in the last 12.
 */
#include "lib.h"
#include "spa/lz.h"

#define MIN_MATCH 4
#define LAST_LITERALS 5
#define NO_MATCH_IN 12

static inline u32 slot(u32 four)
{
	return four * 2654435761u >> (32 - SPA_LZ_BITS);
}

/* Writes a number's bytes beyond a nibble of 15. */
static inline u8 *put_more(u8 *o, u32 n)
{
	for (; n >= 255; n -= 255)
		*o++ = 255;
	*o++ = (u8)n;
	return o;
}

/* Bytes put_more() writes for a number, its nibble considered. */
static inline u32 more(u32 n)
{
	return n < 15 ? 0 : (n - 15) / 255 + 1;
}

/* One sequence; match 0: the last, without one. NULL: no room. */
static u8 *put_sequence(u8 *o, const u8 *end, const u8 *lit, u32 literals, u32 offset, u32 match)
{
	u32 m = match ? match - MIN_MATCH : 0;

	if (1 + more(literals) + literals + (match ? 2 + more(m) : 0) > (u32)(end - o))
		return NULL;
	*o++ = (u8)((literals < 15 ? literals : 15) << 4 | (m < 15 ? m : 15));
	if (literals >= 15)
		o = put_more(o, literals - 15);
	memcpy(o, lit, literals);
	o += literals;
	if (!match)
		return o;
	*o++ = (u8)offset;
	*o++ = (u8)(offset >> 8);
	if (m >= 15)
		o = put_more(o, m - 15);
	return o;
}

/* How many bytes are equal from a and b on; b is the later and ends at end. */
static inline u32 common(const u8 *a, const u8 *b, const u8 *end)
{
	const u8 *from = b;

	while (end - b >= 8) {
		u64 x = spa_get64(a) ^ spa_get64(b);

		if (x)
			return (u32)(b - from) + (u32)__builtin_ctzll(x) / 8;
		a += 8;
		b += 8;
	}
	while (b < end && *a == *b) {
		a++;
		b++;
	}
	return (u32)(b - from);
}

u32 spa_lz_pack(const u8 *in, u32 n, u8 *out, u32 room, struct spa_lz_table *t)
{
	const u8 *end = in + n, *lit = in;
	u8 *o = out, *oend = out + room;
	u32 i = 1, misses = 0;

	if (n > SPA_LZ_MAX)
		return 0;
	/* Place 0 means "none" or the block's first bytes: a comparison tells. */
	memset(t, 0, sizeof(*t));
	while (n > NO_MATCH_IN && i < n - NO_MATCH_IN) {
		u32 four = spa_get32(in + i), at, len;
		u16 *s = &t->at[slot(four)];

		at = *s;
		*s = (u16)i;
		if (spa_get32(in + at) != four) {
			/* The longer nothing is found, the longer the steps. */
			i += 1 + (misses++ >> 5);
			continue;
		}
		misses = 0;
		len = MIN_MATCH + common(in + at + MIN_MATCH, in + i + MIN_MATCH, end - LAST_LITERALS);
		/* It may have begun earlier. */
		while (in + i > lit && at && in[at - 1] == in[i - 1]) {
			at--;
			i--;
			len++;
		}
		o = put_sequence(o, oend, lit, (u32)(in + i - lit), i - at, len);
		if (!o)
			return 0;
		i += len;
		lit = in + i;
		if (i < n - NO_MATCH_IN)
			t->at[slot(spa_get32(in + i - 2))] = (u16)(i - 2);
	}
	o = put_sequence(o, oend, lit, (u32)(end - lit), 0, 0);
	return o ? (u32)(o - out) : 0;
}

/* Adds what follows a nibble of 15. False: the block ends, or the number is beyond any block. */
static inline bool get_more(const u8 **p, const u8 *end, u32 *n)
{
	u8 b;

	do {
		if (*p == end || *n > SPA_LZ_MAX)
			return false;
		b = *(*p)++;
		*n += b;
	} while (b == 255);
	return true;
}

s32 spa_lz_unpack(const u8 *in, u32 n, u8 *out, u32 room)
{
	const u8 *p = in, *end = in + n;
	u8 *o = out, *oend = out + room;

	for (;;) {
		u32 literals, match, offset;
		const u8 *from;
		u8 token;

		if (p == end)
			return -SPA_EPROTO;	/* a block ends behind literals */
		token = *p++;
		literals = token >> 4;
		if (literals == 15 && !get_more(&p, end, &literals))
			return -SPA_EPROTO;
		if (literals > (u32)(end - p) || literals > (u32)(oend - o))
			return -SPA_EPROTO;
		memcpy(o, p, literals);
		o += literals;
		p += literals;
		if (p == end)
			return token & 15 ? -SPA_EPROTO : (s32)(o - out);
		if (end - p < 2)
			return -SPA_EPROTO;
		offset = p[0] | (u32)p[1] << 8;
		p += 2;
		match = token & 15;
		if (match == 15 && !get_more(&p, end, &match))
			return -SPA_EPROTO;
		match += MIN_MATCH;
		if (!offset || offset > (u32)(o - out) || match > (u32)(oend - o))
			return -SPA_EPROTO;
		from = o - offset;
		if (offset >= match) {
			memcpy(o, from, match);
			o += match;
		} else {
			while (match--)
				*o++ = *from++;	/* what it writes it may read again */
		}
	}
}
