// SPDX-License-Identifier: Apache-2.0
/*
 * busy - spends rx_ns in every upcall for frames and tick_ns in every tick, and
 * drops all frames. The counter `standing` is no sum: it says how many frames
 * the last tick found in the RX ring.
 */
#include "spa.h"

SPA_MANIFEST("busy", "1.0", .tick_us = 1000);

#define PARAMS(P)						\
	P(U64, rx_ns, 2000000, "time to spend on frames")	\
	P(U64, tick_ns, 100000, "time to spend in a tick")
SPA_PARAMS(PARAMS);

#define COUNTERS(C) C(ticks) C(standing)
SPA_COUNTERS(COUNTERS);

static u64 last;

static void spend(u64 ns)
{
	u64 end = spa_clock() + ns;

	while (spa_clock() < end)
		;
}

int spa_init(void) { return 0; }

void spa_rx(struct spa_batch *b)
{
	u32 i;

	if (spa_now() != last) { /* not another batch of the same upcall */
		last = spa_now();
		spend(SPA_PARAM(rx_ns));
	}
	for (i = 0; i < b->n; i++)
		b->f[i].verdict = SPA_DROP;
}

void spa_tick(u64 now)
{
	const struct uls_ring_info *rx = &spa_info()->rx;
	const volatile u32 *producer, *consumer;

	(void)now;
	spend(SPA_PARAM(tick_ns));
	SPA_COUNT(ticks, 1);
	if (!rx->addr)
		return;
	producer = (const volatile u32 *)(uintptr_t)(rx->addr + rx->producer);
	consumer = (const volatile u32 *)(uintptr_t)(rx->addr + rx->consumer);
	spa_counters->v[SPA__COUNTER_standing] = *producer - *consumer;
}
