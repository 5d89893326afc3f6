// SPDX-License-Identifier: Apache-2.0
/*
 * merge - puts a stream that came over several paths in order, each packet once.
 *
 * The next number in order goes on at once, with those behind it that wait. A
 * packet ahead of its turn waits until the gap is filled, for `delay_us` at
 * most, and while it is within WINDOW numbers; then the gap is given up, and what
 * still comes of it is dropped as late, so that the receiver never sees a packet
 * behind its turn, nor one twice. The time spent waiting is added to the header's
 * elapsed_us and taken from its budget.
 *
 * A number far from all others (65536 and more) is believed when the one
 * that follows it comes next: then the publisher began anew. Signs of life
 * (BEAT) pass as they come.
 *
 * A stream first heard of with a number up to WINDOW begins at 1; else there.
 */
#include "spa.h"
#include "spa/stream.h"

SPA_MANIFEST("merge", "1.0", .heap = 512 << 10, .tick_us = 1000);

#define PARAMS(P)								\
	STREAM_NEXT_PARAMS(P)							\
	P(U64, delay_us, 20000, "the longest a packet waits for those before it") \
	P(U64, hold, 256, "the most packets that wait, of all streams")
SPA_PARAMS(PARAMS);

#define COUNTERS(C)								\
	STREAM_COUNTERS(C)							\
	C(in_order)	/* sent on, when they came or after waiting */		\
	C(waited)	/* of these: after waiting */				\
	C(wait_us)	/* their waiting, added up */				\
	C(waiting)	/* now */						\
	C(duplicate)	/* dropped: came before */				\
	C(late)		/* dropped: given up by then */				\
	C(lost)		/* numbers given up */					\
	C(wild)		/* dropped: far from all others */			\
	C(restarts)	/* times a stream began anew */				\
	C(beats)								\
	C(no_state)	/* passed as they came: no room for another stream */
SPA_COUNTERS(COUNTERS);

#define WINDOW 128
#define FAR 65536
#define STREAMS 32

struct slot {
	struct spa_frame f;
	u64 at_ns;
	u64 seq;	/* 0: free */
};

struct merge {
	struct stream_state s;
	struct stream_seen seen;
	u64 next;	/* the number whose turn it is; 0: none yet */
	u64 wild;
	u32 held;
	struct slot *slots;	/* [WINDOW], by seq */
};

static struct stream_states streams;
static u64 held_all;
static struct stream_link next_hop;

static inline struct slot *slot(const struct merge *m, u64 seq)
{
	return &m->slots[seq % WINDOW];
}

static void pass(const struct spa_frame *f, u64 waited_ns)
{
	struct stream_pkt p;

	stream_again(&p, f);
	if (waited_ns) {
		SPA_COUNT(waited, 1);
		SPA_COUNT(wait_us, waited_ns / 1000);
		stream_spend(&p, waited_ns / 1000);
	}
	if (stream_link_any(&next_hop))
		stream_redirect(f->data, &next_hop);
	SPA_COUNT(in_order, 1);
	if (!spa_send(f)) {
		spa_counters->v[SPA_LIB_tx_full]++;
		spa_frame_free(f);
	}
}

/* Sends what waits and whose turn it is. */
static void run(struct merge *m, u64 now)
{
	while (m->held) {
		struct slot *s = slot(m, m->next);

		if (s->seq != m->next)
			return;
		s->seq = 0;
		m->held--;
		held_all--;
		m->next++;
		/* At least 1: it did wait, though the clock may not have moved. */
		pass(&s->f, now > s->at_ns ? now - s->at_ns : 1);
	}
}

/* The turn goes to `seq`, or on to the first that waits before it. Something waits, or seq is the way out. */
static void give_up(struct merge *m, u64 seq, u64 now)
{
	while (m->next < seq) {
		if (!m->held) {
			SPA_COUNT(lost, seq - m->next);
			m->next = seq;
			return;
		}
		if (slot(m, m->next)->seq != m->next) {
			SPA_COUNT(lost, 1);
			m->next++;
		}
		run(m, now);
	}
}

/* The lowest number that waits. */
static u64 lowest(const struct merge *m)
{
	u64 seq = m->next;

	while (slot(m, seq)->seq != seq)
		seq++;
	return seq;
}

static u64 oldest(const struct merge *m)
{
	u64 at = ~0ULL;
	u32 i;

	for (i = 0; i < WINDOW; i++)
		if (m->slots[i].seq && m->slots[i].at_ns < at)
			at = m->slots[i].at_ns;
	return at;
}

/* All that waits, in order. */
static void flush(struct merge *m, u64 now)
{
	while (m->held)
		give_up(m, lowest(m) + 1, now);
}

static void restart(struct merge *m, u64 seq, u64 now)
{
	flush(m, now);
	memset(&m->seen, 0, sizeof(m->seen));
	m->next = seq;
	m->wild = 0;
}

static void hold(struct merge *m, const struct spa_frame *f, u64 seq, u64 now)
{
	*slot(m, seq) = (struct slot){ .f = *f, .at_ns = now, .seq = seq };
	m->held++;
	held_all++;
	if (held_all > SPA_PARAM(hold))
		give_up(m, lowest(m) + 1, now);
}

/* A number beside all others: true when it is the second of a new row. */
static bool is_wild(struct merge *m, u64 seq, u64 now)
{
	if (m->next <= seq ? seq - m->next < FAR : m->next - seq < FAR) {
		m->wild = 0;
		return false;
	}
	if (!m->wild || seq != m->wild + 1) {
		m->wild = seq;
		return true;
	}
	SPA_COUNT(restarts, 1);
	restart(m, seq, now);
	return false;
}

static enum spa_verdict merge(struct merge *m, const struct spa_frame *f, u64 seq, u64 now)
{
	u64 gap;

	if (!m->next)
		m->next = seq <= WINDOW ? 1 : seq;
	if (is_wild(m, seq, now)) {
		SPA_COUNT(wild, 1);
		return SPA_DROP;
	}
	switch (stream_see(&m->seen, seq, &gap)) {
	case STREAM_AGAIN:
		SPA_COUNT(duplicate, 1);
		return SPA_DROP;
	case STREAM_OLD:
		SPA_COUNT(late, 1);
		return SPA_DROP;
	default:
		break;
	}
	if (seq < m->next) {
		SPA_COUNT(late, 1);
		return SPA_DROP;
	}
	if (seq - m->next >= WINDOW)
		give_up(m, seq - WINDOW + 1, now);
	if (seq == m->next) {
		m->next++;
		pass(f, 0);
		run(m, now);
	} else {
		hold(m, f, seq, now);
	}
	return SPA_KEEP;
}

static enum spa_verdict take(struct spa_frame *f, u64 now)
{
	struct stream_pkt p;
	struct merge *m;

	if (!STREAM_TAKE(&p, f))
		return SPA_DROP;
	if (p.h->flags & STREAM_BEAT) {
		SPA_COUNT(beats, 1);
		m = NULL;
	} else {
		m = stream_states_get(&streams, p.h);
		if (m && !m->slots)
			m->slots = spa_calloc(WINDOW, sizeof(struct slot));
		if (!m || !m->slots) {
			SPA_COUNT(no_state, 1);
			m = NULL;
		}
	}
	if (m)
		return merge(m, f, stream_seq(p.h), now);
	if (stream_link_any(&next_hop))
		stream_redirect(f->data, &next_hop);
	return SPA_TX;
}

void spa_rx(struct spa_batch *b)
{
	u64 now = spa_now();
	u32 i;

	next_hop = STREAM_NEXT();
	for (i = 0; i < b->n; i++)
		b->f[i].verdict = take(&b->f[i], now);
	spa_counters->v[SPA__COUNTER_waiting] = held_all;
}

void spa_tick(u64 now)
{
	u64 delay = SPA_PARAM(delay_us) * 1000;
	struct merge *m;

	if (!held_all)
		return;
	next_hop = STREAM_NEXT();
	for (m = NULL; (m = spa_table_next(&streams.t, m));)
		while (m->held) {
			u64 at = oldest(m);

			if (now < at || now - at < delay)
				break;
			give_up(m, lowest(m) + 1, now);
		}
	spa_counters->v[SPA__COUNTER_waiting] = held_all;
}

static void drop(void *state)
{
	struct merge *m = state;

	if (!m->slots)
		return;
	flush(m, spa_now());
	spa_free(m->slots);
}

void spa_fini(void)
{
	struct merge *m;

	for (m = NULL; (m = spa_table_next(&streams.t, m));)
		if (m->slots)
			flush(m, spa_now());
}

int spa_init(void)
{
	streams.drop = drop;
	return stream_states_init(&streams, sizeof(struct merge), STREAMS);
}
