/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spa/lz.h - compression of short blocks, in the LZ4 block format.
 *
 * Each block stands alone, as a datagram must. The format is that of
 * lz4_Block_format.md of the LZ4 project, so other programs can read it;
 * the code is our own. No state, no heap.
 */
#ifndef SPA_LZ_H
#define SPA_LZ_H

#include "spa/base.h"

/* Work space of spa_lz_pack(): where the last four bytes of some hash stood. */
#define SPA_LZ_BITS 11
struct spa_lz_table {
	u16 at[1 << SPA_LZ_BITS];
};

#define SPA_LZ_MAX 65535	/* bytes of a block, unpacked */

/*
 * Packs n bytes (at most SPA_LZ_MAX) into out. The length, or 0 when it would
 * be more than `room`; what out then holds means nothing. in and out must not
 * overlap.
 */
u32 spa_lz_pack(const u8 *in, u32 n, u8 *out, u32 room, struct spa_lz_table *t);

/*
 * Unpacks n bytes into out. The length, at most `room`; or -SPA_EPROTO when
 * the block is malformed or holds more. Neither reads nor writes a byte outside
 * in[0..n) and out[0..room), whatever the block says.
 */
s32 spa_lz_unpack(const u8 *in, u32 n, u8 *out, u32 room);

#endif /* SPA_LZ_H */
