// SPDX-License-Identifier: Apache-2.0
/*
 * monitor - measures streams in passing, and changes nothing.
 *
 * Counters of the sum of all streams, and of each of the first four (a place
 * becomes free when its stream is silent for 10 s):
 *
 *	sN_id		first 8 bytes of the stream's id; 0: the place is free
 *	sN_packets	without duplicates
 *	sN_bytes	of payload, without duplicates
 *	sN_lost		numbers between the first and the highest that are missing now
 *	sN_behind	came behind a higher number
 *	sN_again	duplicates
 *	sN_rate		bits of payload per second, over the last second
 *	sN_delay_us	elapsed_us of the header, smoothed (1/16)
 *	sN_delay_max_us	its greatest value
 *	sN_jitter_us	of the delay, as in RFC 3550, 6.4.1: publisher's clock against
 *			ours, whose offset drops out
 *	sN_spent	packets whose latency budget was used up on arrival
 */
#include "spa.h"
#include "spa/stream.h"

SPA_MANIFEST("monitor", "1.0", .heap = 256 << 10, .tick_us = 100000);

#define PARAMS(P) STREAM_NEXT_PARAMS(P)
SPA_PARAMS(PARAMS);

#define PLACE(C, s)								\
	C(s##_id) C(s##_packets) C(s##_bytes) C(s##_lost) C(s##_behind) C(s##_again)	\
	C(s##_rate) C(s##_delay_us) C(s##_delay_max_us) C(s##_jitter_us) C(s##_spent)
enum { ID, PACKETS, BYTES, LOST, BEHIND, AGAIN, RATE, DELAY, DELAY_MAX, JITTER, SPENT, VALUES };

#define COUNTERS(C)								\
	STREAM_COUNTERS(C)							\
	C(packets)								\
	C(bytes)								\
	C(beats)								\
	C(streams)	/* known now */						\
	C(no_state)	/* packets of streams for which there was no room */	\
	C(restarts)	/* times a stream's numbering began anew */		\
	PLACE(C, s0) PLACE(C, s1) PLACE(C, s2) PLACE(C, s3)
SPA_COUNTERS(COUNTERS);

#define PLACES 4
#define STREAMS 64
#define FAR (1u << 20)	/* a jump of so many numbers is a new beginning */
#define SECOND 1000000000ULL

struct watch {
	struct stream_state s;
	struct stream_seen seen;
	u64 unique;		/* since the numbering began */
	u64 window_ns, window_bytes;
	u64 delay16, jitter16;	/* us, times 16 */
	u64 transit;		/* ns, of the packet before */
	u32 place;		/* 1 to PLACES; 0: none */
	bool timed;		/* transit holds something */
};

static struct stream_states streams;
static bool taken[PLACES + 1];

static inline u64 *values(u32 place)
{
	return &spa_counters->v[SPA__COUNTER_s0_id + (place - 1) * VALUES];
}

static void settle(struct watch *w)
{
	u32 i;

	for (i = 1; i <= PLACES && taken[i]; i++)
		;
	if (i > PLACES)
		return;
	taken[i] = true;
	w->place = i;
	values(i)[ID] = spa_bswap64(spa_get64(w->s.id));
}

static void leave(void *state)
{
	struct watch *w = state;

	SPA_COUNT(streams, -1);
	if (!w->place)
		return;
	memset(values(w->place), 0, VALUES * sizeof(u64));
	taken[w->place] = false;
}

/* Numbers. True for a duplicate. */
static bool number(struct watch *w, u64 seq, u64 *v)
{
	u64 top = w->seen.top, gap;

	if (top && (seq > top ? seq - top : top - seq) >= FAR) {
		SPA_COUNT(restarts, 1);
		memset(&w->seen, 0, sizeof(w->seen));
		w->unique = 0;
		w->timed = false;
	}
	switch (stream_see(&w->seen, seq, &gap)) {
	case STREAM_AGAIN:
	case STREAM_OLD:	/* most likely a duplicate, and counting it as missing no more could go below 0 */
		v[AGAIN]++;
		return true;
	case STREAM_BEHIND:
		v[BEHIND]++;
		if (seq < w->seen.first)
			w->seen.first = seq;
		break;
	default:
		break;
	}
	w->unique++;
	v[LOST] = w->seen.top - w->seen.first + 1 - w->unique;
	return false;
}

static void timing(struct watch *w, const struct stream_hdr *h, u64 now, u64 *v)
{
	u64 elapsed = stream_elapsed_us(h);
	/* Two clocks: any difference there is, modulo 2^64. */
	u64 transit = now - stream_sent_ns(h);
	s64 d = (s64)(transit - w->transit);

	if (w->timed) {
		/* A publisher's clock that was set must not spoil the mean for ever. */
		u64 us = (u64)(d < 0 ? -(u64)d : (u64)d) / 1000;

		us = us > 60000000 ? 60000000 : us;
		w->jitter16 += us - w->jitter16 / 16;
		w->delay16 += elapsed - w->delay16 / 16;
	} else {
		w->delay16 = elapsed * 16;
	}
	w->timed = true;
	w->transit = transit;
	v[DELAY] = w->delay16 / 16;
	v[JITTER] = w->jitter16 / 16;
	if (elapsed > v[DELAY_MAX])
		v[DELAY_MAX] = elapsed;
	v[SPENT] += !h->budget_us;
}

static void watch(const struct stream_pkt *p, u64 now)
{
	struct watch *w = stream_states_get(&streams, p->h);
	u64 none[VALUES] = { 0 }, *v = none;

	if (!w) {
		SPA_COUNT(no_state, 1);
		return;
	}
	if (!w->window_ns) {
		SPA_COUNT(streams, 1);
		w->window_ns = now;
	}
	if (spa_unlikely(!w->place))
		settle(w);
	if (w->place)
		v = values(w->place);
	if (number(w, stream_seq(p->h), v))
		return;
	v[PACKETS]++;
	v[BYTES] += p->len;
	w->window_bytes += p->len;
	timing(w, p->h, now, v);
}

void spa_rx(struct spa_batch *b)
{
	struct stream_link next = STREAM_NEXT();
	bool readdress = stream_link_any(&next);
	struct spa_frame *f = b->f, *end = f + b->n;
	u64 now = spa_now();
	struct stream_pkt p;

	for (; f != end; f++) {
		if (!STREAM_TAKE(&p, f))
			continue;
		if (p.h->flags & STREAM_BEAT) {
			SPA_COUNT(beats, 1);
		} else {
			SPA_COUNT(packets, 1);
			SPA_COUNT(bytes, p.len);
			watch(&p, now);
		}
		if (readdress)
			stream_redirect(f->data, &next);
		f->verdict = SPA_TX;
	}
}

void spa_tick(u64 now)
{
	struct watch *w;

	stream_states_sweep(&streams, now);
	for (w = NULL; (w = spa_table_next(&streams.t, w));) {
		u64 ns = now - w->window_ns;

		if (now < w->window_ns || ns < SECOND)
			continue;
		if (w->place)
			values(w->place)[RATE] = w->window_bytes * 8 * 1000000 / (ns / 1000);
		w->window_bytes = 0;
		w->window_ns = now;
	}
}

int spa_init(void)
{
	streams.drop = leave;
	return stream_states_init(&streams, sizeof(struct watch), STREAMS);
}
