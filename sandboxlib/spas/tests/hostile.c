// SPDX-License-Identifier: Apache-2.0
/*
 * hostile - takes all the time it can get and stays within the law: it spins in
 * each RX and each TICK until little is left of the budget, and sends what it
 * gets, and some more from each tick, to everybody on the wire. Two of it on one
 * wire flood each other without end.
 *
 * It is hostile for a while only: a machine that stands still under it goes on
 * afterwards, and can say so. Before and after it drops what it gets.
 *
 * The time stamp counter and PAUSE: a test of one architecture, not an SPA to
 * learn from. The counter is taken to have the rate of the clock, as it has in
 * an exact guest.
 */
#include "spa.h"

SPA_MANIFEST("hostile", "1.0", .tick_us = 50);

#define PARAMS(P)								\
	P(U64, at, 0, "time stamp at which it begins; 0: never")		\
	P(U64, length, 0, "ns that it is hostile for")				\
	P(BOOL, spin_rx, 1, "an RX takes its whole budget")			\
	P(BOOL, spin_tick, 1, "a TICK takes its whole budget")			\
	P(U64, spare, 3000, "ns of the budget kept to come home in time")	\
	P(BOOL, echo, 1, "frames go back to the wire")				\
	P(U64, send, 0, "new frames of each tick")
SPA_PARAMS(PARAMS);

#define COUNTERS(C)								\
	C(ticks)	/* while hostile */					\
	C(batches)	/* likewise */						\
	C(spun)		/* ns */
SPA_COUNTERS(COUNTERS);

static u64 stamp(void)
{
	u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

static bool hostile(void)
{
	/* Before its time the difference is a very large number. */
	return SPA_PARAM(at) && stamp() - SPA_PARAM(at) < SPA_PARAM(length);
}

/*
 * As many instructions between two PAUSEs as lab/tests/hog/hog.c has: there it
 * says why.
 */
static void burn(void)
{
	u64 a = 1, b = 2;

	__asm__ volatile(".rept 256\n\tlea 1(%0,%1), %0\n\tlea 3(%1,%0), %1\n\t.endr\n\tpause"
			 : "+r"(a), "+r"(b));
}

static void spin(void)
{
	u64 left = spa_budget(), begin = stamp();

	if (left <= SPA_PARAM(spare))
		return;
	left -= SPA_PARAM(spare);
	while (stamp() - begin < left)
		burn();
	SPA_COUNT(spun, stamp() - begin);
}

int spa_init(void)
{
	return 0;
}

void spa_rx(struct spa_batch *b)
{
	bool on = hostile();
	u32 i;

	for (i = 0; i < b->n; i++)
		b->f[i].verdict = on && SPA_PARAM(echo) ? SPA_TX : SPA_DROP;
	if (!on)
		return;
	SPA_COUNT(batches, 1);
	if (SPA_PARAM(spin_rx))
		spin();
}

/* UDP from 10.9.9.8:9999 to 10.9.9.9:9999, to all stations; 60 bytes. */
static const u8 frame[60] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00,
	0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0x14, 0x9d, 10, 9, 9, 8, 10, 9, 9, 9,
	0x27, 0x0f, 0x27, 0x0f, 0, 26, 0, 0,
};

static void send(u64 n)
{
	struct spa_frame f;

	for (; n && spa_frame_alloc(&f); n--) {
		memcpy(f.data, frame, sizeof(frame));
		f.len = sizeof(frame);
		if (!spa_send(&f)) {
			spa_frame_free(&f);
			return;
		}
	}
}

void spa_tick(u64 now)
{
	(void)now;
	if (!hostile())
		return;
	SPA_COUNT(ticks, 1);
	send(SPA_PARAM(send));
	if (SPA_PARAM(spin_tick))
		spin();
}
