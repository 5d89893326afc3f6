// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of SPAs: begun, filled, committed, and then live until they are
 * deleted, replaced or aborted.
 *
 * Owns the records and all they hold: sandbox, memory, counters, and the
 * reference to a port.  Whoever keeps a record without uls_spa_lock counts a
 * reference.
 */
#include <linux/bitops.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/netlink.h>
#include <linux/percpu.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>
#include <linux/timekeeping.h>
#include <linux/uls.h>
#include <linux/xarray.h>
#include <asm/tsc.h>

#include "abort.h"
#include "account.h"
#include "control.h"
#include "events.h"
#include "memory.h"
#include "port.h"
#include "spa.h"
#include "stats.h"
#include "table.h"
#include "tick.h"
#include "trace.h"
#include "upcall.h"

/* SPAs with a sandbox; changed under uls_spa_lock, read by anyone. */
static unsigned int slices;

/*
 * By port id of a netlink socket, in whatever network namespace: how many SPAs
 * are being loaded.  Changed under uls_spa_lock and looked up without it, so
 * that a socket which loads nothing can be closed while another one loads.
 */
static DEFINE_XARRAY(loading);

unsigned int uls_spa_slices(void)
{
	return READ_ONCE(slices);
}

static struct uls_info *spa_info(const struct uls_spa *spa)
{
	return uls_area_address(&spa->info, 0);
}

void uls_spa_set_budget(struct uls_spa *spa, u64 budget_ns)
{
	WRITE_ONCE(spa->budget_ns, budget_ns);
	WRITE_ONCE(spa_info(spa)->budget_ns, budget_ns);
}

/* What uls_budget_parse() sees to, for a reservation that is inherited. */
static int check_budget(const struct uls_spa *spa, u64 budget_ns,
			struct netlink_ext_ack *extack)
{
	if (!spa->runtime_ns || budget_ns <= spa->runtime_ns)
		return 0;
	NL_SET_ERR_MSG_FMT(extack,
			   "a reservation of %llu ns holds no upcall of %llu ns",
			   spa->runtime_ns, budget_ns);
	return -EINVAL;
}

/**
 * uls_spa_reserve() - change the reservation of a live SPA's port
 * @spa: live
 * @runtime_ns: 0 for none
 * @period_ns: of the reservation
 * @extack: says what was wrong
 *
 * Return: 0, -EINVAL for an SPA without a port, or -ENOSPC without room.
 */
int uls_spa_reserve(struct uls_spa *spa, u64 runtime_ns, u64 period_ns,
		    struct netlink_ext_ack *extack)
{
	int err;

	lockdep_assert_held(&uls_spa_lock);
	if (!spa->ifindex) {
		NL_SET_ERR_MSG(extack, "an SPA without a port has no NAPI");
		return -EINVAL;
	}
	err = uls_account_reserve(&spa->port->account, runtime_ns, period_ns,
				  extack);
	if (err)
		return err;
	spa->runtime_ns = runtime_ns;
	spa->period_ns = period_ns;
	return 0;
}

/*
 * Everything but what can still be read of an aborted SPA: its log and its
 * counters.
 */
static void free_memory(struct uls_spa *spa)
{
	unsigned int i;

	for (i = 0; i < ULS_SEGMENTS_MAX; i++)
		uls_area_free(&spa->segment[i]);
	uls_area_free(&spa->stacks);
	uls_area_free(&spa->heap);
	uls_area_free(&spa->mbox);
	uls_area_free(&spa->info);
}

void uls_spa_put(struct uls_spa *spa)
{
	if (!refcount_dec_and_test(&spa->refs))
		return;
	free_memory(spa);
	uls_area_free(&spa->log);
	uls_area_free(&spa->counters);
	uls_port_put(spa->port);
	uls_percpu_free(spa->stats);
	uls_free(spa);
}

static int alloc_memory(struct uls_spa *spa)
{
	const struct uls_spa_config *c = &spa->config;
	const unsigned int rw = ULS_PROT_READ | ULS_PROT_WRITE;
	struct uls_log *log;
	unsigned int i;
	int err;

	err = uls_area_alloc(&spa->info, ULS_OFF_INFO, PAGE_SIZE,
			     ULS_PROT_READ);
	if (!err)
		err = uls_area_alloc(&spa->counters, ULS_OFF_COUNTERS,
				     PAGE_SIZE, rw);
	if (!err)
		err = uls_area_alloc(&spa->mbox, ULS_OFF_MBOX, ULS_MBOX_SIZE,
				     ULS_PROT_READ);
	if (!err)
		err = uls_area_alloc(&spa->log, ULS_OFF_LOG, ULS_LOG_SIZE, rw);
	if (!err)
		err = uls_area_alloc(&spa->heap, ULS_OFF_HEAP, c->heap_size,
				     rw);
	if (!err)
		err = uls_area_alloc(&spa->stacks, ULS_OFF_STACKS,
				     (u64)nr_cpu_ids * c->stack_size, rw);
	for (i = 0; !err && i < c->nr_segments; i++)
		err = uls_area_alloc(&spa->segment[i], c->segment[i].offset,
				     c->segment[i].size, c->segment[i].prot);
	if (err)
		return err;

	log = uls_area_address(&spa->log, 0);
	log->size = ULS_LOG_SIZE - PAGE_SIZE;
	return 0;
}

static void retire_work(struct work_struct *work);

/* The same order backwards is in teardown() and uls_spa_put(). */
static struct uls_spa *spa_create(const struct uls_spa_config *config)
{
	struct uls_spa *spa = uls_alloc(1, sizeof(*spa));
	int err;

	if (!spa)
		return ERR_PTR(-ENOMEM);
	refcount_set(&spa->refs, 1);
	spa->config = *config;
	mutex_init(&spa->control);
	INIT_WORK(&spa->retire, retire_work);
	uls_tick_init(spa);

	spa->stats = uls_percpu_alloc(sizeof(struct uls_stats),
				      __alignof__(struct uls_stats));
	err = spa->stats ? alloc_memory(spa) : -ENOMEM;
	if (err)
		goto err_put;

	spa->sandbox = uls_sandbox_create();
	if (IS_ERR(spa->sandbox)) {
		err = PTR_ERR(spa->sandbox);
		goto err_put;
	}
	spa->base = uls_sandbox_base(spa->sandbox);
	return spa;

err_put:
	uls_spa_put(spa);
	return ERR_PTR(err);
}

/* Afterwards nothing of it is mapped anywhere; the record stays. */
static void teardown(struct uls_spa *spa)
{
	lockdep_assert_held(&uls_spa_lock);

	if (spa->torn_down)
		return;
	spa->torn_down = true;
	uls_tick_stop(spa);
	if (spa->owns_port)
		uls_port_detach(spa->port);
	uls_sandbox_destroy(spa->sandbox);
	spa->sandbox = NULL;
	WRITE_ONCE(slices, slices - 1);
	if (spa->owns_port)
		uls_area_free(&spa->port->pool);
	/* The mailbox may be in use by somebody who has not noticed yet. */
	mutex_lock(&spa->control);
	free_memory(spa);
	mutex_unlock(&spa->control);
}

/* The SPA belongs to a netlink socket from here to disown(). */
static int own(struct uls_spa *spa, const struct net *net, u32 portid)
{
	unsigned long n = xa_to_value(xa_load(&loading, portid));
	int err;

	lockdep_assert_held(&uls_spa_lock);
	err = xa_err(xa_store(&loading, portid, xa_mk_value(n + 1),
			      GFP_KERNEL));
	if (err)
		return err;
	spa->net = net;
	spa->portid = portid;
	return 0;
}

static void disown(struct uls_spa *spa)
{
	unsigned long n;

	lockdep_assert_held(&uls_spa_lock);
	if (!spa->portid)
		return;
	n = xa_to_value(xa_load(&loading, spa->portid));
	/* Neither needs memory: there is an entry. */
	if (n > 1)
		xa_store(&loading, spa->portid, xa_mk_value(n - 1), GFP_KERNEL);
	else
		xa_erase(&loading, spa->portid);
	spa->net = NULL;
	spa->portid = 0;
}

static void forget(struct uls_spa *spa)
{
	uls_table_remove(spa);
	disown(spa);
	teardown(spa);
	uls_spa_put(spa);
}

/**
 * uls_spa_begin() - start to load an SPA
 * @config: checked by the caller, see budget.c and load.c
 * @net: network namespace of the netlink socket it belongs to
 * @portid: of that socket
 * @extack: says what was wrong
 *
 * Return: the SPA, in the table, or an error pointer.
 */
struct uls_spa *uls_spa_begin(const struct uls_spa_config *config,
			      const struct net *net, u32 portid,
			      struct netlink_ext_ack *extack)
{
	const char *reason = uls_unsupported();
	struct uls_spa *spa;
	int err;

	lockdep_assert_held(&uls_spa_lock);

	if (reason) {
		NL_SET_ERR_MSG_FMT(extack, "%s", reason);
		return ERR_PTR(-EOPNOTSUPP);
	}
	spa = spa_create(config);
	if (IS_ERR(spa)) {
		if (PTR_ERR(spa) == -ENOSPC)
			NL_SET_ERR_MSG(extack, "all slices are in use");
		else if (PTR_ERR(spa) == -ENOMEM)
			NL_SET_ERR_MSG(extack, "not enough memory for the SPA");
		return spa;
	}
	WRITE_ONCE(slices, slices + 1);
	err = own(spa, net, portid);
	if (err)
		goto err_teardown;
	err = uls_table_add(spa);
	if (err < 0)
		goto err_disown;
	return spa;

err_disown:
	disown(spa);
err_teardown:
	teardown(spa);
	uls_spa_put(spa);
	return ERR_PTR(err);
}

int uls_spa_write(struct uls_spa *spa, u64 offset, const void *data, size_t len,
		  struct netlink_ext_ack *extack)
{
	unsigned int i;

	lockdep_assert_held(&uls_spa_lock);

	for (i = 0; i < spa->config.nr_segments; i++) {
		if (!uls_area_contains(&spa->segment[i], offset, len))
			continue;
		uls_area_write(&spa->segment[i], offset, data, len);
		return 0;
	}
	NL_SET_ERR_MSG_FMT(extack,
			   "%zu bytes at offset %#llx are not within one segment",
			   len, offset);
	return -ERANGE;
}

static int map_stacks(struct uls_spa *spa)
{
	unsigned long nr = spa->config.stack_size >> PAGE_SHIFT;
	struct uls_area one = spa->stacks;
	unsigned int cpu;
	int err;

	one.nr = nr;
	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		one.offset = ULS_OFF_STACKS + (cpu + 1) * ULS_STACK_STRIDE -
			     spa->config.stack_size;
		one.pages = spa->stacks.pages + cpu * nr;
		err = uls_area_map(&one, spa->sandbox);
		if (err)
			return err;
	}
	return 0;
}

static int map_all(struct uls_spa *spa)
{
	const struct uls_area *fixed[] = {
		&spa->info, &spa->counters, &spa->mbox, &spa->log, &spa->heap
	};
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(fixed); i++)
		err = uls_area_map(fixed[i], spa->sandbox);
	for (i = 0; !err && i < spa->config.nr_segments; i++)
		err = uls_area_map(&spa->segment[i], spa->sandbox);
	if (!err)
		err = map_stacks(spa);
	if (!err)
		err = uls_port_map(spa->port, spa->sandbox);
	return err;
}

static void fill_info(struct uls_spa *spa, bool takeover)
{
	struct uls_info *info = spa_info(spa);

	*info = (struct uls_info){
		.magic = ULS_INFO_MAGIC,
		.abi = ULS_ABI_VERSION,
		.base = spa->base,
		.flags = takeover ? ULS_INFO_TAKEOVER : 0,
		.cpus = nr_cpu_ids,
		.heap_addr = spa->base + ULS_OFF_HEAP,
		.heap_len = spa->config.heap_size,
		.log_addr = spa->base + ULS_OFF_LOG,
		.log_len = ULS_LOG_SIZE,
		.mbox_addr = spa->base + ULS_OFF_MBOX,
		.mbox_len = ULS_MBOX_SIZE,
		.counters_addr = spa->base + ULS_OFF_COUNTERS,
		.budget_ns = spa->budget_ns,
		.tick_ns = (u64)spa->config.tick_us * NSEC_PER_USEC,
		.tsc_khz = tsc_khz,
	};
	uls_port_describe(spa->port, info);
}

static void remember_port(struct uls_spa *spa)
{
	const struct uls_port *port = spa->port;

	spa->ifindex = port->ifindex;
	spa->queue = port->info.queue;
	spa->umem_size = port->info.umem_size;
	spa->chunk_size = port->info.chunk_size;
}

static int check_port(const struct uls_spa *spa,
		      const struct uls_spa_placing *p,
		      struct netlink_ext_ack *extack)
{
	if (p->has_ifindex && p->ifindex != spa->ifindex) {
		NL_SET_ERR_MSG_FMT(extack,
				   "the socket is bound to interface %u, not %u",
				   spa->ifindex, p->ifindex);
		return -EINVAL;
	}
	if (p->has_queue && p->queue != spa->queue) {
		NL_SET_ERR_MSG_FMT(extack,
				   "the socket is bound to queue %u, not %u",
				   spa->queue, p->queue);
		return -EINVAL;
	}
	return 0;
}

/* A port's reservation is made before its device is touched. */
static int new_port(struct uls_spa *spa, const struct uls_spa_placing *p,
		    struct netlink_ext_ack *extack)
{
	u64 runtime = p->runtime_ns, period = p->period_ns;
	int err;

	spa->port = uls_port_create();
	if (!spa->port)
		return -ENOMEM;
	spa->owns_port = true;
	if (!p->has_port)
		return 0;
	err = uls_account_reserve(&spa->port->account, runtime, period,
				  p->has_reservation ? extack : NULL);
	if (err && p->has_reservation)
		return err;
	if (!err) {
		spa->runtime_ns = runtime;
		spa->period_ns = period;
	}
	return uls_port_attach(spa->port, p->fd, extack);
}

static int get_port(struct uls_spa *spa, struct uls_spa *old,
		    const struct uls_spa_placing *p,
		    struct netlink_ext_ack *extack)
{
	int err = 0;

	if (old) {
		refcount_inc(&old->port->refs);
		spa->port = old->port;
		spa->runtime_ns = old->runtime_ns;
		spa->period_ns = old->period_ns;
	} else {
		err = new_port(spa, p, extack);
	}
	if (err)
		return err;
	remember_port(spa);
	return check_port(spa, p, extack);
}

/* Nobody makes upcalls of the port's SPA until unhold(). */
static int hold(struct uls_port *port, const struct uls_spa *old,
		struct netlink_ext_ack *extack)
{
	u64 start;
	int err;

	err = uls_port_request(port, &start);
	if (err) {
		NL_SET_ERR_MSG(extack, "killed while the CPU had no time left");
	} else if (port->spa != old) {
		NL_SET_ERR_MSG(extack, "the SPA to replace is not live");
		err = -ENOENT;
	} else if (READ_ONCE(port->gone)) {
		NL_SET_ERR_MSG(extack, "the device went away");
		err = -ENODEV;
	} else {
		port->held = true;
	}
	uls_port_unlock(port);
	return err;
}

static void unhold(struct uls_port *port)
{
	uls_port_lock(port);
	port->held = false;
	uls_port_unlock(port);
}

static int first_upcalls(struct uls_spa *spa, const struct nlmsghdr *messages,
			 struct netlink_ext_ack *extack)
{
	struct uls_port *port = spa->port;
	s64 result = 0;
	u64 start;
	int err;

	uls_port_lock(port);
	start = local_clock();
	err = uls_upcall_run(spa, ULS_UP_INIT, 0, ULS_CONTEXT_NETLINK,
			     &result);
	uls_port_request_end(port, start);
	if (err)
		uls_upcall_explain(spa, err, extack);
	else
		err = uls_upcall_answer(ULS_UP_INIT, result, extack);
	return err ?: uls_control_first(spa, messages, extack);
}

static void last_upcall(struct uls_spa *spa)
{
	u64 start = local_clock();

	uls_upcall_run(spa, ULS_UP_FINI, 0, ULS_CONTEXT_NETLINK, NULL);
	uls_account_request_charge(local_clock() - start);
}

/*
 * INIT of the new SPA and its first messages, FINI of the old one if there is
 * one, and the exchange, while the port is held: no batch is handed over in
 * between, and until the new one has said yes the old one is untouched.  Only
 * each upcall alone keeps bottom halves off.
 */
static int go_live(struct uls_spa *spa, struct uls_spa *old,
		   const struct nlmsghdr *messages,
		   struct netlink_ext_ack *extack)
{
	struct uls_port *port = spa->port;
	int err;

	err = hold(port, old, extack);
	if (err)
		return err;
	err = first_upcalls(spa, messages, extack);
	if (err) {
		unhold(port);
		return err;
	}

	uls_port_lock(port);
	if (READ_ONCE(port->gone)) {
		port->held = false;
		uls_port_unlock(port);
		NL_SET_ERR_MSG(extack, "the device went away");
		return -ENODEV;
	}
	if (old) {
		/*
		 * If this aborts it, its event says so, and it goes anyway.
		 * It is not refused on a CPU that has just made an INIT.
		 */
		if (port->spa == old)
			last_upcall(old);
		old->owns_port = false;
		spa->owns_port = true;
	}
	spa->since = ktime_get_boottime_ns();
	WRITE_ONCE(spa->state, ULS_STATE_LIVE);
	port->spa = spa;
	port->held = false;
	if (uls_port_has_frames(port))
		xchg(&port->pending, 1);
	uls_port_unlock(port);
	return 0;
}

static void report_abort(struct uls_spa *spa)
{
	if (spa->reported || spa->state != ULS_STATE_ABORTED)
		return;
	spa->reported = true;
	uls_event_send(ULS_CMD_SPA_ABORTED_NTF, spa, 0);
}

/**
 * uls_spa_commit() - map an SPA, give it its port, make it live
 * @spa: half made; gone if this fails
 * @placing: what port, or whose, and the budget
 * @extack: says what was wrong
 *
 * Return: 0 or a negative errno.
 */
int uls_spa_commit(struct uls_spa *spa, const struct uls_spa_placing *placing,
		   struct netlink_ext_ack *extack)
{
	struct uls_spa *old = NULL;
	int err;

	lockdep_assert_held(&uls_spa_lock);

	if (placing->replace_id) {
		old = uls_table_find(placing->replace_id);
		if (!old || old->state != ULS_STATE_LIVE) {
			NL_SET_ERR_MSG_FMT(extack,
					   "no live SPA %u to replace",
					   placing->replace_id);
			err = -ENOENT;
			goto err_forget;
		}
	}
	err = uls_control_check(spa, placing->messages, extack);
	if (!err && old)
		err = check_budget(old, placing->budget_ns, extack);
	if (err)
		goto err_forget;
	spa->budget_ns = placing->budget_ns;
	err = get_port(spa, old, placing, extack);
	if (err)
		goto err_forget;
	fill_info(spa, old && spa->ifindex);
	err = map_all(spa);
	if (err) {
		NL_SET_ERR_MSG_FMT(extack, "cannot map the SPA: error %d",
				   -err);
		goto err_forget;
	}
	err = go_live(spa, old, placing->messages, extack);
	if (err)
		goto err_forget;

	disown(spa);
	uls_tick_start(spa);
	trace_uls_mapped(spa);
	if (!old) {
		uls_event_send(ULS_CMD_SPA_MAPPED_NTF, spa, 0);
		return 0;
	}
	report_abort(old);
	uls_event_send(ULS_CMD_SPA_REPLACED_NTF, spa, old->id);
	forget(old);
	return 0;

err_forget:
	forget(spa);
	return err;
}

void uls_spa_discard(struct uls_spa *spa)
{
	lockdep_assert_held(&uls_spa_lock);
	forget(spa);
}

/*
 * Its last words, if it is live; then no upcalls any more.  A CPU that holds
 * state of a virtual machine refuses FINI, which the trace tells: all that it
 * could tidy up, frames it kept among it, goes with the SPA and its port.
 */
static void finish(struct uls_spa *spa)
{
	struct uls_port *port = spa->port;
	bool killed;
	u64 start;

	/* Whoever is killed while he waits for time does without FINI. */
	killed = uls_port_request(port, &start);
	if (port->spa == spa) {
		if (!killed)
			last_upcall(spa);
		port->spa = NULL;
	}
	uls_port_unlock(port);
}

void uls_spa_delete(struct uls_spa *spa)
{
	lockdep_assert_held(&uls_spa_lock);

	finish(spa);
	report_abort(spa);
	trace_uls_unmapped(spa);
	uls_event_send(ULS_CMD_SPA_UNMAPPED_NTF, spa, 0);
	forget(spa);
}

static void retire_work(struct work_struct *work)
{
	struct uls_spa *spa = container_of(work, struct uls_spa, retire);

	mutex_lock(&uls_spa_lock);
	report_abort(spa);
	teardown(spa);
	mutex_unlock(&uls_spa_lock);
	uls_spa_put(spa);
}

/*
 * Undo what a netlink socket began and did not finish.  This hears of every
 * generic netlink socket there is, and most have begun nothing.  One that has
 * is seen without the lock: its spa-begin was over before it could be closed.
 */
void uls_spa_socket_closed(const struct net *net, u32 portid)
{
	struct uls_spa *spa;
	unsigned long id;

	if (!xa_load(&loading, portid))
		return;
	mutex_lock(&uls_spa_lock);
	for (id = 0; (spa = uls_table_next(&id)); id++)
		if (spa->state == ULS_STATE_BUILDING &&
		    spa->portid == portid && spa->net == net)
			forget(spa);
	mutex_unlock(&uls_spa_lock);
}

int uls_spa_init(void)
{
	int err;

	err = uls_account_init();
	if (err)
		return err;
	uls_tick_setup();
	err = uls_abort_init();
	if (err)
		uls_account_exit();
	return err;
}

void uls_spa_exit(void)
{
	struct uls_spa *spa;
	unsigned long id;

	mutex_lock(&uls_spa_lock);
	for (id = 0; (spa = uls_table_next(&id)); id++) {
		if (spa->state != ULS_STATE_BUILDING)
			finish(spa);
		forget(spa);
	}
	mutex_unlock(&uls_spa_lock);
	uls_abort_exit();
	uls_table_exit();
	uls_tick_exit();
	uls_account_exit();
	WARN(uls_held(ULS_HELD_PAGES) || uls_held(ULS_HELD_ALLOCATIONS) ||
	     uls_held(ULS_HELD_SOCKETS),
	     "uls: %lu pages, %lu allocations, %lu sockets are left behind\n",
	     uls_held(ULS_HELD_PAGES), uls_held(ULS_HELD_ALLOCATIONS),
	     uls_held(ULS_HELD_SOCKETS));
}
