// SPDX-License-Identifier: GPL-2.0-only
/*
 * Telling whoever listens what became of an SPA.  In every network namespace:
 * SPAs are machine-wide.
 *
 * Owns the word that ends it, which is set before the family goes.
 */
#include <net/genetlink.h>

#include "describe.h"
#include "events.h"
#include "generated/uls_netlink_gen.h"
#include "table.h"

static bool stopped;	/* uls_spa_lock; the family is no longer registered */

void uls_event_send(u8 cmd, const struct uls_spa *spa, u32 replaced)
{
	struct sk_buff *skb;
	void *head;

	lockdep_assert_held(&uls_spa_lock);
	if (stopped)
		return;
	skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!skb)
		return;
	head = genlmsg_put(skb, 0, 0, &uls_nl_family, 0, cmd);
	if (!head || uls_nl_put_spa(skb, spa) ||
	    (replaced && nla_put_u32(skb, ULS_A_SPA_REPLACE_ID, replaced))) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, head);
	genlmsg_multicast_allns(&uls_nl_family, skb, 0, ULS_NLGRP_EVENTS);
}

void uls_events_stop(void)
{
	mutex_lock(&uls_spa_lock);
	stopped = true;
	mutex_unlock(&uls_spa_lock);
}
