// SPDX-License-Identifier: Apache-2.0
/*
 * idle - a well-behaved SPA that uses all of the library: ticks, a timer that
 * starts itself again, the clock, the heap, the log, messages. Frames go back
 * as they came. Runs with and without a port.
 */
#include "spa.h"

SPA_MANIFEST("idle", "1.0", .heap = 1 << 20, .tick_us = 1000, .stack = 8192);

#define PARAMS(P)								\
	P(U64, period_ns, 5000000, "from one run of the timer to the next")	\
	P(BOOL, talk, 0, "a log line for each run of the timer")		\
	P(IPV4, addr, 0, "an address, not used")				\
	P(MAC, mac, 0, "another, not used")
SPA_PARAMS(PARAMS);

#define COUNTERS(C) C(ticks) C(timer_runs) C(messages) C(finis) C(clock_backwards)
SPA_COUNTERS(COUNTERS);

static struct spa_timer timer;
static u64 last;

static void run(struct spa_timer *t)
{
	SPA_COUNT(timer_runs, 1);
	if (SPA_PARAM(talk))
		spa_log("idle: run %llu at %llu ns on CPU %u, %llu ns of budget left",
			spa_counters->v[SPA__COUNTER_timer_runs], spa_now(), spa_cpu(), spa_budget());
	spa_timer_start(t, spa_now() + SPA_PARAM(period_ns));
}

int spa_init(void)
{
	void *p = spa_alloc(100000);

	if (!p)
		return -SPA_ENOMEM;
	spa_free(p);
	timer.fn = run;
	spa_log("idle: port %u queue %u, %pM", spa_info()->ifindex, spa_info()->queue, spa_port_mac());
	return spa_timer_start(&timer, spa_clock() + SPA_PARAM(period_ns));
}

void spa_tick(u64 now)
{
	SPA_COUNT(ticks, 1);
	if (now < last || spa_clock() < now)
		SPA_COUNT(clock_backwards, 1);
	last = now;
}

static inline enum spa_verdict bounce(struct spa_frame *f)
{
	(void)f;
	return SPA_TX;
}
SPA_PER_FRAME(bounce)

int spa_control(const struct uls_msg *msg)
{
	SPA_COUNT(messages, 1);
	spa_log("idle: message of type %u, %u bytes", msg->type, msg->len);
	return 0;
}

void spa_fini(void)
{
	SPA_COUNT(finis, 1);
	spa_log("idle: farewell");
}
