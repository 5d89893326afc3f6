// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands of the netlink family that change something, and "info".
 *
 * Owns nothing: it takes uls_spa_lock, finds the SPA, checks who asks for what,
 * and leaves the rest to spa.c and control.c.
 */
#include <linux/capability.h>
#include <linux/cpumask.h>
#include <linux/module.h>
#include <net/genetlink.h>
#include <uapi/linux/uls_netlink.h>

#include "account.h"
#include "budget.h"
#include "control.h"
#include "generated/uls_netlink_gen.h"
#include "load.h"
#include "memory.h"
#include "record.h"
#include "reply.h"
#include "spa.h"
#include "table.h"

/* A half-made one, and of this socket. */
static struct uls_spa *own_spa(struct genl_info *info)
{
	struct uls_spa *spa = uls_nl_spa(info, ULS_A_SPA_ID);

	if (IS_ERR(spa))
		return spa;
	if (spa->state != ULS_STATE_BUILDING) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack,
					info->attrs[ULS_A_SPA_ID],
					"SPA %u is not being loaded", spa->id);
		return ERR_PTR(-EBUSY);
	}
	if (spa->portid != info->snd_portid ||
	    spa->net != genl_info_net(info)) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack,
					info->attrs[ULS_A_SPA_ID],
					"SPA %u is being loaded by another socket",
					spa->id);
		return ERR_PTR(-EPERM);
	}
	return spa;
}

/* One that was committed. */
static struct uls_spa *made_spa(struct genl_info *info, unsigned int attr)
{
	struct uls_spa *spa = uls_nl_spa(info, attr);

	if (IS_ERR(spa) || spa->state != ULS_STATE_BUILDING)
		return spa;
	NL_SET_ERR_MSG_ATTR_FMT(info->extack, info->attrs[attr],
				"SPA %u is still being loaded", spa->id);
	return ERR_PTR(-EBUSY);
}

static int put_memory(struct sk_buff *skb)
{
	struct nlattr *nest = nla_nest_start(skb, ULS_A_INFO_MEMORY);

	if (!nest ||
	    nla_put_u64_64bit(skb, ULS_A_MEMORY_PAGES,
			      uls_held(ULS_HELD_PAGES), ULS_A_MEMORY_PAD) ||
	    nla_put_u64_64bit(skb, ULS_A_MEMORY_ALLOCATIONS,
			      uls_held(ULS_HELD_ALLOCATIONS),
			      ULS_A_MEMORY_PAD) ||
	    nla_put_u64_64bit(skb, ULS_A_MEMORY_SOCKETS,
			      uls_held(ULS_HELD_SOCKETS), ULS_A_MEMORY_PAD))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_info(struct sk_buff *skb)
{
	const char *reason = uls_unsupported();

	if (reason ?
	    nla_put_string(skb, ULS_A_INFO_UNSUPPORTED_REASON, reason) :
	    nla_put_flag(skb, ULS_A_INFO_KERNEL_SUPPORTED))
		return -EMSGSIZE;
	if (nla_put_u32(skb, ULS_A_INFO_VERSION, ULS_FAMILY_VERSION) ||
	    nla_put_u32(skb, ULS_A_INFO_ABI, ULS_ABI_VERSION) ||
	    nla_put_u32(skb, ULS_A_INFO_SLICES, PTRS_PER_PUD) ||
	    nla_put_u32(skb, ULS_A_INFO_SLICES_USED, uls_spa_slices()) ||
	    nla_put_u32(skb, ULS_A_INFO_CPUS, nr_cpu_ids) ||
	    nla_put_u64_64bit(skb, ULS_A_INFO_BUDGET_DEFAULT_NS,
			      ULS_BUDGET_DEFAULT_NS, ULS_A_INFO_PAD) ||
	    nla_put_u64_64bit(skb, ULS_A_INFO_BUDGET_MAX_NS,
			      ULS_BUDGET_MAX_NS, ULS_A_INFO_PAD) ||
	    nla_put_u64_64bit(skb, ULS_A_INFO_IMAGE_MAX, ULS_IMAGE_MAX,
			      ULS_A_INFO_PAD) ||
	    nla_put_u64_64bit(skb, ULS_A_INFO_HEAP_MAX, ULS_HEAP_MAX,
			      ULS_A_INFO_PAD) ||
	    nla_put_u32(skb, ULS_A_INFO_STACK_MAX, ULS_STACK_MAX) ||
	    nla_put_u64_64bit(skb, ULS_A_INFO_UMEM_MAX, ULS_UMEM_MAX,
			      ULS_A_INFO_PAD) ||
	    nla_put_string(skb, ULS_A_INFO_RELEASE, THIS_MODULE->version))
		return -EMSGSIZE;
	return put_memory(skb);
}

int uls_nl_info_doit(struct sk_buff *req, struct genl_info *info)
{
	struct sk_buff *skb;
	void *head;

	skb = uls_nl_reply(info, NLMSG_DEFAULT_SIZE, &head);
	if (!skb)
		return -ENOMEM;
	return uls_nl_answer(info, skb, head, put_info(skb));
}

static int reply_begun(struct genl_info *info, const struct uls_spa *spa)
{
	struct sk_buff *skb;
	void *head;
	int err;

	skb = uls_nl_reply(info, NLMSG_DEFAULT_SIZE, &head);
	if (!skb)
		return -ENOMEM;
	err = nla_put_u32(skb, ULS_A_SPA_ID, spa->id) ?:
	      nla_put_u64_64bit(skb, ULS_A_SPA_BASE, spa->base, ULS_A_SPA_PAD);
	return uls_nl_answer(info, skb, head, err);
}

int uls_nl_spa_begin_doit(struct sk_buff *req, struct genl_info *info)
{
	struct uls_spa_config *config;
	struct uls_spa *spa;
	int err;

	config = uls_alloc(1, sizeof(*config));
	if (!config)
		return -ENOMEM;
	err = uls_load_config(info, config);
	if (err)
		goto out;

	mutex_lock(&uls_spa_lock);
	spa = uls_spa_begin(config, genl_info_net(info), info->snd_portid,
			    info->extack);
	if (IS_ERR(spa)) {
		err = PTR_ERR(spa);
	} else {
		/* Nobody who did not hear of it could ever finish it. */
		err = reply_begun(info, spa);
		if (err)
			uls_spa_discard(spa);
	}
	mutex_unlock(&uls_spa_lock);
out:
	uls_free(config);
	return err;
}

int uls_nl_spa_write_doit(struct sk_buff *req, struct genl_info *info)
{
	struct nlattr *data = info->attrs[ULS_A_SPA_DATA];
	struct uls_spa *spa;
	int err;

	if (GENL_REQ_ATTR_CHECK(info, ULS_A_SPA_OFFSET) ||
	    GENL_REQ_ATTR_CHECK(info, ULS_A_SPA_DATA))
		return -EINVAL;
	if (!nla_len(data) || nla_len(data) > ULS_WRITE_MAX) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, data,
					"%d bytes of data: must be 1 to %d",
					nla_len(data), ULS_WRITE_MAX);
		return -EINVAL;
	}
	mutex_lock(&uls_spa_lock);
	spa = own_spa(info);
	if (IS_ERR(spa))
		err = PTR_ERR(spa);
	else
		err = uls_spa_write(spa,
				    nla_get_u64(info->attrs[ULS_A_SPA_OFFSET]),
				    nla_data(data), nla_len(data),
				    info->extack);
	mutex_unlock(&uls_spa_lock);
	return err;
}

static int parse_placing(struct genl_info *info, struct uls_spa_placing *p)
{
	struct nlattr **attrs = info->attrs;
	int err;

	*p = (struct uls_spa_placing){
		.budget_ns = ULS_BUDGET_DEFAULT_NS,
		.messages = info->nlhdr,
	};
	if (attrs[ULS_A_SPA_XSK_FD]) {
		p->has_port = true;
		p->fd = nla_get_u32(attrs[ULS_A_SPA_XSK_FD]);
	}
	if (attrs[ULS_A_SPA_IFINDEX]) {
		p->has_ifindex = true;
		p->ifindex = nla_get_u32(attrs[ULS_A_SPA_IFINDEX]);
	}
	if (attrs[ULS_A_SPA_QUEUE]) {
		p->has_queue = true;
		p->queue = nla_get_u32(attrs[ULS_A_SPA_QUEUE]);
	}
	if (attrs[ULS_A_SPA_REPLACE_ID])
		p->replace_id = nla_get_u32(attrs[ULS_A_SPA_REPLACE_ID]);
	p->has_reservation = attrs[ULS_A_SPA_RUNTIME_NS];
	if (p->has_port && p->replace_id) {
		NL_SET_ERR_MSG_ATTR(info->extack, attrs[ULS_A_SPA_XSK_FD],
				    "xsk-fd and replace-id exclude each other");
		return -EINVAL;
	}
	if (p->has_reservation && !p->has_port &&
	    (p->replace_id || nla_get_u64(attrs[ULS_A_SPA_RUNTIME_NS]))) {
		NL_SET_ERR_MSG_ATTR(info->extack, attrs[ULS_A_SPA_RUNTIME_NS],
				    "a reservation needs a port; a replacement inherits it");
		return -EINVAL;
	}
	err = uls_budget_parse(info, &p->budget_ns, &p->runtime_ns,
			       &p->period_ns);
	if (!err && p->has_port && !p->has_reservation)
		uls_budget_default(p->budget_ns, &p->runtime_ns,
				   &p->period_ns);
	return err;
}

int uls_nl_spa_commit_doit(struct sk_buff *req, struct genl_info *info)
{
	struct uls_spa_placing placing;
	struct sk_buff *skb = NULL;
	struct uls_spa *spa;
	void *head;
	int err;

	mutex_lock(&uls_spa_lock);
	spa = own_spa(info);
	if (IS_ERR(spa)) {
		err = PTR_ERR(spa);
		goto out;
	}
	err = parse_placing(info, &placing);
	if (!err) {
		skb = uls_nl_reply(info, NLMSG_DEFAULT_SIZE, &head);
		err = skb ? nla_put_u32(skb, ULS_A_SPA_ID, spa->id) : -ENOMEM;
	}
	if (err)
		uls_spa_discard(spa);
	else
		err = uls_spa_commit(spa, &placing, info->extack);
out:
	mutex_unlock(&uls_spa_lock);
	if (err)
		nlmsg_free(skb);
	else
		uls_nl_done(info, skb, head);
	return err;
}

int uls_nl_spa_discard_doit(struct sk_buff *req, struct genl_info *info)
{
	struct uls_spa *spa;
	int err = 0;

	mutex_lock(&uls_spa_lock);
	spa = own_spa(info);
	if (IS_ERR(spa))
		err = PTR_ERR(spa);
	else
		uls_spa_discard(spa);
	mutex_unlock(&uls_spa_lock);
	return err;
}

static struct uls_spa *spa_to_delete(struct genl_info *info)
{
	struct nlattr *name = info->attrs[ULS_A_SPA_NAME];
	struct uls_spa *spa;

	if (info->attrs[ULS_A_SPA_ID] || !name)
		return made_spa(info, ULS_A_SPA_ID);
	spa = uls_table_find_name(nla_data(name));
	if (!spa) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, name, "no SPA \"%s\"",
					(char *)nla_data(name));
		return ERR_PTR(-ENOENT);
	}
	if (spa->state == ULS_STATE_BUILDING) {
		NL_SET_ERR_MSG_ATTR(info->extack, name,
				    "the SPA is still being loaded");
		return ERR_PTR(-EBUSY);
	}
	return spa;
}

int uls_nl_spa_del_doit(struct sk_buff *req, struct genl_info *info)
{
	struct uls_spa *spa;
	int err = 0;

	mutex_lock(&uls_spa_lock);
	spa = spa_to_delete(info);
	if (IS_ERR(spa))
		err = PTR_ERR(spa);
	else
		uls_spa_delete(spa);
	mutex_unlock(&uls_spa_lock);
	return err;
}

static int spa_set(struct uls_spa *spa, struct genl_info *info)
{
	u64 budget = spa->budget_ns;
	u64 runtime = spa->runtime_ns;
	u64 period = spa->period_ns;
	int err;

	if (spa->state != ULS_STATE_LIVE) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack,
					info->attrs[ULS_A_SPA_ID],
					"SPA %u is not live", spa->id);
		return -ENODEV;
	}
	err = uls_budget_parse(info, &budget, &runtime, &period);
	if (err)
		return err;
	if (info->attrs[ULS_A_SPA_RUNTIME_NS]) {
		err = uls_spa_reserve(spa, runtime, period, info->extack);
		if (err)
			return err;
	}
	uls_spa_set_budget(spa, budget);
	return 0;
}

/* The share of processes concerns all SPAs and CPUs. */
int uls_nl_limit_set_doit(struct sk_buff *req, struct genl_info *info)
{
	if (GENL_REQ_ATTR_CHECK(info, ULS_A_LIMIT_CPU_SHARE))
		return -EINVAL;
	return uls_account_set_share(nla_get_u32(info->attrs[ULS_A_LIMIT_CPU_SHARE]),
				     info->extack);
}

int uls_nl_spa_set_doit(struct sk_buff *req, struct genl_info *info)
{
	struct uls_spa *spa;
	int err;

	mutex_lock(&uls_spa_lock);
	spa = made_spa(info, ULS_A_SPA_ID);
	err = IS_ERR(spa) ? PTR_ERR(spa) : spa_set(spa, info);
	mutex_unlock(&uls_spa_lock);
	return err;
}

static int control(struct genl_info *info, struct uls_spa *spa,
		   const struct nlattr *data)
{
	struct sk_buff *skb;
	s64 result = 0;
	void *head;
	int err;

	skb = uls_nl_reply(info, NLMSG_DEFAULT_SIZE, &head);
	if (!skb)
		return -ENOMEM;
	err = uls_control(spa, nla_data(data), nla_len(data), &result,
			  info->extack);
	if (err) {
		nlmsg_free(skb);
		return err;
	}
	/* There is room for both. */
	nla_put_u32(skb, ULS_A_SPA_ID, spa->id);
	nla_put_s32(skb, ULS_A_SPA_RESULT,
		    clamp_t(s64, result, S32_MIN, S32_MAX));
	uls_nl_done(info, skb, head);
	return 0;
}

int uls_nl_spa_control_doit(struct sk_buff *req, struct genl_info *info)
{
	struct nlattr *data = info->attrs[ULS_A_SPA_DATA];
	struct uls_spa *spa;
	int err;

	if (GENL_REQ_ATTR_CHECK(info, ULS_A_SPA_DATA))
		return -EINVAL;
	mutex_lock(&uls_spa_lock);
	spa = made_spa(info, ULS_A_SPA_ID);
	if (!IS_ERR(spa))
		refcount_inc(&spa->refs);
	mutex_unlock(&uls_spa_lock);
	if (IS_ERR(spa))
		return PTR_ERR(spa);

	err = control(info, spa, data);
	uls_spa_put(spa);
	return err;
}
