// SPDX-License-Identifier: GPL-2.0-only
/*
 * TICK upcalls: a soft timer on the CPU the SPA was committed on.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/timekeeping.h>

#include "spa.h"
#include "upcall.h"

static ktime_t period(const struct uls_spa *spa)
{
	return ns_to_ktime((u64)spa->config.tick_us * NSEC_PER_USEC);
}

/* Returns false once the SPA is not live. */
static bool call(struct uls_spa *spa)
{
	struct uls_port *port = spa->port;
	bool live;

	/* An upcall on another CPU: miss this one rather than wait. */
	if (!uls_port_trylock(port))
		return true;
	if (port->spa == spa)
		uls_upcall_run(spa, ULS_UP_TICK, ktime_get_ns(),
			       uls_context_now(), NULL);
	live = port->spa == spa;
	uls_port_unlock_softirq(port);
	return live;
}

static enum hrtimer_restart tick(struct hrtimer *timer)
{
	struct uls_spa *spa = container_of(timer, struct uls_spa, tick);

	if (!call(spa))
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, period(spa));
	return HRTIMER_RESTART;
}

void uls_tick_init(struct uls_spa *spa)
{
	hrtimer_init(&spa->tick, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_SOFT);
	spa->tick.function = tick;
}

void uls_tick_start(struct uls_spa *spa)
{
	if (spa->config.tick_us)
		hrtimer_start(&spa->tick, period(spa),
			      HRTIMER_MODE_REL_PINNED_SOFT);
}

/* The SPA is not live any more, so the timer does not start again by itself. */
void uls_tick_stop(struct uls_spa *spa)
{
	hrtimer_cancel(&spa->tick);
}
