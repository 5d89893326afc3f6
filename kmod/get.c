// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands of the netlink family that read: SPAs, statistics, logs.
 *
 * Owns nothing; each holds uls_spa_lock while it reads an SPA, and a dump for
 * one SPA at a time.
 */
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/slab.h>
#include <net/genetlink.h>
#include <uapi/linux/uls_netlink.h>

#include "account.h"
#include "describe.h"
#include "generated/uls_netlink_gen.h"
#include "log.h"
#include "record.h"
#include "reply.h"
#include "stats.h"
#include "table.h"

/* Room for everything that can be said of an SPA, or its log at a time. */
#define FULL_SIZE	16384
#define LOG_CHUNK	12288

/* Where a dump goes on; lies in netlink_callback.ctx. */
struct dump_state {
	unsigned long id;
};

static int put_segments(struct sk_buff *skb, const struct uls_spa_config *c)
{
	struct nlattr *nest;
	unsigned int i;

	for (i = 0; i < c->nr_segments; i++) {
		nest = nla_nest_start(skb, ULS_A_SPA_SEGMENT);
		if (!nest ||
		    put_u64(skb, ULS_A_SEGMENT_OFFSET, c->segment[i].offset) ||
		    put_u64(skb, ULS_A_SEGMENT_SIZE, c->segment[i].size) ||
		    nla_put_u32(skb, ULS_A_SEGMENT_PROT, c->segment[i].prot))
			return -EMSGSIZE;
		nla_nest_end(skb, nest);
	}
	return 0;
}

static int put_params(struct sk_buff *skb, const struct uls_spa_config *c)
{
	struct nlattr *nest;
	unsigned int i;

	for (i = 0; i < c->nr_params; i++) {
		const struct uls_param *p = &c->param[i];

		nest = nla_nest_start(skb, ULS_A_SPA_PARAM);
		if (!nest ||
		    nla_put_string(skb, ULS_A_PARAM_NAME, p->name) ||
		    nla_put_u32(skb, ULS_A_PARAM_TYPE, p->type) ||
		    put_u64(skb, ULS_A_PARAM_VALUE, READ_ONCE(p->value)) ||
		    nla_put_string(skb, ULS_A_PARAM_HELP, p->help))
			return -EMSGSIZE;
		nla_nest_end(skb, nest);
	}
	for (i = 0; i < c->nr_counters; i++)
		if (nla_put_string(skb, ULS_A_SPA_COUNTER_NAME, c->counter[i]))
			return -EMSGSIZE;
	return 0;
}

static struct uls_spa *spa_to_get(struct genl_info *info)
{
	struct nlattr *name = info->attrs[ULS_A_SPA_NAME];
	struct uls_spa *spa;

	if (info->attrs[ULS_A_SPA_ID] || !name)
		return uls_nl_spa(info, ULS_A_SPA_ID);
	spa = uls_table_find_name(nla_data(name));
	if (spa)
		return spa;
	NL_SET_ERR_MSG_ATTR_FMT(info->extack, name, "no SPA \"%s\"",
				(char *)nla_data(name));
	return ERR_PTR(-ENOENT);
}

int uls_nl_spa_get_doit(struct sk_buff *req, struct genl_info *info)
{
	struct uls_spa *spa;
	struct sk_buff *skb;
	void *head;
	int err;

	skb = uls_nl_reply(info, FULL_SIZE, &head);
	if (!skb)
		return -ENOMEM;
	mutex_lock(&uls_spa_lock);
	spa = spa_to_get(info);
	err = IS_ERR(spa) ? PTR_ERR(spa) : uls_nl_put_spa(skb, spa);
	if (!err)
		err = put_segments(skb, &spa->config);
	if (!err)
		err = put_params(skb, &spa->config);
	mutex_unlock(&uls_spa_lock);
	return uls_nl_answer(info, skb, head, err);
}

typedef int put_fn(struct sk_buff *skb, const struct uls_spa *spa);

static int dump_one(struct sk_buff *skb, struct netlink_callback *cb,
		    const struct uls_spa *spa, put_fn *put)
{
	const struct genl_info *info = genl_info_dump(cb);
	void *head;
	int err;

	/* Of several: or whoever asked takes the first one for all. */
	head = genlmsg_put(skb, info->snd_portid, info->snd_seq, info->family,
			   NLM_F_MULTI, info->genlhdr->cmd);
	if (!head)
		return -EMSGSIZE;
	err = put(skb, spa);
	if (err)
		genlmsg_cancel(skb, head);
	else
		genlmsg_end(skb, head);
	return err;
}

/* Return: 1 for an SPA that is done with, 0 if there is none, or an error. */
static int dump_next(struct sk_buff *skb, struct netlink_callback *cb,
		     put_fn *put)
{
	struct dump_state *state = (void *)cb->ctx;
	struct uls_spa *spa;
	int err = 0;

	NL_ASSERT_DUMP_CTX_FITS(struct dump_state);

	mutex_lock(&uls_spa_lock);
	spa = uls_table_next(&state->id);
	if (spa)
		err = dump_one(skb, cb, spa, put);
	if (spa && !err)
		state->id = spa->id + 1;
	mutex_unlock(&uls_spa_lock);
	return err ?: !!spa;
}

/*
 * One message for each SPA, in the order of their numbers; when the buffer is
 * full the next call goes on with the one that did not fit.  Others get the
 * lock after each.
 */
static int dump(struct sk_buff *skb, struct netlink_callback *cb, put_fn *put)
{
	int more;

	do {
		more = dump_next(skb, cb, put);
		cond_resched();
	} while (more > 0);
	return more == -EMSGSIZE && skb->len ? skb->len : more;
}

int uls_nl_spa_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump(skb, cb, uls_nl_put_spa);
}

static int put_array(struct sk_buff *skb, int attr, const u64 *v,
		     unsigned int nr)
{
	return nla_put_64bit(skb, attr, nr * sizeof(*v), v, ULS_A_STATS_PAD);
}

/* The SPA may be writing them: each word is read once. */
static int put_counters(struct sk_buff *skb, const struct uls_spa *spa)
{
	const u64 *from = uls_area_address(&spa->counters, 0);
	struct nlattr *attr;
	unsigned int i;
	u64 *to;

	attr = nla_reserve_64bit(skb, ULS_A_STATS_COUNTERS,
				 ULS_COUNTERS_MAX * sizeof(u64),
				 ULS_A_STATS_PAD);
	if (!attr)
		return -EMSGSIZE;
	to = nla_data(attr);
	for (i = 0; i < ULS_COUNTERS_MAX; i++)
		put_unaligned(READ_ONCE(from[i]), to + i);
	return 0;
}

static int put_port_stats(struct sk_buff *skb, const struct uls_port *port)
{
	const struct napi_reservation *resv;
	u64 sum[XSK_UPCALL_DEFERS] = {};
	unsigned int cpu, i;

	if (!port || !port->up.deferred)
		return 0;
	resv = &port->up.resv;
	for_each_possible_cpu(cpu) {
		const u64 *v = per_cpu_ptr(port->up.deferred, cpu);

		for (i = 0; i < XSK_UPCALL_DEFERS; i++)
			sum[i] += READ_ONCE(v[i]);
	}
	if (put_array(skb, ULS_A_STATS_DEFERRED, sum, XSK_UPCALL_DEFERS) ||
	    put_u64(skb, ULS_A_STATS_RESERVED_POLLS, READ_ONCE(resv->polls)) ||
	    put_u64(skb, ULS_A_STATS_RESERVED_NS, READ_ONCE(resv->total_ns)) ||
	    put_u64(skb, ULS_A_STATS_THROTTLED, READ_ONCE(resv->throttled)) ||
	    put_u64(skb, ULS_A_STATS_PARKED, READ_ONCE(resv->deferred)) ||
	    put_u64(skb, ULS_A_STATS_POOL_POLLS,
		    READ_ONCE(port->account.pool_polls)))
		return -EMSGSIZE;
	return 0;
}

static int put_stats(struct sk_buff *skb, const struct uls_spa *spa)
{
	struct uls_stats s;

	lockdep_assert_held(&uls_spa_lock);
	uls_stats_sum(spa, &s);
	if (nla_put_u32(skb, ULS_A_STATS_ID, spa->id) ||
	    nla_put_string(skb, ULS_A_STATS_NAME, spa->config.name) ||
	    put_array(skb, ULS_A_STATS_UPCALLS, s.upcalls, ULS_REASONS) ||
	    put_u64(skb, ULS_A_STATS_RX_FRAMES, s.rx_frames) ||
	    put_u64(skb, ULS_A_STATS_TX_FRAMES, s.tx_frames) ||
	    put_u64(skb, ULS_A_STATS_UPCALL_NS, s.ns) ||
	    put_u64(skb, ULS_A_STATS_UPCALL_NS_MAX, s.ns_max) ||
	    put_array(skb, ULS_A_STATS_HISTOGRAM, s.histogram,
		      ULS_HISTOGRAM_BUCKETS) ||
	    put_u64(skb, ULS_A_STATS_INTERRUPTS, s.interrupts) ||
	    put_array(skb, ULS_A_STATS_CONTEXTS, s.contexts, ULS_CONTEXTS) ||
	    put_u64(skb, ULS_A_STATS_CONTEXT_SWITCHES, s.context_switches) ||
	    put_u64(skb, ULS_A_STATS_MIGRATIONS, s.migrations) ||
	    nla_put_u32(skb, ULS_A_STATS_LAST_CS, s.last_cs) ||
	    nla_put_u32(skb, ULS_A_STATS_LAST_CPU, s.last_cpu) ||
	    put_u64(skb, ULS_A_STATS_ABORTS,
		    READ_ONCE(spa->state) == ULS_STATE_ABORTED) ||
	    put_port_stats(skb, spa->port) ||
	    put_counters(skb, spa))
		return -EMSGSIZE;
	return 0;
}

int uls_nl_stats_get_doit(struct sk_buff *req, struct genl_info *info)
{
	struct uls_spa *spa;
	struct sk_buff *skb;
	void *head;
	int err;

	skb = uls_nl_reply(info, NLMSG_DEFAULT_SIZE, &head);
	if (!skb)
		return -ENOMEM;
	mutex_lock(&uls_spa_lock);
	spa = uls_nl_spa(info, ULS_A_STATS_ID);
	err = IS_ERR(spa) ? PTR_ERR(spa) : put_stats(skb, spa);
	mutex_unlock(&uls_spa_lock);
	return uls_nl_answer(info, skb, head, err);
}

int uls_nl_stats_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump(skb, cb, put_stats);
}

static int put_account(struct sk_buff *skb, unsigned int cpu)
{
	struct uls_cpu_account a;
	struct nlattr *nest;

	uls_account_describe(cpu, &a);
	nest = nla_nest_start(skb, ULS_A_LIMIT_CPU);
	if (!nest ||
	    nla_put_u32(skb, ULS_A_CPU_ACCOUNT_CPU, cpu) ||
	    nla_put_u32(skb, ULS_A_CPU_ACCOUNT_RESERVATIONS, a.reservations) ||
	    nla_put_u32(skb, ULS_A_CPU_ACCOUNT_RESERVED_PPM, a.reserved) ||
	    nla_put_u32(skb, ULS_A_CPU_ACCOUNT_LEFT_PPM, a.left) ||
	    nla_put_u32(skb, ULS_A_CPU_ACCOUNT_POOL_PPM, a.pool) ||
	    nla_put_u64_64bit(skb, ULS_A_CPU_ACCOUNT_TAKEN_NS, a.taken_ns,
			      ULS_A_CPU_ACCOUNT_PAD))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

int uls_nl_limit_get_doit(struct sk_buff *req, struct genl_info *info)
{
	struct sk_buff *skb;
	unsigned int cpu;
	void *head;
	int err;

	/* Up to 128 bytes for each CPU. */
	skb = uls_nl_reply(info, NLMSG_DEFAULT_SIZE +
			   128 * num_online_cpus(), &head);
	if (!skb)
		return -ENOMEM;
	err = nla_put_u32(skb, ULS_A_LIMIT_CPU_SHARE, uls_account_share());
	cpus_read_lock();
	for_each_online_cpu(cpu)
		if (!err)
			err = put_account(skb, cpu);
	cpus_read_unlock();
	return uls_nl_answer(info, skb, head, err);
}

static int put_log(struct sk_buff *skb, struct genl_info *info, void *buffer)
{
	struct uls_spa *spa;
	u64 cursor = 0, lost;
	size_t len;

	spa = uls_nl_spa(info, ULS_A_LOG_ID);
	if (IS_ERR(spa))
		return PTR_ERR(spa);
	if (info->attrs[ULS_A_LOG_CURSOR])
		cursor = nla_get_u64(info->attrs[ULS_A_LOG_CURSOR]);
	len = uls_log_read(spa, &cursor, &lost, buffer, LOG_CHUNK);
	if (nla_put_u32(skb, ULS_A_LOG_ID, spa->id) ||
	    put_u64(skb, ULS_A_LOG_CURSOR, cursor) ||
	    put_u64(skb, ULS_A_LOG_LOST, lost) ||
	    nla_put(skb, ULS_A_LOG_DATA, len, buffer))
		return -EMSGSIZE;
	return 0;
}

int uls_nl_log_get_doit(struct sk_buff *req, struct genl_info *info)
{
	void *buffer, *head;
	struct sk_buff *skb;
	int err;

	buffer = kvmalloc(LOG_CHUNK, GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	skb = uls_nl_reply(info, FULL_SIZE, &head);
	if (!skb) {
		kvfree(buffer);
		return -ENOMEM;
	}
	mutex_lock(&uls_spa_lock);
	err = put_log(skb, info, buffer);
	mutex_unlock(&uls_spa_lock);
	kvfree(buffer);
	return uls_nl_answer(info, skb, head, err);
}
