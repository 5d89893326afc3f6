/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An SPA in words of the netlink family.
 */
#ifndef _ULS_DESCRIBE_H
#define _ULS_DESCRIBE_H

#include <linux/build_bug.h>
#include <net/netlink.h>
#include <uapi/linux/uls_netlink.h>

struct uls_spa;

/* The padding has the same number in every set that has 64-bit values. */
static inline int put_u64(struct sk_buff *skb, int attr, u64 value)
{
	static_assert(ULS_A_SPA_PAD == 1 && ULS_A_STATS_PAD == 1 &&
		      ULS_A_ABORT_PAD == 1 && ULS_A_SEGMENT_PAD == 1 &&
		      ULS_A_PARAM_PAD == 1 && ULS_A_LOG_PAD == 1 &&
		      ULS_A_BENCH_PAD == 1);

	return nla_put_u64_64bit(skb, attr, value, ULS_A_SPA_PAD);
}

int uls_nl_put_spa(struct sk_buff *skb, const struct uls_spa *spa);

#endif /* _ULS_DESCRIBE_H */
