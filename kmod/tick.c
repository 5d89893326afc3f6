// SPDX-License-Identifier: GPL-2.0-only
/*
 * TICK upcalls: a soft timer on the CPU the SPA was committed on.
 *
 * Owns the SPA's timer from uls_tick_init() to uls_tick_stop().
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/timekeeping.h>

#include "port.h"
#include "tick.h"
#include "upcall.h"

static ktime_t period(const struct uls_spa *spa)
{
	return ns_to_ktime((u64)spa->config.tick_us * NSEC_PER_USEC);
}

/*
 * Returns false once the SPA is not live; sets *rest to the ns for which there
 * are to be no ticks.
 */
static bool call(struct uls_spa *spa, u64 *rest)
{
	struct uls_port *port = spa->port;
	bool live;

	*rest = 0;
	/* An upcall on another CPU: miss this one rather than wait. */
	if (!uls_port_trylock(port))
		return true;
	if (port->spa == spa &&
	    !uls_upcall_run(spa, ULS_UP_TICK, ktime_get_ns(),
			    uls_context_now(), NULL))
		*rest = port->rest_ns;
	live = port->spa == spa;
	uls_port_unlock_softirq(port);
	return live;
}

static enum hrtimer_restart tick(struct hrtimer *timer)
{
	struct uls_spa *spa = container_of(timer, struct uls_spa, tick);
	u64 rest;

	if (!call(spa, &rest))
		return HRTIMER_NORESTART;
	/* The ticks of an SPA that is slow for its period are left out. */
	hrtimer_forward(timer, ktime_add_ns(hrtimer_cb_get_time(timer), rest),
			period(spa));
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
