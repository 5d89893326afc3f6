/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The life of SPAs: begun, filled, committed, replaced, deleted.
 */
#ifndef _ULS_SPA_H
#define _ULS_SPA_H

#include <linux/types.h>

struct net;
struct netlink_ext_ack;
struct nlmsghdr;
struct uls_spa;
struct uls_spa_config;

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
int uls_spa_init(void);
void uls_spa_exit(void);

void uls_spa_set_budget(struct uls_spa *spa, u64 budget_ns);
int uls_spa_reserve(struct uls_spa *spa, u64 runtime_ns, u64 period_ns,
		    struct netlink_ext_ack *extack);

#endif /* _ULS_SPA_H */
