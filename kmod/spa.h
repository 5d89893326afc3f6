/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stream processing agents: the records and their life.
 */
#ifndef _ULS_SPA_H
#define _ULS_SPA_H

#include <linux/hrtimer.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/workqueue.h>
#include <uapi/linux/uls_netlink.h>

#include "port.h"
#include "region.h"
#include "stats.h"
#include "uls_shm.h"

/* Upcalls made by a timer have no more than this part of a CPU. */
#define ULS_TIMER_SHARE	10

struct net;
struct netlink_ext_ack;
struct nlmsghdr;

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

/* What spa-begin asks for; checked by uls_spa_begin(). */
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

/* What spa-commit asks for. */
struct uls_spa_placing {
	bool has_port;
	u32 fd;
	u32 ifindex, queue;	/* checks, if has_ifindex, has_queue */
	bool has_ifindex, has_queue;
	bool has_reservation;
	u64 budget_ns, runtime_ns, period_ns;
	u32 replace_id;		/* 0: none */
	const struct nlmsghdr *messages; /* its attributes ULS_A_SPA_CONTROL */
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
	struct mutex control;	/* the mailbox; outside the port's lock */
	struct uls_stats __percpu *stats;

	struct uls_abort abort;	/* valid once state is aborted */
	struct work_struct retire;
	bool reported;		/* uls_spa_lock: the abort event is out */
	bool torn_down;		/* uls_spa_lock */
};

/*
 * Lock order: uls_spa_lock, RTNL, an SPA's control mutex, a port's lock.
 *
 * uls_spa_lock guards the table of SPAs and every change of their state but
 * one: whoever holds the port's lock may turn live into aborted.  It may be
 * held while an SPA is torn down, which waits for RCU.
 */
extern struct mutex uls_spa_lock;

struct uls_spa *uls_spa_find(u32 id);
struct uls_spa *uls_spa_find_name(const char *name);
struct uls_spa *uls_spa_next(unsigned long *id);
unsigned int uls_spa_slices(void);

struct uls_spa *uls_spa_begin(const struct uls_spa_config *config,
			      const struct net *net, u32 portid,
			      struct netlink_ext_ack *extack);
int uls_spa_write(struct uls_spa *spa, u64 offset, const void *data, size_t len,
		  struct netlink_ext_ack *extack);
int uls_spa_commit(struct uls_spa *spa, const struct uls_spa_placing *placing,
		   struct netlink_ext_ack *extack);
void uls_spa_discard(struct uls_spa *spa);
void uls_spa_delete(struct uls_spa *spa);
void uls_spa_socket_closed(const struct net *net, u32 portid);
void uls_spa_put(struct uls_spa *spa);
void uls_spa_abort(struct uls_spa *spa, const struct uls_abort *why);
int uls_spa_init(void);
void uls_spa_exit(void);

void uls_spa_set_budget(struct uls_spa *spa, u64 budget_ns);
int uls_spa_reserve(struct uls_spa *spa, u64 runtime_ns, u64 period_ns,
		    struct netlink_ext_ack *extack);
unsigned long uls_spa_stack(const struct uls_spa *spa, unsigned int cpu);

/* tick.c */
void uls_tick_init(struct uls_spa *spa);
void uls_tick_start(struct uls_spa *spa);
void uls_tick_stop(struct uls_spa *spa);

/* log.c */
size_t uls_log_read(const struct uls_spa *spa, u64 *cursor, u64 *lost,
		    void *to, size_t max);

#endif /* _ULS_SPA_H */
