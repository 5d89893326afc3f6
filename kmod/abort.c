// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one way from live to aborted, open to whoever holds a port's lock.
 *
 * Owns the workqueue on which aborted SPAs are retired.  The work itself, in
 * spa.c, is hung into the record when that is made.
 */
#include <linux/lockdep.h>
#include <linux/refcount.h>
#include <linux/smp.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>

#include "abort.h"
#include "record.h"
#include "trace.h"

static struct workqueue_struct *retire_wq;

/**
 * uls_spa_abort() - take an SPA out of service
 * @spa: has a port, whose lock the caller holds
 * @why: what it did
 *
 * Here only the upcalls stop; the rest needs to sleep and is done by a work
 * item.  A half-made SPA that fails in INIT is left to uls_spa_commit().
 */
void uls_spa_abort(struct uls_spa *spa, const struct uls_abort *why)
{
	lockdep_assert_held(&spa->port->lock);

	spa->abort = *why;
	spa->abort.cpu = smp_processor_id();
	spa->abort.time = ktime_get_boottime_ns();
	trace_uls_abort(spa->id, &spa->abort);
	if (spa->state != ULS_STATE_LIVE)
		return;

	/* Whoever sees the state sees why. */
	smp_wmb();
	WRITE_ONCE(spa->state, ULS_STATE_ABORTED);
	spa->port->spa = NULL;
	refcount_inc(&spa->refs);
	if (!queue_work(retire_wq, &spa->retire))
		refcount_dec(&spa->refs);
}

int uls_abort_init(void)
{
	retire_wq = alloc_workqueue("uls", WQ_UNBOUND, 0);
	return retire_wq ? 0 : -ENOMEM;
}

void uls_abort_exit(void)
{
	destroy_workqueue(retire_wq);
}
