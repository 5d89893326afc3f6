// SPDX-License-Identifier: GPL-2.0-only
/*
 * TICK upcalls: a soft timer on the CPU the SPA was committed on.
 *
 * A tick for which its account has no time waits.  If its reservation pays it
 * waits for that, with its own timer.  If the pool pays it stands in the CPU's
 * queue, without a timer, whoever else stands there: one timer for all of them
 * goes off when the pool is filled again, and takes the first in line, who then
 * goes to the end of it.  So any number of SPAs, however short their periods,
 * cost one interrupt a period, and those that do not use up the pool one for
 * each tick, which is charged.
 *
 * Between two ticks there is always a look at the frames that have come, see
 * let_go_first().
 *
 * Owns the SPA's timer from uls_tick_init() to uls_tick_stop(), and the queues.
 */
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/spinlock.h>
#include <linux/timekeeping.h>

#include "account.h"
#include "port.h"
#include "tick.h"
#include "upcall.h"

/*
 * What the interrupt and the softirq around a timer take, which nobody can
 * measure from inside: about a thousand instructions.
 */
#define TIMER_NS	1000

struct tick_queue {
	raw_spinlock_t lock;	/* with bottom halves off; the innermost */
	struct list_head spas;	/* lock: they wait for the pool */
	struct uls_spa *now;	/* lock: the one whose turn it is */
	struct hrtimer refill;	/* on as long as somebody waits */
	u8 behind;		/* the timer's: so often frames were let go first */
};

static DEFINE_PER_CPU(struct tick_queue, queues);

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
	if (port->spa == spa && !port->held)
		uls_upcall_run(spa, ULS_UP_TICK, ktime_get_ns(),
			       uls_context_now(), NULL);
	live = port->spa == spa;
	uls_port_unlock_softirq(port);
	return live;
}

/*
 * Is there something to be received that a tick should let go first?  Its own
 * port's frames once, another port's until they have, so that those never wait
 * for more than the upcall that is under way; but not for ever, or a flood would
 * leave no ticks.
 */
static bool let_go_first(const struct napi_reservation *own, u8 *behind)
{
	u8 most;

	if (local_softirq_pending() & BIT(NET_RX_SOFTIRQ)) {
		most = napi_reserve_waiting(own) ? 8 : 1;
		if (*behind < most) {
			++*behind;
			return true;
		}
	}
	*behind = 0;
	return false;
}

/* A port that has just ticked lets others receive before it. */
static void pay(struct uls_port *port, u64 now, u64 spent)
{
	uls_account_charge(&port->account, spent);
	napi_reserve_used(&port->up.resv, now, spent);
}

/* As soon as softirqs are looked at again. */
static enum hrtimer_restart at_once(struct hrtimer *timer)
{
	hrtimer_set_expires(timer, hrtimer_cb_get_time(timer));
	return HRTIMER_RESTART;
}

static enum hrtimer_restart in(struct hrtimer *timer, u64 ns)
{
	hrtimer_set_expires(timer,
			    ktime_add_ns(hrtimer_cb_get_time(timer), ns));
	return HRTIMER_RESTART;
}

/* ---- Those whom the pool pays ---- */

static void enqueue(struct uls_spa *spa, u64 wait)
{
	struct tick_queue *q = this_cpu_ptr(&queues);

	raw_spin_lock(&q->lock);
	if (!spa->stopped) {
		list_add_tail(&spa->waiting, &q->spas);
		if (!hrtimer_active(&q->refill))
			hrtimer_start(&q->refill, ns_to_ktime(wait),
				      HRTIMER_MODE_REL_PINNED_SOFT);
	}
	raw_spin_unlock(&q->lock);
}

/* It has had its turn; there may be another one once its period is over. */
static void requeue(struct tick_queue *q, struct uls_spa *spa)
{
	raw_spin_lock(&q->lock);
	if (!spa->stopped)
		list_add_tail(&spa->waiting, &q->spas);
	raw_spin_unlock(&q->lock);
}

static struct uls_spa *dequeue(struct tick_queue *q)
{
	struct uls_spa *spa;

	raw_spin_lock(&q->lock);
	spa = list_first_entry_or_null(&q->spas, struct uls_spa, waiting);
	if (spa)
		list_del_init(&spa->waiting);
	q->now = spa;
	raw_spin_unlock(&q->lock);
	return spa;
}

static bool is_empty(struct tick_queue *q)
{
	bool empty;

	raw_spin_lock(&q->lock);
	q->now = NULL;
	empty = list_empty(&q->spas);
	raw_spin_unlock(&q->lock);
	return empty;
}

/* Its CPU has gone and left the timer to this one, and so those who wait. */
static void move_queue(struct tick_queue *q)
{
	struct uls_spa *spa;

	while ((spa = dequeue(q)))
		hrtimer_start(&spa->tick, 0, HRTIMER_MODE_REL_PINNED_SOFT);
}

static enum hrtimer_restart refill(struct hrtimer *timer)
{
	struct tick_queue *q = container_of(timer, struct tick_queue, refill);
	struct uls_reservation *r;
	struct uls_spa *spa;
	u64 start = local_clock() - TIMER_NS, now, wait;
	bool own;

	if (q != this_cpu_ptr(&queues)) {
		move_queue(q);
		return HRTIMER_NORESTART;
	}
	do {
		if (let_go_first(NULL, &q->behind))
			return at_once(timer);
		spa = dequeue(q);
		if (!spa)
			return HRTIMER_NORESTART;
		now = local_clock();
		if (now < spa->due_ns) {
			hrtimer_start(&spa->tick,
				      ns_to_ktime(spa->due_ns - now),
				      HRTIMER_MODE_REL_PINNED_SOFT);
			continue;
		}
		/* It may have got a reservation meanwhile, and may not wait. */
		r = &spa->port->account;
		wait = uls_account_wait(r, &own);
		if (wait && !own) {
			raw_spin_lock(&q->lock);
			if (!spa->stopped)
				list_add(&spa->waiting, &q->spas);
			q->now = NULL;
			raw_spin_unlock(&q->lock);
			return in(timer, wait);
		}
		if (wait)
			hrtimer_start(&spa->tick, ns_to_ktime(wait),
				      HRTIMER_MODE_REL_PINNED_SOFT);
		else if (call(spa))
			requeue(q, spa);
		spa->due_ns = now + ktime_to_ns(period(spa));
		/* What accounting takes is the next one's. */
		now = local_clock();
		pay(spa->port, now, now - start);
		start = now;
	} while (!is_empty(q));
	return HRTIMER_NORESTART;
}

/* ---- Each SPA's own timer ---- */

static enum hrtimer_restart tick(struct hrtimer *timer)
{
	struct uls_spa *spa = container_of(timer, struct uls_spa, tick);
	struct uls_reservation *r = &spa->port->account;
	enum hrtimer_restart again = HRTIMER_NORESTART;
	u64 start = local_clock(), now, wait;
	bool own;

	if (let_go_first(&spa->port->up.resv, &spa->behind))
		return at_once(timer);
	wait = uls_account_wait(r, &own);
	if (wait && own) {
		again = in(timer, wait);
	} else if (wait || (!own && !list_empty(this_cpu_ptr(&queues.spas)))) {
		enqueue(spa, wait);
	} else if (call(spa)) {
		/* Those of an SPA that is slow for its period are left out. */
		hrtimer_forward(timer, hrtimer_cb_get_time(timer), period(spa));
		again = HRTIMER_RESTART;
	}
	now = local_clock();
	pay(spa->port, now, now - start + TIMER_NS);
	return again;
}

void uls_tick_init(struct uls_spa *spa)
{
	INIT_LIST_HEAD(&spa->waiting);
	hrtimer_init(&spa->tick, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_SOFT);
	spa->tick.function = tick;
}

void uls_tick_start(struct uls_spa *spa)
{
	if (spa->config.tick_us)
		hrtimer_start(&spa->tick, period(spa),
			      HRTIMER_MODE_REL_PINNED_SOFT);
}

/* Take it out of a queue; false while it has its turn. */
static bool leave(struct tick_queue *q, struct uls_spa *spa)
{
	bool left;

	raw_spin_lock_bh(&q->lock);
	spa->stopped = true;
	left = q->now != spa;
	if (left)
		list_del_init(&spa->waiting);
	raw_spin_unlock_bh(&q->lock);
	return left;
}

/*
 * The SPA is not live any more, so after its turn nobody starts its timer. May
 * sleep.
 */
void uls_tick_stop(struct uls_spa *spa)
{
	int cpu;

	for_each_possible_cpu(cpu)
		while (!leave(per_cpu_ptr(&queues, cpu), spa))
			cond_resched();
	hrtimer_cancel(&spa->tick);
}

void uls_tick_setup(void)
{
	struct tick_queue *q;
	int cpu;

	for_each_possible_cpu(cpu) {
		q = per_cpu_ptr(&queues, cpu);
		raw_spin_lock_init(&q->lock);
		INIT_LIST_HEAD(&q->spas);
		hrtimer_init(&q->refill, CLOCK_MONOTONIC,
			     HRTIMER_MODE_REL_PINNED_SOFT);
		q->refill.function = refill;
	}
}

/* No SPA is left. */
void uls_tick_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		hrtimer_cancel(&per_cpu_ptr(&queues, cpu)->refill);
}
