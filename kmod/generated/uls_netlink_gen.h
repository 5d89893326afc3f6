/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	kmod/uapi/uls.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_ULS_GEN_H
#define _LINUX_ULS_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/uls_netlink.h>

/* Common nested types */
extern const struct nla_policy uls_param_nl_policy[ULS_A_PARAM_HELP + 1];
extern const struct nla_policy uls_segment_nl_policy[ULS_A_SEGMENT_PROT + 1];

int uls_nl_info_doit(struct sk_buff *skb, struct genl_info *info);
int uls_nl_spa_begin_doit(struct sk_buff *skb, struct genl_info *info);
int uls_nl_spa_write_doit(struct sk_buff *skb, struct genl_info *info);
int uls_nl_spa_commit_doit(struct sk_buff *skb, struct genl_info *info);
int uls_nl_spa_discard_doit(struct sk_buff *skb, struct genl_info *info);
int uls_nl_spa_del_doit(struct sk_buff *skb, struct genl_info *info);
int uls_nl_spa_get_doit(struct sk_buff *skb, struct genl_info *info);
int uls_nl_spa_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int uls_nl_spa_set_doit(struct sk_buff *skb, struct genl_info *info);
int uls_nl_spa_control_doit(struct sk_buff *skb, struct genl_info *info);
int uls_nl_stats_get_doit(struct sk_buff *skb, struct genl_info *info);
int uls_nl_stats_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int uls_nl_log_get_doit(struct sk_buff *skb, struct genl_info *info);
int uls_nl_bench_doit(struct sk_buff *skb, struct genl_info *info);
int uls_nl_limit_set_doit(struct sk_buff *skb, struct genl_info *info);
int uls_nl_limit_get_doit(struct sk_buff *skb, struct genl_info *info);

enum {
	ULS_NLGRP_EVENTS,
};

extern struct genl_family uls_nl_family;

#endif /* _LINUX_ULS_GEN_H */
