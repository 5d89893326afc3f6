// SPDX-License-Identifier: Apache-2.0
/*
 * split - one stream over two links, by weight.
 *
 * Packet number s goes over link 1 when floor((s + 1) * w1 / w) is one more than
 * floor(s * w1 / w), with w = w0 + w1: of any w numbers in a row exactly w1, evenly
 * spread. The choice depends on the number alone, so nothing is
 * remembered, a repeated packet takes the same way as before, and two hosts
 * with the same weights agree. The header's path field says which link it was.
 * `merge` puts the stream together again.
 *
 * Signs of life (BEAT) go where the packet whose number they bear went.
 */
#include "spa.h"
#include "spa/stream.h"

SPA_MANIFEST("split", "1.0");

#define PARAMS(P)								\
	P(U64, weight0, 1, "share of link 0, 0 to 65535")			\
	P(U64, weight1, 1, "share of link 1, 0 to 65535; both 0: all over link 0") \
	P(IPV4, src_ip, 0, "source address of what is sent; 0: as it came")	\
	P(IPV4, ip0, 0, "destination of link 0; 0: as it came")			\
	P(U64, port0, 0, "its UDP port; 0: as it came")				\
	P(MAC, mac0, 0, "its MAC address; 0: as it came")			\
	P(IPV4, ip1, 0, "destination of link 1; 0: as it came")			\
	P(U64, port1, 0, "its UDP port; 0: as it came")				\
	P(MAC, mac1, 0, "its MAC address; 0: as it came")
SPA_PARAMS(PARAMS);

#define COUNTERS(C)								\
	STREAM_COUNTERS(C)							\
	C(packets0)								\
	C(packets1)								\
	C(bytes0)	/* of payload */					\
	C(bytes1)
SPA_COUNTERS(COUNTERS);

static inline u64 weight(u64 w)
{
	return w > 65535 ? 65535 : w;
}

void spa_rx(struct spa_batch *b)
{
	u64 w1 = weight(SPA_PARAM(weight1)), w = weight(SPA_PARAM(weight0)) + w1;
	struct stream_link to[2] = {
		stream_next(SPA_PARAM(src_ip), SPA_PARAM(ip0), SPA_PARAM(port0), SPA_PARAM(mac0)),
		stream_next(SPA_PARAM(src_ip), SPA_PARAM(ip1), SPA_PARAM(port1), SPA_PARAM(mac1)),
	};
	struct spa_frame *f = b->f, *end = f + b->n;
	struct stream_pkt p;

	for (; f != end; f++) {
		u32 path = 0;

		if (!STREAM_TAKE(&p, f))
			continue;
		if (w) {
			u64 s = stream_seq(p.h) % w;

			path = (u32)((s + 1) * w1 / w - s * w1 / w);
		}
		stream_set_path(&p, (u16)path);
		stream_redirect(f->data, &to[path]);
		if (path) {
			SPA_COUNT(packets1, 1);
			SPA_COUNT(bytes1, p.len);
		} else {
			SPA_COUNT(packets0, 1);
			SPA_COUNT(bytes0, p.len);
		}
		f->verdict = SPA_TX;
	}
}

int spa_init(void)
{
	return 0;
}
