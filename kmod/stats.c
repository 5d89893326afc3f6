// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counting and adding up.
 *
 * Owns nothing: the counters belong to the SPA's record, and each CPU writes
 * its own.
 */
#include <linux/cpumask.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/smp.h>
#include <linux/uls.h>

#include "record.h"
#include "stats.h"

/**
 * uls_stats_duration() - count upcalls of one length
 * @stats: this CPU's
 * @ns: duration of each
 * @times: how many
 */
void uls_stats_duration(struct uls_stats *stats, u64 ns, u64 times)
{
	unsigned int bucket = ns ? ilog2(ns) : 0;

	bucket = min_t(unsigned int, bucket, ULS_HISTOGRAM_BUCKETS - 1);
	stats->histogram[bucket] += times;
	stats->ns += ns * times;
	stats->ns_max = max(stats->ns_max, ns);
}

/* A sample of a bench: all of its upcalls count as long as the last one. */
void uls_stats_bench(struct uls_spa *spa, const struct uls_report *rep,
		     u32 batch)
{
	struct uls_stats *s = this_cpu_ptr(spa->stats);

	s->upcalls[ULS_UP_NOP] += batch;
	s->contexts[ULS_CONTEXT_NETLINK] += batch;
	s->interrupts += rep->interrupts;
	s->last_ns = rep->end_ns;
	s->last_cs = rep->cs;
	s->last_cpu = smp_processor_id();
	uls_stats_duration(s, rep->end_ns - rep->start_ns, batch);
}

static void add(u64 *to, const u64 *from, unsigned int nr)
{
	while (nr--)
		to[nr] += READ_ONCE(from[nr]);
}

/* The CPUs go on counting meanwhile: sums of one moment are not promised. */
void uls_stats_sum(const struct uls_spa *spa, struct uls_stats *sum)
{
	unsigned int cpu;

	*sum = (struct uls_stats){};
	for_each_possible_cpu(cpu) {
		const struct uls_stats *s = per_cpu_ptr(spa->stats, cpu);
		u64 last = READ_ONCE(s->last_ns);

		add(sum->upcalls, s->upcalls, ULS_REASONS);
		add(sum->contexts, s->contexts, ULS_CONTEXTS);
		add(sum->histogram, s->histogram, ULS_HISTOGRAM_BUCKETS);
		add(&sum->rx_frames, &s->rx_frames, 1);
		add(&sum->tx_frames, &s->tx_frames, 1);
		add(&sum->ns, &s->ns, 1);
		add(&sum->interrupts, &s->interrupts, 1);
		add(&sum->context_switches, &s->context_switches, 1);
		add(&sum->migrations, &s->migrations, 1);
		sum->ns_max = max(sum->ns_max, READ_ONCE(s->ns_max));
		if (last >= sum->last_ns && READ_ONCE(s->last_cs)) {
			sum->last_ns = last;
			sum->last_cs = READ_ONCE(s->last_cs);
			sum->last_cpu = READ_ONCE(s->last_cpu);
		}
	}
}
