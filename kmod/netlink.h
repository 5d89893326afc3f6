/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files that serve the netlink family share.
 */
#ifndef _ULS_NETLINK_H
#define _ULS_NETLINK_H

#include <net/genetlink.h>

struct sk_buff;
struct uls_spa;
struct uls_spa_config;

/* load.c */
int uls_load_config(struct genl_info *info, struct uls_spa_config *config);

/* budget.c */
int uls_budget_parse(struct genl_info *info, u64 *budget_ns, u64 *runtime_ns,
		     u64 *period_ns);

/* get.c */
int uls_nl_put_spa(struct sk_buff *skb, const struct uls_spa *spa);

/* netlink.c */
struct uls_spa *uls_nl_spa(struct genl_info *info, unsigned int attr);
struct sk_buff *uls_nl_reply(struct genl_info *info, size_t size, void **head);
int uls_nl_answer(struct genl_info *info, struct sk_buff *skb, void *head,
		  int err);
void uls_nl_done(struct genl_info *info, struct sk_buff *skb, void *head);

#endif /* _ULS_NETLINK_H */
