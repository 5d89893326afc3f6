/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spa/timer.h - the time, and timers that run from the TICK upcall.
 *
 * Timers need ticks: set .tick_us in SPA_MANIFEST. A timer fires in the first
 * tick at or after its time, earliest first; its resolution is the tick.
 */
#ifndef SPA_TIMER_H
#define SPA_TIMER_H

#include "spa/base.h"

/* CLOCK_MONOTONIC in ns, from the kernel: one crossing, so not for every frame. */
u64 spa_clock(void);

/*
 * The same, asked once in an upcall and then remembered; in a tick the time
 * that came with it, without a crossing.
 */
u64 spa_now(void);

/* ns left of this upcall's budget (one crossing). */
u64 spa_budget(void);

/* The CPU this upcall runs on (one crossing). */
u32 spa_cpu(void);

struct spa_timer {
	u64 at;				/* CLOCK_MONOTONIC ns */
	void (*fn)(struct spa_timer *t);/* called once; may start the timer again */
	u32 place;			/* of the library: 0 when not running */
};

/* Starts, or moves, a timer to `at` ns. 0 or -SPA_ENOMEM. */
int spa_timer_start(struct spa_timer *t, u64 at);
void spa_timer_stop(struct spa_timer *t);
static inline bool spa_timer_running(const struct spa_timer *t) { return t->place != 0; }

/* Runs all timers due at `now`. The library calls it in each TICK, before spa_tick(). */
void spa_timers_run(u64 now);

#endif /* SPA_TIMER_H */
