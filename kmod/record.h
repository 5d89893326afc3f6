/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The records of an SPA and of a port: what there is to know of them, and who
 * writes which word.  Every file but the lowest works on them, so they stand
 * below all of those, without any function.
 */
#ifndef _ULS_RECORD_H
#define _ULS_RECORD_H

#include <linux/etherdevice.h>
#include <linux/hrtimer.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include <net/xsk_upcall.h>
#include <uapi/linux/uls_netlink.h>

#include "account.h"
#include "region.h"
#include "uls_shm.h"

struct net;
struct uls_spa;
struct uls_stats;

struct uls_abort {
	u32 cause;		/* enum uls_cause */
	u32 vector;
	u64 error_code;
	u64 address;
	u64 ip, sp;
	u32 reason;		/* enum uls_reason */
	u32 cpu;
	u64 time;		/* CLOCK_BOOTTIME */
};

struct uls_param {
	char name[ULS_TEXT_MAX + 1];
	char help[ULS_HELP_MAX + 1];
	u32 type;
	u64 value;
};

/* What spa-begin asks for; checked by uls_load_config(). */
struct uls_spa_config {
	char name[ULS_NAME_MAX];
	char version[ULS_NAME_MAX];
	u32 flags;
	u32 stack_size;
	u32 tick_us;
	u64 heap_size;
	u64 entry;
	u64 image_size;
	unsigned int nr_segments;
	struct {
		u64 offset, size;
		u32 prot;
	} segment[ULS_SEGMENTS_MAX];
	unsigned int nr_params;
	struct uls_param param[ULS_PARAMS_MAX];
	unsigned int nr_counters;
	char counter[ULS_COUNTERS_MAX][ULS_TEXT_MAX + 1];
};

/*
 * The AF_XDP socket an SPA serves, and the lock its upcalls run under.  A port
 * outlives the SPA when another one takes over.
 */
struct uls_port {
	/*
	 * Held over every upcall of the port's SPA, so that they never
	 * overlap; taken with bottom halves off, interrupts stay on.  Inside it
	 * only a workqueue's own lock is taken, by uls_spa_abort().  Receiving
	 * never waits for it: see uls_port_finish().
	 */
	raw_spinlock_t lock;
	struct uls_spa *spa;	/* lock: the live one; NULL: no upcalls */
	struct xsk_upcall *socket; /* lock: &up, or NULL without a socket */
	bool held;		/* lock: no upcalls, one SPA is taking over */
	bool kick;		/* lock: the driver should look at its rings */
	u32 rx_seen, tx_seen;	/* lock: ring producers at the last look */

	struct uls_reservation account;	/* who pays for it */
	unsigned int pending;	/* RX upcall wanted; set by anyone */
	struct hrtimer retry;	/* makes up for RX upcalls that were not made */
	struct work_struct elsewhere; /* the same, on any CPU */
	bool gone;		/* set under RTNL: the device went away */
	refcount_t refs;	/* SPAs that refer to it */

	u32 *rx_producer, *tx_producer;	/* the SPA may write them too */
	struct uls_area pool;
	struct uls_area ring[XSK_UPCALL_RINGS];	/* pages are the socket's */
	struct xsk_upcall up;
	struct xsk_upcall_info info;
	u32 ifindex, mtu;
	u8 mac[ETH_ALEN];
};

struct uls_spa {
	u32 id;
	refcount_t refs;
	enum uls_state state;	/* written under uls_spa_lock or the port's lock */
	struct uls_spa_config config;

	/* The netlink socket it belongs to until it is live. */
	const struct net *net;	/* compared, never followed */
	u32 portid;

	struct uls_sandbox *sandbox;
	unsigned long base;
	struct uls_area info, counters, mbox, log, heap, stacks;
	struct uls_area segment[ULS_SEGMENTS_MAX];

	struct uls_port *port;	/* from commit to the last reference */
	bool owns_port;		/* uls_spa_lock: is the one to detach it */
	u32 ifindex, queue;	/* 0 without a socket */
	u64 umem_size;
	u32 chunk_size;

	u64 budget_ns, runtime_ns, period_ns;
	u64 since;
	struct hrtimer tick;
	struct list_head waiting;	/* tick.c: for time of a CPU's pool */
	u64 due_ns;		/* tick.c: no tick in the queue before that */
	u8 behind;		/* tick.c: so often frames were let go first */
	bool stopped;		/* tick.c: no ticks any more */
	struct mutex control;	/* the mailbox; outside the port's lock */
	struct uls_stats __percpu *stats;

	struct uls_abort abort;	/* valid once state is aborted */
	struct work_struct retire;
	bool reported;		/* uls_spa_lock: the abort event is out */
	bool torn_down;		/* uls_spa_lock */
};

#endif /* _ULS_RECORD_H */
