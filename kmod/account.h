/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The account of each CPU's time: what upcalls, and all that is done for them,
 * may take of it.
 */
#ifndef _ULS_ACCOUNT_H
#define _ULS_ACCOUNT_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct netlink_ext_ack;

/* Who draws on a server at interrupt time. */
enum uls_drawer {
	ULS_DRAWER_NAPI,
	ULS_DRAWER_TIMER,
	ULS_DRAWERS
};

/* So much time in each period, and no more; what is overdrawn is owed. */
struct uls_server {
	u64 runtime_ns;		/* 0: there is none */
	u64 period_ns;
	u64 start_ns;		/* of the period that runs, local_clock() */
	u64 used_ns;		/* in this period, and debt */
	u64 wants[ULS_DRAWERS];	/* had to wait, and wants some until then */
	u64 by_ns[ULS_DRAWERS];	/* drawn, halved with each period */
};

/* A port's reservation; zero and uls_account_init_reservation(): none. */
struct uls_reservation {
	spinlock_t lock;	/* the server, and changes of cpu */
	struct uls_server server;
	int cpu;		/* where it is kept; -1: on none */
	struct list_head list;	/* account_lock: all of them */
	u64 retry_ns;		/* when to look for room here again */
	u64 pool_polls;		/* polls that a pool paid for */
};

/* What there is to say of a CPU; parts per million of its time. */
struct uls_cpu_account {
	u32 reservations;
	u32 reserved, left, pool;
	u64 taken_ns;		/* of everything, since the module was loaded */
};

void uls_account_init_reservation(struct uls_reservation *r);
int uls_account_reserve(struct uls_reservation *r, u64 runtime_ns,
			u64 period_ns, struct netlink_ext_ack *extack);
void uls_account_release(struct uls_reservation *r);

u64 uls_account_poll_begin(struct uls_reservation *r, u64 now);
void uls_account_poll_end(struct uls_reservation *r, u64 now, u64 spent);
u64 uls_account_wait(struct uls_reservation *r, bool *own);
void uls_account_charge(struct uls_reservation *r, u64 spent);
u64 uls_account_request_wait(void);
void uls_account_request_charge(u64 spent);

u32 uls_account_share(void);
int uls_account_set_share(u32 percent, struct netlink_ext_ack *extack);
void uls_account_describe(unsigned int cpu, struct uls_cpu_account *a);

int uls_account_init(void);
void uls_account_exit(void);

#endif /* _ULS_ACCOUNT_H */
