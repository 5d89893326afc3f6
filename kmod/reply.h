/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the commands of the netlink family have in common: the SPA a request
 * names, and the answer.
 */
#ifndef _ULS_REPLY_H
#define _ULS_REPLY_H

#include <net/genetlink.h>

struct sk_buff;
struct uls_spa;

struct uls_spa *uls_nl_spa(struct genl_info *info, unsigned int attr);
struct sk_buff *uls_nl_reply(struct genl_info *info, size_t size, void **head);
int uls_nl_answer(struct genl_info *info, struct sk_buff *skb, void *head,
		  int err);
void uls_nl_done(struct genl_info *info, struct sk_buff *skb, void *head);

#endif /* _ULS_REPLY_H */
