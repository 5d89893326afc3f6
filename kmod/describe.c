// SPDX-License-Identifier: GPL-2.0-only
/*
 * What dumps, answers and events all say of an SPA.
 *
 * Owns nothing; the caller holds uls_spa_lock.
 */
#include <linux/lockdep.h>
#include <net/netlink.h>
#include <uapi/linux/uls_netlink.h>

#include "describe.h"
#include "record.h"
#include "table.h"

static int put_abort(struct sk_buff *skb, const struct uls_abort *a)
{
	struct nlattr *nest = nla_nest_start(skb, ULS_A_SPA_ABORT);

	if (!nest ||
	    nla_put_u32(skb, ULS_A_ABORT_CAUSE, a->cause) ||
	    nla_put_u32(skb, ULS_A_ABORT_VECTOR, a->vector) ||
	    put_u64(skb, ULS_A_ABORT_ERROR_CODE, a->error_code) ||
	    put_u64(skb, ULS_A_ABORT_ADDRESS, a->address) ||
	    put_u64(skb, ULS_A_ABORT_IP, a->ip) ||
	    put_u64(skb, ULS_A_ABORT_SP, a->sp) ||
	    nla_put_u32(skb, ULS_A_ABORT_REASON, a->reason) ||
	    nla_put_u32(skb, ULS_A_ABORT_CPU, a->cpu) ||
	    put_u64(skb, ULS_A_ABORT_TIME, a->time))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_port(struct sk_buff *skb, const struct uls_spa *spa)
{
	if (!spa->ifindex)
		return 0;
	if (nla_put_u32(skb, ULS_A_SPA_IFINDEX, spa->ifindex) ||
	    nla_put_u32(skb, ULS_A_SPA_QUEUE, spa->queue) ||
	    put_u64(skb, ULS_A_SPA_UMEM_SIZE, spa->umem_size) ||
	    nla_put_u32(skb, ULS_A_SPA_CHUNK_SIZE, spa->chunk_size))
		return -EMSGSIZE;
	return 0;
}

/* Where the reservation is kept, if it is anywhere. */
static int put_home(struct sk_buff *skb, const struct uls_spa *spa)
{
	int cpu = spa->port ? READ_ONCE(spa->port->account.cpu) : -1;

	return cpu < 0 ? 0 : nla_put_u32(skb, ULS_A_SPA_HOME_CPU, cpu);
}

/* Fits into any message. */
int uls_nl_put_spa(struct sk_buff *skb, const struct uls_spa *spa)
{
	const struct uls_spa_config *c = &spa->config;
	u32 state = READ_ONCE(spa->state);

	lockdep_assert_held(&uls_spa_lock);
	if (nla_put_u32(skb, ULS_A_SPA_ID, spa->id) ||
	    nla_put_string(skb, ULS_A_SPA_NAME, c->name) ||
	    nla_put_string(skb, ULS_A_SPA_VERSION, c->version) ||
	    nla_put_u32(skb, ULS_A_SPA_FLAGS, c->flags) ||
	    nla_put_u32(skb, ULS_A_SPA_STATE, state) ||
	    nla_put_u32(skb, ULS_A_SPA_ISOLATION, ULS_ISOLATION_ROOT) ||
	    put_u64(skb, ULS_A_SPA_BASE, spa->base) ||
	    put_u64(skb, ULS_A_SPA_ENTRY, c->entry) ||
	    put_u64(skb, ULS_A_SPA_IMAGE_SIZE, c->image_size) ||
	    nla_put_u32(skb, ULS_A_SPA_STACK_SIZE, c->stack_size) ||
	    put_u64(skb, ULS_A_SPA_HEAP_SIZE, c->heap_size) ||
	    nla_put_u32(skb, ULS_A_SPA_TICK_US, c->tick_us) ||
	    put_u64(skb, ULS_A_SPA_BUDGET_NS, spa->budget_ns) ||
	    put_u64(skb, ULS_A_SPA_RUNTIME_NS, spa->runtime_ns) ||
	    put_u64(skb, ULS_A_SPA_PERIOD_NS, spa->period_ns) ||
	    put_u64(skb, ULS_A_SPA_SINCE, spa->since) ||
	    put_port(skb, spa) ||
	    put_home(skb, spa))
		return -EMSGSIZE;
	if (state == ULS_STATE_ABORTED) {
		/* Pairs with the barrier in uls_spa_abort(). */
		smp_rmb();
		return put_abort(skb, &spa->abort);
	}
	return 0;
}
