/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spa/stream.h - the overlay's data header, for SPAs that work on streams.
 *
 * A datagram of a stream is UDP over IPv4; its payload begins with 64 bytes,
 * big-endian, and the rest is the publisher's:
 *
 *	 off size field
 *	  0   1   version		2
 *	  1   1   flags			enum stream_flags
 *	  2   1   drop class		0 keep; the higher, the sooner it may go
 *	  3   1   reserved		0
 *	  4   1   part			the packet's place in its message, from 0
 *	  5   1   last part		the place of the message's last packet
 *	  6   2   reserved		0
 *	  8  16   stream id		random
 *	 24   8   seq			the publisher's number, from 1
 *	 32   8   sent_ns		the publisher's clock
 *	 40   8   sealer		under whose key the payload is sealed
 *	 48   4   epoch			of the stream's key
 *	 52   2   path			which of several parallel paths, else 0
 *	 54   1   hops			travelled; saturates
 *	 55   1   marks			enum stream_marks
 *	 56   4   budget_us		latency budget left; ~0: none
 *	 60   4   elapsed_us		link costs and residence so far; saturates
 *
 * On the overlay the payload is sealed end to end, and the first 52 bytes with
 * it: an SPA that runs where the stream's key is not finds 16 bytes more behind
 * the header than the publisher wrote, may change the last 12 bytes of the header
 * alone, and take the payload out as a whole, with STREAM_THINNED. Where the
 * key is, payloads are in the clear, and are sealed anew behind the SPA.
 *
 * Natively the Ethernet, IPv4 and UDP headers are those of the wire. The
 * portable engine puts 42 bytes of the same shape in front of each datagram
 * and takes them off again, so an SPA need not know where it runs.
 *
 *	struct stream_pkt p;
 *
 *	if (stream_parse(&p, f))
 *		return SPA_DROP;
 *	... p.h, p.data, p.len ...
 *	stream_set_len(&p, f, shorter);
 *
 * An SPA that changes payload or header ends with stream_seal(): a UDP
 * checksum, if the datagram has one, is computed again. stream_parse() has
 * verified it, so damage on the way here is not made to look right.
 */
#ifndef SPA_STREAM_H
#define SPA_STREAM_H

#include "spa.h"

#define STREAM_VERSION 2
#define STREAM_HDR 64
#define STREAM_SEALED_HDR 52	/* of them, what the payload's seal stands for too */
#define STREAM_ROOM 48		/* for what seals: 32 of a session, 16 behind the payload */
#define STREAM_FRONT 42		/* Ethernet, IPv4 without options, UDP */
#define STREAM_MTU 1500		/* of the IPv4 datagram, the most an SPA makes */
#define STREAM_MAX_LEN (STREAM_MTU - 28 - STREAM_ROOM - STREAM_HDR)

enum stream_flags {
	STREAM_KEY = 1,		/* a random access point begins in this packet */
	STREAM_DISCARDABLE = 2,	/* may be dropped without breaking decoding */
	STREAM_COMPRESSED = 4,	/* payload as transform.c makes it */
	STREAM_END = 8,		/* last of the stream */
	STREAM_ALONE = 32,	/* each part of the message is of use without the others */
	STREAM_BEAT = 16,	/* a sign of life: no payload, seq of the last packet */
};

enum stream_marks {
	STREAM_THINNED = 1,	/* the payload was taken out on the way; nothing is behind the header */
};

/* Drop classes as the overlay's publisher gives them. */
enum stream_class {
	STREAM_KEEP = 0,	/* what a decoder needs to start, and what was not understood */
	STREAM_SECONDARY = 1,	/* sound and data beside the pictures */
	STREAM_PREDICTED = 2,	/* pictures that need earlier ones */
	STREAM_DISPOSABLE = 3,	/* what nothing else needs */
	STREAM_STUFFING = 4,
};

#define STREAM_NO_BUDGET 0xffffffffu

struct stream_hdr {
	u8 version;
	u8 flags;
	u8 drop_class;
	u8 reserved;
	u8 part, last_part;
	be16 reserved2;
	u8 id[16];
	u64 seq_be;
	u64 sent_ns_be;
	u64 sealer_be;
	be32 epoch;
	be16 path;
	u8 hops;
	u8 marks;
	be32 budget_us;
	be32 elapsed_us;
} SPA_PACKED;
_Static_assert(sizeof(struct stream_hdr) == STREAM_HDR, "the data header");
_Static_assert(__builtin_offsetof(struct stream_hdr, path) == STREAM_SEALED_HDR, "the sealer's part of it");

struct stream_pkt {
	struct spa_ip4 *ip;
	struct spa_udp *udp;
	struct stream_hdr *h;
	u8 *data;		/* the publisher's bytes */
	u32 len;		/* of them */
};

static inline u64 stream_seq(const struct stream_hdr *h) { return spa_bswap64(h->seq_be); }
static inline u64 stream_sent_ns(const struct stream_hdr *h) { return spa_bswap64(h->sent_ns_be); }
static inline u64 stream_sealer(const struct stream_hdr *h) { return spa_bswap64(h->sealer_be); }
static inline u32 stream_epoch(const struct stream_hdr *h) { return spa_ntohl(h->epoch); }
static inline u32 stream_budget_us(const struct stream_hdr *h) { return spa_ntohl(h->budget_us); }
static inline u32 stream_elapsed_us(const struct stream_hdr *h) { return spa_ntohl(h->elapsed_us); }

/*
 * A key for spa_table from a stream id; never 0. Two ids may share a key
 * though `seed` is unknown to senders: compare the ids.
 */
static inline u64 stream_key(const struct stream_hdr *h, u64 seed)
{
	u64 k = spa_hash64(spa_get64(h->id), seed) ^ spa_get64(h->id + 8);

	return k ? k : 1;
}

static inline bool stream_same(const u8 *a, const u8 *b)
{
	return spa_get64(a) == spa_get64(b) && spa_get64(a + 8) == spa_get64(b + 8);
}

enum stream_err {
	STREAM_OK = 0,
	STREAM_FOREIGN,		/* no UDP over IPv4, or a fragment, options, a VLAN tag */
	STREAM_BROKEN,		/* lengths disagree, a checksum is wrong */
	STREAM_UNKNOWN,		/* another version, seq 0, reserved bits set, a part behind the last */
};

/*
 * Takes a frame apart. All of [h, data + len) lies inside the frame, IPv4's
 * checksum is right, and UDP's, where there is one. Padding behind the
 * datagram is cut from the frame. On an error p holds nothing.
 */
enum stream_err stream_parse(struct stream_pkt *p, struct spa_frame *f);

/*
 * The same with a count of what is no stream: the SPA's COUNTERS begin with
 * STREAM_COUNTERS(C). False: drop it.
 */
#define STREAM_COUNTERS(C)							\
	C(foreign)	/* dropped: no UDP over IPv4 */				\
	C(broken)	/* dropped: lengths or checksums */			\
	C(unknown)	/* dropped: no data header this version knows */

#define STREAM_TAKE(p, f) \
	stream_counted(stream_parse(p, f), &spa_counters->v[SPA__COUNTER_foreign])

static inline bool stream_counted(enum stream_err e, u64 *counters)
{
	if (spa_unlikely(e))
		counters[e - 1]++;
	return !e;
}

/* As stream_parse(), for a frame that was parsed before and kept. */
static inline void stream_again(struct stream_pkt *p, const struct spa_frame *f)
{
	p->ip = (void *)(f->data + 14);
	p->udp = (void *)(f->data + 34);
	p->h = (void *)(f->data + STREAM_FRONT);
	p->data = f->data + STREAM_FRONT + STREAM_HDR;
	p->len = f->len - STREAM_FRONT - STREAM_HDR;
}

/*
 * The payload's new length, at most spa_frame_room() of p->data and
 * STREAM_MAX_LEN. Lengths of UDP and IPv4 and the IPv4 checksum follow.
 */
void stream_set_len(struct stream_pkt *p, struct spa_frame *f, u32 len);

/* To be called after the last change between UDP header and end of payload. */
void stream_seal(struct stream_pkt *p);

/* The path field; the UDP checksum follows. */
static inline void stream_set_path(struct stream_pkt *p, u16 path)
{
	be16 v = spa_htons(path);

	p->udp->check = spa_udp_csum_apply(p->udp->check, spa_csum_delta16(p->h->path, v));
	p->h->path = v;
}

/*
 * Adds the time a packet stayed in an SPA to elapsed_us and takes it from the
 * budget; the one saturates, the other stops at 0, STREAM_NO_BUDGET stays. The
 * UDP checksum follows.
 */
void stream_spend(struct stream_pkt *p, u64 us);

/* Where a datagram goes next; fields that are 0 stay as they are. Network order. */
struct stream_link {
	be32 src_ip, dst_ip;
	be16 src_port, dst_port;
	u8 dst_mac[6];
	u8 src_mac[6];
};

/* Rewrites addresses and ports; the checksums follow incrementally. */
void stream_redirect(u8 *frame, const struct stream_link *to);

/*
 * The next hop as parameters, first in an SPA's list, for hosts where nothing
 * behind the SPA routes: SPA_PARAMS of STREAM_NEXT_PARAMS(P) and its own, then
 * STREAM_NEXT() is the link as it is set. All 0, the default: frames leave
 * with the addresses they came with.
 */
#define STREAM_NEXT_PARAMS(P)								\
	P(IPV4, next_src_ip, 0, "source address of what is sent; 0: as it came")	\
	P(IPV4, next_ip, 0, "destination address of what is sent; 0: as it came")	\
	P(U64, next_port, 0, "its UDP port; 0: as it came")				\
	P(MAC, next_mac, 0, "its MAC address; 0: as it came")

#define STREAM_NEXT() stream_next(SPA_PARAM(next_src_ip), SPA_PARAM(next_ip),		\
				  SPA_PARAM(next_port), SPA_PARAM(next_mac))

/* A link from values of parameters; with a MAC address the port's own becomes the source. */
struct stream_link stream_next(u64 src_ip, u64 ip, u64 port, u64 mac);

static inline bool stream_link_any(const struct stream_link *l)
{
	return l->src_ip | l->dst_ip | l->src_port | l->dst_port || !spa_mac_is_zero(l->dst_mac);
}

/*
 * What an SPA remembers of each stream: a table of the SPA's own structures,
 * which begin with struct stream_state. At most `max` at once; when it is full,
 * streams unheard of for 10 s make room (looked for once a second at most), so
 * senders of random ids cost no more than that. A stream that comes back after
 * so long a silence is a new one.
 */
struct stream_state {
	u64 key;
	u8 id[16];
	u64 used_ns;		/* spa_now() of the last packet */
};

struct stream_states {
	struct spa_table t;
	u64 seed, swept_ns;
	u32 max;
	void (*drop)(void *state);	/* before one is forgotten; NULL: nothing to do */
};

#define STREAM_IDLE_NS 10000000000ULL

/* 0 or -SPA_ENOMEM. Needs about 2.7 * max * size bytes of heap, size rounded up to a power of two. */
int stream_states_init(struct stream_states *s, size_t size, u32 max);

/*
 * The state of a packet's stream, made (zero) when new. NULL: no room. Holds
 * until the next call.
 */
void *stream_states_get(struct stream_states *s, const struct stream_hdr *h);

/* Forgets up to 16 idle streams, full or not; true when there was one. For a tick. */
bool stream_states_sweep(struct stream_states *s, u64 now);

/*
 * Which of the last STREAM_WINDOW numbers up to the highest have been seen:
 * loss, duplicates and reordering of one stream in 144 bytes, in constant
 * time but for jumps, which cost one step per 64 numbers, at most 16.
 */
#define STREAM_WINDOW 1024

struct stream_seen {
	u64 top;		/* highest number; 0: none yet */
	u64 first;		/* lowest number that counts as expected */
	u64 bits[STREAM_WINDOW / 64];
};

enum stream_order {
	STREAM_NEXT,		/* one above the highest, or the very first */
	STREAM_AHEAD,		/* above that: *gap numbers are missing for now */
	STREAM_BEHIND,		/* below the highest, and missing until now */
	STREAM_AGAIN,		/* seen before */
	STREAM_OLD,		/* below the window: it cannot be told */
};

/* *gap: how many numbers between the highest before and this one were skipped. */
enum stream_order stream_see(struct stream_seen *s, u64 seq, u64 *gap);

#endif /* SPA_STREAM_H */
