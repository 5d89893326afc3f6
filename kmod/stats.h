/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an SPA's upcalls did and cost, for each CPU.
 */
#ifndef _ULS_STATS_H
#define _ULS_STATS_H

#include <linux/percpu.h>
#include <linux/types.h>
#include <uapi/linux/uls_netlink.h>

#include "uls_shm.h"

#define ULS_REASONS	(ULS_UP_NOP + 1)
#define ULS_CONTEXTS	(ULS_CONTEXT_MAX + 1)

struct uls_report;
struct uls_spa;

/* Written with bottom halves off by its CPU only; 64-bit words do not tear. */
struct uls_stats {
	u64 upcalls[ULS_REASONS];
	u64 contexts[ULS_CONTEXTS];
	u64 histogram[ULS_HISTOGRAM_BUCKETS];
	u64 rx_frames, tx_frames;
	u64 ns, ns_max;
	u64 interrupts;
	u64 context_switches, migrations;
	u64 last_ns;		/* local_clock() of the last upcall's end */
	u32 last_cs, last_cpu;
};

void uls_stats_duration(struct uls_stats *stats, u64 ns, u64 times);
void uls_stats_bench(struct uls_spa *spa, const struct uls_report *rep,
		     u32 batch);
void uls_stats_sum(const struct uls_spa *spa, struct uls_stats *sum);

#endif /* _ULS_STATS_H */
