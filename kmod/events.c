// SPDX-License-Identifier: GPL-2.0-only
/*
 * Telling whoever listens, and may hear it, what became of an SPA.  In every
 * network namespace: SPAs are machine-wide.
 *
 * Owns the word that ends it, which is set before the family goes.
 */
#include <linux/capability.h>
#include <linux/net.h>
#include <linux/rcupdate.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "describe.h"
#include "events.h"
#include "generated/uls_netlink_gen.h"
#include "table.h"

static bool stopped;	/* uls_spa_lock; the family is no longer registered */

/*
 * Joining the group is open to all, so it is here that a listener needs the
 * capability that reading takes.  What counts is who opened the socket: an SPA
 * aborts when nobody is asking.  The socket stays while it is in the group.
 */
static int deaf(struct sock *sk, struct sk_buff *skb, void *unused)
{
	const struct file *file = sk->sk_socket ? sk->sk_socket->file : NULL;

	return !file || !file_ns_capable(file, &init_user_ns, CAP_NET_ADMIN);
}

static void send_everywhere(struct sk_buff *skb)
{
	struct sk_buff *one;
	struct net *net;

	rcu_read_lock();
	for_each_net_rcu(net) {
		one = skb_clone(skb, GFP_ATOMIC);
		if (!one)
			break;
		genlmsg_multicast_netns_filtered(&uls_nl_family, net, one, 0,
						 ULS_NLGRP_EVENTS, GFP_ATOMIC,
						 deaf, NULL);
	}
	rcu_read_unlock();
	consume_skb(skb);
}

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
	send_everywhere(skb);
}

void uls_events_stop(void)
{
	mutex_lock(&uls_spa_lock);
	stopped = true;
	mutex_unlock(&uls_spa_lock);
}
