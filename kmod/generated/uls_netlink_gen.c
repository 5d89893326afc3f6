// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	kmod/uapi/uls.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "uls_netlink_gen.h"

#include <uapi/linux/uls_netlink.h>

/* Integer value ranges */
static const struct netlink_range_validation uls_a_bench_count_range = {
	.min	= 1ULL,
	.max	= ULS_BENCH_MAX,
};

/* Common nested types */
const struct nla_policy uls_param_nl_policy[ULS_A_PARAM_HELP + 1] = {
	[ULS_A_PARAM_NAME] = { .type = NLA_NUL_STRING, .len = ULS_TEXT_MAX, },
	[ULS_A_PARAM_TYPE] = { .type = NLA_U32, },
	[ULS_A_PARAM_VALUE] = { .type = NLA_U64, },
	[ULS_A_PARAM_HELP] = { .type = NLA_NUL_STRING, .len = ULS_HELP_MAX, },
};

const struct nla_policy uls_segment_nl_policy[ULS_A_SEGMENT_PROT + 1] = {
	[ULS_A_SEGMENT_OFFSET] = { .type = NLA_U64, },
	[ULS_A_SEGMENT_SIZE] = { .type = NLA_U64, },
	[ULS_A_SEGMENT_PROT] = NLA_POLICY_MASK(NLA_U32, 0x7),
};

/* ULS_CMD_SPA_BEGIN - do */
static const struct nla_policy uls_spa_begin_nl_policy[ULS_A_SPA_COUNTER_NAME + 1] = {
	[ULS_A_SPA_NAME] = { .type = NLA_NUL_STRING, .len = ULS_TEXT_MAX, },
	[ULS_A_SPA_VERSION] = { .type = NLA_NUL_STRING, .len = ULS_TEXT_MAX, },
	[ULS_A_SPA_FLAGS] = { .type = NLA_U32, },
	[ULS_A_SPA_STACK_SIZE] = { .type = NLA_U32, },
	[ULS_A_SPA_HEAP_SIZE] = { .type = NLA_U64, },
	[ULS_A_SPA_TICK_US] = { .type = NLA_U32, },
	[ULS_A_SPA_ENTRY] = { .type = NLA_U64, },
	[ULS_A_SPA_IMAGE_SIZE] = { .type = NLA_U64, },
	[ULS_A_SPA_SEGMENT] = NLA_POLICY_NESTED(uls_segment_nl_policy),
	[ULS_A_SPA_PARAM] = NLA_POLICY_NESTED(uls_param_nl_policy),
	[ULS_A_SPA_COUNTER_NAME] = { .type = NLA_STRING, .len = ULS_TEXT_MAX, },
};

/* ULS_CMD_SPA_WRITE - do */
static const struct nla_policy uls_spa_write_nl_policy[ULS_A_SPA_DATA + 1] = {
	[ULS_A_SPA_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[ULS_A_SPA_OFFSET] = { .type = NLA_U64, },
	[ULS_A_SPA_DATA] = { .type = NLA_BINARY, },
};

/* ULS_CMD_SPA_COMMIT - do */
static const struct nla_policy uls_spa_commit_nl_policy[ULS_A_SPA_CONTROL + 1] = {
	[ULS_A_SPA_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[ULS_A_SPA_XSK_FD] = { .type = NLA_U32, },
	[ULS_A_SPA_IFINDEX] = { .type = NLA_U32, },
	[ULS_A_SPA_QUEUE] = { .type = NLA_U32, },
	[ULS_A_SPA_BUDGET_NS] = { .type = NLA_U64, },
	[ULS_A_SPA_RUNTIME_NS] = { .type = NLA_U64, },
	[ULS_A_SPA_PERIOD_NS] = { .type = NLA_U64, },
	[ULS_A_SPA_REPLACE_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[ULS_A_SPA_CONTROL] = { .type = NLA_BINARY, },
};

/* ULS_CMD_SPA_DISCARD - do */
static const struct nla_policy uls_spa_discard_nl_policy[ULS_A_SPA_ID + 1] = {
	[ULS_A_SPA_ID] = NLA_POLICY_MIN(NLA_U32, 1),
};

/* ULS_CMD_SPA_DEL - do */
static const struct nla_policy uls_spa_del_nl_policy[ULS_A_SPA_NAME + 1] = {
	[ULS_A_SPA_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[ULS_A_SPA_NAME] = { .type = NLA_NUL_STRING, .len = ULS_TEXT_MAX, },
};

/* ULS_CMD_SPA_GET - do */
static const struct nla_policy uls_spa_get_nl_policy[ULS_A_SPA_NAME + 1] = {
	[ULS_A_SPA_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[ULS_A_SPA_NAME] = { .type = NLA_NUL_STRING, .len = ULS_TEXT_MAX, },
};

/* ULS_CMD_SPA_SET - do */
static const struct nla_policy uls_spa_set_nl_policy[ULS_A_SPA_PERIOD_NS + 1] = {
	[ULS_A_SPA_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[ULS_A_SPA_BUDGET_NS] = { .type = NLA_U64, },
	[ULS_A_SPA_RUNTIME_NS] = { .type = NLA_U64, },
	[ULS_A_SPA_PERIOD_NS] = { .type = NLA_U64, },
};

/* ULS_CMD_SPA_CONTROL - do */
static const struct nla_policy uls_spa_control_nl_policy[ULS_A_SPA_DATA + 1] = {
	[ULS_A_SPA_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[ULS_A_SPA_DATA] = { .type = NLA_BINARY, },
};

/* ULS_CMD_STATS_GET - do */
static const struct nla_policy uls_stats_get_nl_policy[ULS_A_STATS_ID + 1] = {
	[ULS_A_STATS_ID] = NLA_POLICY_MIN(NLA_U32, 1),
};

/* ULS_CMD_LOG_GET - do */
static const struct nla_policy uls_log_get_nl_policy[ULS_A_LOG_CURSOR + 1] = {
	[ULS_A_LOG_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[ULS_A_LOG_CURSOR] = { .type = NLA_U64, },
};

/* ULS_CMD_BENCH - do */
static const struct nla_policy uls_bench_nl_policy[ULS_A_BENCH_ARGUMENT + 1] = {
	[ULS_A_BENCH_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[ULS_A_BENCH_COUNT] = NLA_POLICY_FULL_RANGE(NLA_U32, &uls_a_bench_count_range),
	[ULS_A_BENCH_BATCH] = NLA_POLICY_RANGE(NLA_U32, 1, ULS_BENCH_BATCH_MAX),
	[ULS_A_BENCH_ARGUMENT] = { .type = NLA_U64, },
};

/* ULS_CMD_LIMIT_SET - do */
static const struct nla_policy uls_limit_set_nl_policy[ULS_A_LIMIT_CPU_SHARE + 1] = {
	[ULS_A_LIMIT_CPU_SHARE] = NLA_POLICY_RANGE(NLA_U32, ULS_CPU_SHARE_MIN, ULS_CPU_SHARE_MAX),
};

/* Ops table for uls */
static const struct genl_split_ops uls_nl_ops[] = {
	{
		.cmd	= ULS_CMD_INFO,
		.doit	= uls_nl_info_doit,
		.flags	= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ULS_CMD_SPA_BEGIN,
		.doit		= uls_nl_spa_begin_doit,
		.policy		= uls_spa_begin_nl_policy,
		.maxattr	= ULS_A_SPA_COUNTER_NAME,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ULS_CMD_SPA_WRITE,
		.doit		= uls_nl_spa_write_doit,
		.policy		= uls_spa_write_nl_policy,
		.maxattr	= ULS_A_SPA_DATA,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ULS_CMD_SPA_COMMIT,
		.doit		= uls_nl_spa_commit_doit,
		.policy		= uls_spa_commit_nl_policy,
		.maxattr	= ULS_A_SPA_CONTROL,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ULS_CMD_SPA_DISCARD,
		.doit		= uls_nl_spa_discard_doit,
		.policy		= uls_spa_discard_nl_policy,
		.maxattr	= ULS_A_SPA_ID,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ULS_CMD_SPA_DEL,
		.doit		= uls_nl_spa_del_doit,
		.policy		= uls_spa_del_nl_policy,
		.maxattr	= ULS_A_SPA_NAME,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ULS_CMD_SPA_GET,
		.doit		= uls_nl_spa_get_doit,
		.policy		= uls_spa_get_nl_policy,
		.maxattr	= ULS_A_SPA_NAME,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= ULS_CMD_SPA_GET,
		.dumpit	= uls_nl_spa_get_dumpit,
		.flags	= GENL_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= ULS_CMD_SPA_SET,
		.doit		= uls_nl_spa_set_doit,
		.policy		= uls_spa_set_nl_policy,
		.maxattr	= ULS_A_SPA_PERIOD_NS,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ULS_CMD_SPA_CONTROL,
		.doit		= uls_nl_spa_control_doit,
		.policy		= uls_spa_control_nl_policy,
		.maxattr	= ULS_A_SPA_DATA,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ULS_CMD_STATS_GET,
		.doit		= uls_nl_stats_get_doit,
		.policy		= uls_stats_get_nl_policy,
		.maxattr	= ULS_A_STATS_ID,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= ULS_CMD_STATS_GET,
		.dumpit	= uls_nl_stats_get_dumpit,
		.flags	= GENL_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= ULS_CMD_LOG_GET,
		.doit		= uls_nl_log_get_doit,
		.policy		= uls_log_get_nl_policy,
		.maxattr	= ULS_A_LOG_CURSOR,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ULS_CMD_BENCH,
		.doit		= uls_nl_bench_doit,
		.policy		= uls_bench_nl_policy,
		.maxattr	= ULS_A_BENCH_ARGUMENT,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ULS_CMD_LIMIT_SET,
		.doit		= uls_nl_limit_set_doit,
		.policy		= uls_limit_set_nl_policy,
		.maxattr	= ULS_A_LIMIT_CPU_SHARE,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= ULS_CMD_LIMIT_GET,
		.doit	= uls_nl_limit_get_doit,
		.flags	= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
};

static const struct genl_multicast_group uls_nl_mcgrps[] = {
	[ULS_NLGRP_EVENTS] = { "events", },
};

struct genl_family uls_nl_family __ro_after_init = {
	.name		= ULS_FAMILY_NAME,
	.version	= ULS_FAMILY_VERSION,
	.netnsok	= true,
	.parallel_ops	= true,
	.module		= THIS_MODULE,
	.split_ops	= uls_nl_ops,
	.n_split_ops	= ARRAY_SIZE(uls_nl_ops),
	.mcgrps		= uls_nl_mcgrps,
	.n_mcgrps	= ARRAY_SIZE(uls_nl_mcgrps),
};
