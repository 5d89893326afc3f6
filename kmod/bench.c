// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cost of a crossing: NOP upcalls made back to back in the caller's
 * context, each sample between two stamps.
 *
 * Owns the samples of one request, and meanwhile a reference to the SPA.
 */
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/time64.h>
#include <net/genetlink.h>
#include <uapi/linux/uls_netlink.h>
#include <asm/tsc.h>

#include "abort.h"
#include "describe.h"
#include "generated/uls_netlink_gen.h"
#include "port.h"
#include "reply.h"
#include "spa.h"
#include "stats.h"
#include "table.h"
#include "upcall.h"

/* Upcalls of one request, so that it ends some time. */
#define BENCH_UPCALLS_MAX	4000000U

/* After so long in one piece others may have the port and the CPU. */
#define STRETCH_NS		NSEC_PER_MSEC

struct bench {
	u32 count, batch;
	u64 arg;
	u64 overhead;
	u64 *tsc, *ns;		/* count samples each */
};

struct summary {
	u64 min, median, max, total;
};

static int compare(const void *a, const void *b)
{
	const u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static struct summary summarise(u64 *v, u32 count)
{
	struct summary s = {};
	u32 i;

	for (i = 0; i < count; i++)
		s.total += v[i];
	sort(v, count, sizeof(*v), compare, NULL);
	s.min = v[0];
	s.median = v[count / 2];
	s.max = v[count - 1];
	return s;
}

/*
 * Sample i, or as much of it as may be done in one piece, of which *left counts
 * the upcalls down; the port's lock is held. Nothing but uls_upcall() itself
 * stands between the stamps, so the module's own book-keeping is not in the
 * figure.
 */
static int stretch(struct uls_spa *spa, struct bench *b, u32 i, u32 *left)
{
	struct uls_services state = {};
	struct uls_report rep;
	struct uls_call call;
	struct uls_abort why;
	u32 todo = *left;
	u64 tsc, ns;
	int err;

	uls_upcall_prepare(spa, ULS_UP_NOP, b->arg, &state, &call);
	ns = local_clock();
	tsc = rdtsc_ordered();
	do {
		err = uls_upcall(spa->sandbox, &call, &rep);
		if (unlikely(err || rep.status != ULS_RETURNED))
			break;
	} while (--*left && rep.end_ns - ns < STRETCH_NS);
	b->tsc[i] += rdtsc_ordered() - tsc;
	b->ns[i] += local_clock() - ns;
	if (err)
		return err;

	err = uls_upcall_verdict(&rep, &state, ULS_UP_NOP, &why);
	if (err)
		uls_spa_abort(spa, &why);
	else
		uls_stats_bench(spa, &rep, todo - *left);
	return err;
}

/* The smallest difference of two stamps with nothing between them. */
static u64 stamp_overhead(void)
{
	u64 best = U64_MAX;
	int i;

	for (i = 0; i < 64; i++) {
		u64 t = rdtsc_ordered();

		best = min(best, rdtsc_ordered() - t);
	}
	return best;
}

static int run(struct uls_spa *spa, struct bench *b,
	       struct netlink_ext_ack *extack)
{
	struct uls_port *port = spa->port;
	u32 i = 0, left = b->batch;
	u64 start;
	int err = 0;

	b->overhead = stamp_overhead();
	while (i < b->count && !err) {
		err = uls_port_request(port, &start);
		if (err) {
			/* A signal is pending, see below. */
		} else if (port->spa == spa) {
			err = stretch(spa, b, i, &left);
			if (err)
				uls_upcall_explain(spa, err, extack);
		} else {
			NL_SET_ERR_MSG(extack, "the SPA is not live");
			err = -ENODEV;
		}
		uls_port_request_end(port, start);
		if (!left) {
			left = b->batch;
			i++;
		}
		if (signal_pending(current)) {
			/* Not -EINTR, for which nothing is acknowledged. */
			NL_SET_ERR_MSG(extack, "interrupted by a signal");
			return -ECANCELED;
		}
		cond_resched();
	}
	return err;
}

static int reply(struct genl_info *info, u32 id, struct bench *b)
{
	struct summary tsc = summarise(b->tsc, b->count);
	struct summary ns = summarise(b->ns, b->count);
	struct sk_buff *skb;
	void *head;
	int err = 0;

	skb = uls_nl_reply(info, NLMSG_DEFAULT_SIZE, &head);
	if (!skb)
		return -ENOMEM;
	if (nla_put_u32(skb, ULS_A_BENCH_ID, id) ||
	    nla_put_u32(skb, ULS_A_BENCH_COUNT, b->count) ||
	    nla_put_u32(skb, ULS_A_BENCH_BATCH, b->batch) ||
	    put_u64(skb, ULS_A_BENCH_TSC_MIN, tsc.min) ||
	    put_u64(skb, ULS_A_BENCH_TSC_MEDIAN, tsc.median) ||
	    put_u64(skb, ULS_A_BENCH_TSC_MAX, tsc.max) ||
	    put_u64(skb, ULS_A_BENCH_TSC_TOTAL, tsc.total) ||
	    put_u64(skb, ULS_A_BENCH_TSC_OVERHEAD, b->overhead) ||
	    put_u64(skb, ULS_A_BENCH_NS_MIN, ns.min) ||
	    put_u64(skb, ULS_A_BENCH_NS_MEDIAN, ns.median) ||
	    put_u64(skb, ULS_A_BENCH_NS_MAX, ns.max) ||
	    put_u64(skb, ULS_A_BENCH_NS_TOTAL, ns.total) ||
	    nla_put_u32(skb, ULS_A_BENCH_TSC_KHZ, tsc_khz))
		err = -EMSGSIZE;
	return uls_nl_answer(info, skb, head, err);
}

static struct uls_spa *get_spa(struct genl_info *info)
{
	struct uls_spa *spa;

	mutex_lock(&uls_spa_lock);
	spa = uls_nl_spa(info, ULS_A_BENCH_ID);
	if (!IS_ERR(spa) && spa->state == ULS_STATE_BUILDING) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[ULS_A_BENCH_ID],
				    "the SPA is still being loaded");
		spa = ERR_PTR(-EBUSY);
	}
	if (!IS_ERR(spa))
		refcount_inc(&spa->refs);
	mutex_unlock(&uls_spa_lock);
	return spa;
}

int uls_nl_bench_doit(struct sk_buff *req, struct genl_info *info)
{
	struct bench b = { .batch = 1 };
	struct uls_spa *spa;
	int err;

	if (GENL_REQ_ATTR_CHECK(info, ULS_A_BENCH_COUNT))
		return -EINVAL;
	b.count = nla_get_u32(info->attrs[ULS_A_BENCH_COUNT]);
	if (info->attrs[ULS_A_BENCH_BATCH])
		b.batch = nla_get_u32(info->attrs[ULS_A_BENCH_BATCH]);
	if (info->attrs[ULS_A_BENCH_ARGUMENT])
		b.arg = nla_get_u64(info->attrs[ULS_A_BENCH_ARGUMENT]);
	if ((u64)b.count * b.batch > BENCH_UPCALLS_MAX) {
		NL_SET_ERR_MSG_FMT(info->extack,
				   "%llu upcalls are too many, up to %u",
				   (u64)b.count * b.batch, BENCH_UPCALLS_MAX);
		return -EINVAL;
	}

	spa = get_spa(info);
	if (IS_ERR(spa))
		return PTR_ERR(spa);
	b.tsc = kvcalloc(b.count, sizeof(*b.tsc), GFP_KERNEL_ACCOUNT);
	b.ns = kvcalloc(b.count, sizeof(*b.ns), GFP_KERNEL_ACCOUNT);
	err = b.tsc && b.ns ? run(spa, &b, info->extack) : -ENOMEM;
	if (!err)
		err = reply(info, spa->id, &b);
	kvfree(b.ns);
	kvfree(b.tsc);
	uls_spa_put(spa);
	return err;
}
