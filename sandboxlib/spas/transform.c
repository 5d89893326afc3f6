// SPDX-License-Identifier: Apache-2.0
/*
 * transform - compresses the payload of each packet, and takes it back.
 *
 * A compressed payload is the original length (16 bits, big-endian) and one
 * block of LZ4; the header's COMPRESSED flag says so. A payload that does not
 * become shorter stays as it is, without the flag. With the parameter `expand` the
 * SPA does the reverse; packets without the flag pass. Each packet stands
 * alone, so loss and reordering on the way do no harm.
 */
#include "spa.h"
#include "spa/lz.h"
#include "spa/stream.h"

SPA_MANIFEST("transform", "1.0");

#define PARAMS(P)								\
	STREAM_NEXT_PARAMS(P)							\
	P(BOOL, expand, 0, "take compression back rather than apply it")	\
	P(U64, least, 64, "payloads shorter than this many bytes are not tried")
SPA_PARAMS(PARAMS);

#define COUNTERS(C)								\
	STREAM_COUNTERS(C)							\
	C(passed)	/* sent as they came */					\
	C(compressed)								\
	C(expanded)								\
	C(incompressible) /* of those passed: tried in vain */			\
	C(bytes_in)	/* of payload, of those compressed or expanded */	\
	C(bytes_out)								\
	C(malformed)	/* dropped: flagged, but no block of that length */
SPA_COUNTERS(COUNTERS);

static struct spa_lz_table table;
static u8 scratch[STREAM_MAX_LEN];

static void replace(struct stream_pkt *p, struct spa_frame *f, u32 len)
{
	SPA_COUNT(bytes_in, p->len);
	SPA_COUNT(bytes_out, len);
	p->h->flags ^= STREAM_COMPRESSED;
	stream_set_len(p, f, len);
	stream_seal(p);
}

static void compress(struct stream_pkt *p, struct spa_frame *f)
{
	u32 n = 0;

	if (p->h->flags & STREAM_COMPRESSED || p->len < SPA_PARAM(least) || p->len < 4 ||
	    p->len > STREAM_MAX_LEN) {
		SPA_COUNT(passed, 1);
		return;
	}
	/* Two bytes of length, and at least one saved. */
	n = spa_lz_pack(p->data, p->len, scratch, p->len - 3, &table);
	if (!n) {
		SPA_COUNT(incompressible, 1);
		SPA_COUNT(passed, 1);
		return;
	}
	spa_put16(p->data, spa_htons((u16)p->len));
	memcpy(p->data + 2, scratch, n);
	replace(p, f, n + 2);
	SPA_COUNT(compressed, 1);
}

static bool expand(struct stream_pkt *p, struct spa_frame *f)
{
	u32 len;

	if (!(p->h->flags & STREAM_COMPRESSED)) {
		SPA_COUNT(passed, 1);
		return true;
	}
	len = p->len < 3 ? 0 : spa_ntohs(spa_get16(p->data));
	if (!len || len > sizeof(scratch) || len + STREAM_FRONT + STREAM_HDR > spa_frame_room(f) ||
	    spa_lz_unpack(p->data + 2, p->len - 2, scratch, len) != (s32)len) {
		SPA_COUNT(malformed, 1);
		return false;
	}
	memcpy(p->data, scratch, len);
	replace(p, f, len);
	SPA_COUNT(expanded, 1);
	return true;
}

void spa_rx(struct spa_batch *b)
{
	struct stream_link next = STREAM_NEXT();
	bool readdress = stream_link_any(&next), back = SPA_PARAM(expand);
	struct spa_frame *f = b->f, *end = f + b->n;
	struct stream_pkt p;

	for (; f != end; f++) {
		if (!STREAM_TAKE(&p, f))
			continue;
		if (!back)
			compress(&p, f);
		else if (!expand(&p, f))
			continue;
		if (readdress)
			stream_redirect(f->data, &next);
		f->verdict = SPA_TX;
	}
}

int spa_init(void)
{
	return 0;
}
