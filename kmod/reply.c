// SPDX-License-Identifier: GPL-2.0-only
/*
 * Beginning and end of a command: the SPA a request names, and the answer.
 *
 * Owns nothing: a message belongs to the command that began it until
 * uls_nl_answer() or uls_nl_done().
 */
#include <linux/err.h>
#include <linux/lockdep.h>
#include <net/genetlink.h>

#include "record.h"
#include "reply.h"
#include "table.h"

/* The SPA that a required attribute names; the caller has the lock. */
struct uls_spa *uls_nl_spa(struct genl_info *info, unsigned int attr)
{
	struct uls_spa *spa;
	u32 id;

	lockdep_assert_held(&uls_spa_lock);
	if (GENL_REQ_ATTR_CHECK(info, attr))
		return ERR_PTR(-EINVAL);
	id = nla_get_u32(info->attrs[attr]);
	spa = uls_table_find(id);
	if (spa)
		return spa;
	NL_SET_ERR_MSG_ATTR_FMT(info->extack, info->attrs[attr], "no SPA %u",
				id);
	return ERR_PTR(-ENOENT);
}

/**
 * uls_nl_reply() - begin the answer to a request
 * @info: the request
 * @size: room for attributes, bytes
 * @head: set to what genlmsg_end() needs
 *
 * Return: the message, or NULL without memory.
 */
struct sk_buff *uls_nl_reply(struct genl_info *info, size_t size, void **head)
{
	struct sk_buff *skb = genlmsg_new(size, GFP_KERNEL);

	if (!skb)
		return NULL;
	*head = genlmsg_iput(skb, info);
	if (*head)
		return skb;
	nlmsg_free(skb);
	return NULL;
}

/**
 * uls_nl_answer() - send what uls_nl_reply() began
 * @info: the request
 * @skb: the message, which is gone afterwards
 * @head: as set by uls_nl_reply()
 * @err: of putting attributes into it; unless 0 nothing is sent
 *
 * Return: 0, @err, or the error of sending.
 */
int uls_nl_answer(struct genl_info *info, struct sk_buff *skb, void *head,
		  int err)
{
	if (err) {
		nlmsg_free(skb);
		return err;
	}
	genlmsg_end(skb, head);
	return genlmsg_reply(skb, info);
}

/**
 * uls_nl_done() - send the answer to what has been done and is not undone
 * @info: the request
 * @skb: begun before that, so that it could still fail; gone afterwards
 * @head: as set by uls_nl_reply()
 *
 * If it does not fit into the socket's buffer any more, the socket says so.
 */
void uls_nl_done(struct genl_info *info, struct sk_buff *skb, void *head)
{
	genlmsg_end(skb, head);
	genlmsg_reply(skb, info);
}
