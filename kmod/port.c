// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ports: the AF_XDP socket below an SPA.
 *
 * The xsk_upcall belongs to the port, not to the SPA, so one SPA takes over
 * from another by a change of port->spa under the port's lock, and no batch
 * finds nobody.
 *
 * Owns the ports.  SPAs share one by its count of references; the socket is the
 * port's from attach to detach, but not its file: see xsk_upcall.c on what
 * becomes of its network namespace.
 */
#include <linux/bottom_half.h>
#include <linux/hrtimer.h>
#include <linux/if_xdp.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/netdevice.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/time64.h>
#include <linux/workqueue.h>
#include <net/xsk_upcall.h>

#include "abort.h"
#include "account.h"
#include "memory.h"
#include "port.h"
#include "upcall.h"

static_assert(XSK_UPCALL_RX == 0 && XSK_UPCALL_TX == 1 &&
	      XSK_UPCALL_FILL == 2 && XSK_UPCALL_COMPLETION == 3);

/* Until an RX upcall that could not be made is tried again. */
#define RETRY_NS	NSEC_PER_MSEC

/* Until a request looks again at a port that one SPA takes from another. */
#define HELD_NS		NSEC_PER_MSEC

/* What came of the RX upcalls that were wanted. */
enum drained {
	DRAINED,	/* made, or left to who has the lock */
	NOBODY,		/* no SPA to call, or not any more */
	REFUSED		/* this CPU cannot now; a later one will be tried */
};

/*
 * Have the RX upcall that is pending made in a while.  Any context.  One that
 * is on its way already is not put off.
 */
static void uls_port_later(struct uls_port *port, u64 ns)
{
	/* pending is set before this look; pairs with the barrier in retry. */
	smp_mb();
	if (!hrtimer_is_queued(&port->retry))
		hrtimer_start(&port->retry, ns_to_ktime(ns),
			      HRTIMER_MODE_REL_SOFT);
}

/*
 * The RX upcall of a live SPA; the caller has the lock.  One that this CPU
 * cannot make stays pending: once the ring is full nothing would ask for it
 * again.
 */
static enum drained rx_upcall(struct uls_port *port, enum uls_context context)
{
	struct uls_spa *spa = port->spa;

	if (!spa)
		return NOBODY;
	if (!uls_upcall_run(spa, ULS_UP_RX, 0, context, NULL))
		return DRAINED;
	if (!port->spa)
		return NOBODY;
	xchg(&port->pending, 1);
	return REFUSED;
}

/* Let go of the lock; the caller enables bottom halves. */
static void uls_port_release(struct uls_port *port) __releases(&port->lock)
{
	struct xsk_upcall *socket = port->kick ? port->socket : NULL;

	port->kick = false;
	raw_spin_unlock(&port->lock);
	/* Unlock before the look at pending; pairs with the xchg in rx. */
	smp_mb();
	/* The socket stays until RCU readers, so bottom halves, are through. */
	if (socket)
		xsk_upcall_kick(socket);
}

/*
 * Let go of the lock, and first make the RX upcall that is wanted: one, however
 * many another CPU asks for meanwhile, or the time of this one would be at that
 * one's mercy.  What is wanted by then is made with the next batch, or by the
 * retry timer when the account has time for it; so receiving never waits for an
 * upcall on another CPU, and no batch is forgotten.
 *
 * Bottom halves are off, and the caller pays for it.
 */
static enum drained uls_port_finish(struct uls_port *port, bool kick,
				    enum uls_context context)
	__releases(&port->lock)
{
	enum drained how = DRAINED;
	bool held = port->held;

	if (!held && xchg(&port->pending, 0))
		how = rx_upcall(port, context);
	if (!kick)
		port->kick = false;
	uls_port_release(port);
	if (how == REFUSED)
		uls_port_later(port, RETRY_NS);
	else if (how == DRAINED && !held && READ_ONCE(port->pending))
		uls_port_later(port, 0);
	return how;
}

/*
 * Make the RX upcall that is wanted, unless somebody has the lock: then he sees
 * to it when he lets go.  Bottom halves are off, and the caller pays.
 */
static enum drained uls_port_drain(struct uls_port *port, bool kick,
				   enum uls_context context)
{
	/* Pairs with the barrier between unlock and look at pending. */
	smp_mb__after_atomic();
	if (!READ_ONCE(port->pending) || !raw_spin_trylock(&port->lock))
		return DRAINED;
	return uls_port_finish(port, kick, context);
}

/* The same where nobody pays yet: as soon as the account has time for it. */
static enum drained uls_port_drain_paid(struct uls_port *port,
					enum uls_context context)
{
	enum drained how;
	u64 start, wait;
	bool own;

	if (!READ_ONCE(port->pending))
		return DRAINED;
	start = local_clock();
	wait = uls_account_wait(&port->account, &own);
	if (wait) {
		uls_port_later(port, wait);
		return DRAINED;
	}
	how = uls_port_drain(port, true, context);
	uls_account_charge(&port->account, local_clock() - start);
	return how;
}

/*
 * In the NAPI poll, for all of which the account is charged.  The hook asks the
 * driver itself to look at the TX ring.  The word is set
 * before the lock is tried: whoever holds it sees the word afterwards.
 */
static bool port_rx(struct xsk_upcall *up, u32 frames)
{
	struct uls_port *port = container_of(up, struct uls_port, up);

	xchg(&port->pending, 1);
	return uls_port_drain(port, false, uls_context_now()) == DRAINED;
}

/* Any context, interrupts off included. */
static void port_missed(struct xsk_upcall *up)
{
	struct uls_port *port = container_of(up, struct uls_port, up);

	xchg(&port->pending, 1);
	uls_port_later(port, RETRY_NS);
}

/*
 * A CPU that runs a virtual machine refuses until that machine's thread goes
 * back to user mode, which may be never; the scheduler knows another one.
 */
static enum hrtimer_restart port_retry(struct hrtimer *timer)
{
	struct uls_port *port = container_of(timer, struct uls_port, retry);

	/* Off the queue before the look at pending; see uls_port_later(). */
	smp_mb();
	if (uls_port_drain_paid(port, uls_context_now()) == REFUSED)
		queue_work(system_unbound_wq, &port->elsewhere);
	return HRTIMER_NORESTART;
}

static void port_elsewhere(struct work_struct *work)
{
	struct uls_port *port = container_of(work, struct uls_port, elsewhere);

	local_bh_disable();
	uls_port_drain_paid(port, uls_context_now());
	local_bh_enable();
}

static void port_unbound(struct xsk_upcall *up)
{
	struct uls_port *port = container_of(up, struct uls_port, up);
	const struct uls_abort why = {
		.cause = ULS_CAUSE_DEVICE,
		.address = port->ifindex,
	};

	uls_port_lock(port);
	WRITE_ONCE(port->gone, true);
	if (port->spa)
		uls_spa_abort(port->spa, &why);
	uls_port_unlock(port);
}

/* ---- The queue's NAPI ---- */

static u64 port_poll_begin(struct napi_reservation *resv, u64 now)
{
	struct uls_port *port = container_of(resv, struct uls_port, up.resv);

	return uls_account_poll_begin(&port->account, now);
}

static void port_poll_end(struct napi_reservation *resv, u64 now, u64 spent)
{
	struct uls_port *port = container_of(resv, struct uls_port, up.resv);

	uls_account_poll_end(&port->account, now, spent);
}

static const struct napi_reserve_ops port_polls = {
	.begin = port_poll_begin,
	.end = port_poll_end,
};

/* ---- The lock ---- */

/* In process context. */
void uls_port_lock(struct uls_port *port) __acquires(&port->lock)
{
	local_bh_disable();
	raw_spin_lock(&port->lock);
}

void uls_port_unlock(struct uls_port *port) __releases(&port->lock)
{
	uls_port_release(port);
	local_bh_enable();
	/* Those that wait for bottom halves had their turn in between. */
	local_bh_disable();
	if (!READ_ONCE(port->held))
		uls_port_drain_paid(port, ULS_CONTEXT_NETLINK);
	local_bh_enable();
}

/* In softirq, after uls_port_trylock(); the caller pays. */
void uls_port_unlock_softirq(struct uls_port *port) __releases(&port->lock)
{
	uls_port_finish(port, true, uls_context_now());
}

static void sleep_killably(u64 ns)
{
	ktime_t t = ns_to_ktime(ns);

	set_current_state(TASK_KILLABLE);
	schedule_hrtimeout(&t, HRTIMER_MODE_REL);
}

/**
 * uls_port_request() - take the lock for upcalls that this process asks for
 * @port: the caller has a reference
 * @start: for uls_port_request_end()
 *
 * Sleeps until the CPU's account has time for them, and while one SPA of the
 * port takes over from another.
 *
 * Return: 0, or -ECANCELED if the process was killed; not -EINTR, for which
 * netlink gives no answer.  The lock is taken either way.
 */
int uls_port_request(struct uls_port *port, u64 *start)
	__acquires(&port->lock)
{
	u64 wait;

	for (;;) {
		uls_port_lock(port);
		*start = local_clock();
		wait = port->held ? HELD_NS : uls_account_request_wait();
		if (!wait)
			return 0;
		if (fatal_signal_pending(current))
			return -ECANCELED;
		uls_port_unlock(port);
		sleep_killably(wait);
	}
}

/* Let others have bottom halves, and the lock; the upcalls so far are paid. */
void uls_port_request_end(struct uls_port *port, u64 start)
	__releases(&port->lock)
{
	uls_account_request_charge(local_clock() - start);
	uls_port_unlock(port);
}

struct uls_port *uls_port_create(void)
{
	struct uls_port *port = uls_alloc(1, sizeof(*port));

	if (!port)
		return NULL;
	raw_spin_lock_init(&port->lock);
	refcount_set(&port->refs, 1);
	uls_account_init_reservation(&port->account);
	port->up.rx = port_rx;
	port->up.missed = port_missed;
	port->up.unbound = port_unbound;
	hrtimer_init(&port->retry, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	port->retry.function = port_retry;
	INIT_WORK(&port->elsewhere, port_elsewhere);
	return port;
}

static void attach_error(int err, struct netlink_ext_ack *extack)
{
	switch (err) {
	case -EBADF:
		NL_SET_ERR_MSG(extack, "xsk-fd is not an open file");
		break;
	case -EINVAL:
		NL_SET_ERR_MSG(extack, "xsk-fd is not an AF_XDP socket");
		break;
	case -ENOTCONN:
		NL_SET_ERR_MSG(extack, "AF_XDP socket is not bound");
		break;
	case -EOPNOTSUPP:
		NL_SET_ERR_MSG(extack,
			       "AF_XDP socket is not in zero-copy mode, or is shared");
		break;
	case -EBUSY:
		NL_SET_ERR_MSG(extack, "port already has an SPA");
		break;
	case -ENOENT:
		NL_SET_ERR_MSG(extack,
			       "AF_XDP socket lacks one of the four rings");
		break;
	default:
		NL_SET_ERR_MSG(extack, "cannot take over the AF_XDP socket");
	}
}

/* Does what the socket has fit into a slice? */
static int check_layout(const struct xsk_upcall_info *info,
			struct netlink_ext_ack *extack)
{
	u64 mapped = (u64)info->nr_umem_pages << PAGE_SHIFT;
	unsigned int i;

	if (mapped > ULS_UMEM_MAX || info->umem_size > mapped) {
		NL_SET_ERR_MSG_FMT(extack,
				   "UMEM has %llu bytes, a slice has room for %llu",
				   info->umem_size, ULS_UMEM_MAX);
		return -E2BIG;
	}
	if (!is_power_of_2(info->chunk_size) || info->chunk_size > PAGE_SIZE ||
	    info->umem_size % info->chunk_size) {
		NL_SET_ERR_MSG_FMT(extack,
				   "UMEM chunks of %u bytes; a power of two up to %lu is needed",
				   info->chunk_size, PAGE_SIZE);
		return -EINVAL;
	}
	for (i = 0; i < XSK_UPCALL_RINGS; i++) {
		u64 bytes = (u64)info->ring[i].nr_pages << PAGE_SHIFT;

		if (bytes > ULS_RING_STRIDE) {
			NL_SET_ERR_MSG_FMT(extack,
					   "ring %u has %llu bytes, there is room for %llu",
					   i, bytes, ULS_RING_STRIDE);
			return -E2BIG;
		}
	}
	return 0;
}

/* The device and the arrays of pages are there until RTNL is let go. */
static int keep_info(struct uls_port *port)
{
	const struct net_device *dev = port->info.dev;
	unsigned int i;

	ASSERT_RTNL();
	port->ifindex = dev->ifindex;
	port->mtu = dev->mtu;
	memcpy(port->mac, dev->dev_addr, ETH_ALEN);
	for (i = 0; i < XSK_UPCALL_RINGS; i++) {
		struct xsk_upcall_ring_info *from = &port->info.ring[i];
		struct uls_area *ring = &port->ring[i];

		ring->pages = uls_alloc(from->nr_pages, sizeof(*from->pages));
		if (!ring->pages)
			return -ENOMEM;
		memcpy(ring->pages, from->pages,
		       from->nr_pages * sizeof(*from->pages));
		from->pages = NULL;
		ring->nr = from->nr_pages;
		ring->offset = ULS_OFF_RINGS + i * ULS_RING_STRIDE;
		ring->prot = ULS_PROT_READ | ULS_PROT_WRITE;
	}
	return 0;
}

static int take_socket(struct uls_port *port, u32 fd,
		       struct netlink_ext_ack *extack)
{
	int err;

	rtnl_lock();
	err = uls_socket_attach(fd, &port->up, &port->info);
	if (err) {
		attach_error(err, extack);
	} else {
		uls_port_lock(port);
		port->socket = &port->up;
		uls_port_unlock(port);
		err = check_layout(&port->info, extack);
		if (!err)
			err = keep_info(port);
		/*
		 * Only now, as attaching clears it.  Any runtime will do: the
		 * account says what the NAPI may take.
		 */
		port->up.resv.ops = &port_polls;
		xsk_upcall_reserve(&port->up, 1, 1);
	}
	rtnl_unlock();
	return err;
}

/**
 * uls_port_attach() - take over a zero-copy socket
 * @port: a new one
 * @fd: of the socket, in the caller's file table
 * @extack: says what was wrong
 *
 * Batches get the stock wake-up until port->spa is set.  After an error
 * uls_port_detach() undoes whatever was done.
 *
 * Return: 0 or a negative errno.
 */
int uls_port_attach(struct uls_port *port, u32 fd,
		    struct netlink_ext_ack *extack)
{
	struct xsk_upcall_info *info = &port->info;
	u64 frames;
	int err;

	port->up.deferred = uls_percpu_alloc(XSK_UPCALL_DEFERS * sizeof(u64),
					     sizeof(u64));
	if (!port->up.deferred)
		return -ENOMEM;

	err = take_socket(port, fd, extack);
	if (err)
		return err;
	frames = div_u64(info->umem_size, info->chunk_size);
	err = uls_area_alloc(&port->pool, ULS_OFF_POOL,
			     PAGE_ALIGN(sizeof(struct uls_pool) +
					frames * sizeof(u64)),
			     ULS_PROT_READ | ULS_PROT_WRITE);
	if (err)
		return err;

	port->rx_producer = uls_area_address(&port->ring[XSK_UPCALL_RX],
					     info->ring[XSK_UPCALL_RX].producer);
	port->tx_producer = uls_area_address(&port->ring[XSK_UPCALL_TX],
					     info->ring[XSK_UPCALL_TX].producer);
	port->rx_seen = READ_ONCE(*port->rx_producer);
	port->tx_seen = READ_ONCE(*port->tx_producer);
	return 0;
}

/**
 * uls_port_detach() - let the socket go
 * @port: has no SPA any more
 *
 * The socket leaves its XSKMAP, and traffic goes back to the kernel's stack,
 * once user space has closed it too.  May sleep; does nothing without a socket.
 * The frame pool stays: it is still mapped.
 */
void uls_port_detach(struct uls_port *port)
{
	struct xsk_upcall *socket;

	uls_port_lock(port);
	socket = port->socket;
	port->socket = NULL;
	uls_port_unlock(port);
	if (!socket) {
		uls_account_release(&port->account);
		return;
	}

	uls_socket_detach(socket);
	/* Somebody may be about to start the timer. */
	synchronize_rcu();
	/*
	 * Nothing is received any more, and without an SPA nothing is refused.
	 * The timer queues the work.
	 */
	hrtimer_cancel(&port->retry);
	cancel_work_sync(&port->elsewhere);
	uls_account_release(&port->account);
}

/* The port is detached before the last SPA lets it go. */
void uls_port_put(struct uls_port *port)
{
	unsigned int i;

	if (!port || !refcount_dec_and_test(&port->refs))
		return;
	WARN_ON_ONCE(port->socket);
	/* A request that came too late may have found something pending. */
	hrtimer_cancel(&port->retry);
	cancel_work_sync(&port->elsewhere);
	for (i = 0; i < XSK_UPCALL_RINGS; i++)
		uls_free(port->ring[i].pages);
	uls_percpu_free(port->up.deferred);
	uls_free(port);
}

/* Frames that came before there was anybody to call. */
bool uls_port_has_frames(const struct uls_port *port)
{
	const u32 *consumer;

	if (!port->rx_producer)
		return false;
	consumer = uls_area_address(&port->ring[XSK_UPCALL_RX],
				    port->info.ring[XSK_UPCALL_RX].consumer);
	return READ_ONCE(*port->rx_producer) != READ_ONCE(*consumer);
}

/**
 * uls_port_map() - map UMEM, rings and frame pool into a sandbox
 * @port: with a socket or without
 * @sandbox: whose slice has nothing at their places
 *
 * Return: 0 or a negative errno; what is mapped stays until the sandbox goes.
 */
int uls_port_map(const struct uls_port *port, struct uls_sandbox *sandbox)
{
	const struct xsk_upcall_info *info = &port->info;
	const struct uls_area umem = {
		.offset = ULS_OFF_UMEM,
		.nr = info->nr_umem_pages,
		.prot = ULS_PROT_READ | ULS_PROT_WRITE,
		.pages = info->umem_pages,
	};
	unsigned int i;
	int err;

	if (!port->rx_producer)
		return 0;

	for (i = 0; i < XSK_UPCALL_RINGS; i++) {
		err = uls_area_map(&port->ring[i], sandbox);
		if (err)
			return err;
	}
	err = uls_area_map(&umem, sandbox);
	if (err)
		return err;
	return uls_area_map(&port->pool, sandbox);
}

/* Fill in what the SPA is told about its port; info->base is set. */
void uls_port_describe(const struct uls_port *port, struct uls_info *info)
{
	struct uls_ring_info *ring[XSK_UPCALL_RINGS] = {
		&info->rx, &info->tx, &info->fill, &info->comp
	};
	unsigned int i;

	if (!port->rx_producer)
		return;

	info->ifindex = port->ifindex;
	info->queue = port->info.queue;
	memcpy(info->mac, port->mac, ETH_ALEN);
	info->mtu = port->mtu;
	info->umem_addr = info->base + ULS_OFF_UMEM;
	info->umem_len = port->info.umem_size;
	info->chunk_size = port->info.chunk_size;
	info->headroom = port->info.headroom;
	info->pool_addr = info->base + ULS_OFF_POOL;
	info->pool_len = (u64)port->pool.nr << PAGE_SHIFT;
	for (i = 0; i < XSK_UPCALL_RINGS; i++) {
		const struct xsk_upcall_ring_info *r = &port->info.ring[i];

		ring[i]->addr = info->base + port->ring[i].offset;
		ring[i]->entries = r->entries;
		ring[i]->producer = r->producer;
		ring[i]->consumer = r->consumer;
		ring[i]->flags = r->flags;
		ring[i]->desc = r->desc;
	}
}
