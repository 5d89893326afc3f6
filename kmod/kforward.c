// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel-thread forwarder: what the sandbox is compared with.
 *
 * Receive hands matching UDP frames, without a copy, to a kernel thread, which
 * rewrites their headers in place and sends them.  So it does the same work as
 * the forwarding SPA, in the kernel, but scheduled.
 */
#include <linux/cpumask.h>
#include <linux/etherdevice.h>
#include <linux/ip.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/udp.h>
#include <net/checksum.h>
#include <net/genetlink.h>
#include <net/ip.h>
#include <uapi/linux/sched/types.h>
#include <uapi/linux/uls_netlink.h>

#include "generated/uls_netlink_gen.h"
#include "kforward.h"
#include "reply.h"
#include "uls_shm.h"

struct kforward {
	struct list_head node;		/* forwarders; RTNL */
	struct net_device *in, *out;
	netdevice_tracker in_tracker, out_tracker;
	struct task_struct *thread;
	u32 priority, queue_len;
	int cpu;			/* -1: any */
	struct sk_buff_head queue;	/* its own lock; filled in softirq */
	wait_queue_head_t wait;

	/* Written by the receive handler, or by the thread, only. */
	u64 rx_frames, queue_drops;
	u64 tx_frames, ttl_drops, tx_drops, copied;

	unsigned int nr_flows;
	struct uls_msg_flow flow[] __counted_by(nr_flows);
};

/*
 * RTNL guards the list and every forwarder's life; a device that goes away
 * says so under it.  The receive handler runs under RCU.
 */
static LIST_HEAD(forwarders);

static const struct uls_msg_flow *match(const struct kforward *kf, __be32 dst,
					__be16 port)
{
	unsigned int i;

	for (i = 0; i < kf->nr_flows; i++) {
		const struct uls_msg_flow *f = &kf->flow[i];

		if ((!f->match_dst_ip || f->match_dst_ip == (__force u32)dst) &&
		    (!f->match_dst_port ||
		     f->match_dst_port == (__force u16)port))
			return f;
	}
	return NULL;
}

/* The UDP header of an unfragmented IPv4 frame, both headers linear, or NULL. */
static struct udphdr *udp_header(struct sk_buff *skb)
{
	unsigned int len;
	struct iphdr *ip;

	if (skb->protocol != htons(ETH_P_IP) ||
	    !pskb_may_pull(skb, sizeof(*ip)))
		return NULL;
	ip = (struct iphdr *)skb->data;
	if (ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_UDP ||
	    ip_is_fragment(ip))
		return NULL;
	len = ip->ihl * 4;
	if (ntohs(ip->tot_len) < len + sizeof(struct udphdr) ||
	    ntohs(ip->tot_len) > skb->len ||
	    !pskb_may_pull(skb, len + sizeof(struct udphdr)))
		return NULL;
	return (struct udphdr *)(skb->data + len);
}

static rx_handler_result_t receive(struct sk_buff **pskb)
{
	struct sk_buff *skb = *pskb;
	struct kforward *kf;
	struct udphdr *udp;

	if (skb->pkt_type != PACKET_HOST)
		return RX_HANDLER_PASS;
	skb = skb_share_check(skb, GFP_ATOMIC);
	if (!skb)
		return RX_HANDLER_CONSUMED;
	*pskb = skb;
	udp = udp_header(skb);
	if (!udp)
		return RX_HANDLER_PASS;
	kf = rcu_dereference(skb->dev->rx_handler_data);
	if (!match(kf, ((struct iphdr *)skb->data)->daddr, udp->dest))
		return RX_HANDLER_PASS;

	WRITE_ONCE(kf->rx_frames, kf->rx_frames + 1);
	if (skb_queue_len_lockless(&kf->queue) >= kf->queue_len) {
		WRITE_ONCE(kf->queue_drops, kf->queue_drops + 1);
		kfree_skb_reason(skb, SKB_DROP_REASON_FULL_RING);
		return RX_HANDLER_CONSUMED;
	}
	skb_queue_tail(&kf->queue, skb);
	wake_up(&kf->wait);
	return RX_HANDLER_CONSUMED;
}

static void set_address(struct sk_buff *skb, struct iphdr *ip,
			struct udphdr *udp, __be32 *field, u32 value)
{
	__be32 to = (__force __be32)value;

	if (!value || *field == to)
		return;
	csum_replace4(&ip->check, *field, to);
	if (udp->check || skb->ip_summed == CHECKSUM_PARTIAL)
		inet_proto_csum_replace4(&udp->check, skb, *field, to, true);
	*field = to;
}

static void set_port(struct sk_buff *skb, struct udphdr *udp, __be16 *field,
		     u16 value)
{
	__be16 to = (__force __be16)value;

	if (!value || *field == to)
		return;
	if (udp->check || skb->ip_summed == CHECKSUM_PARTIAL)
		inet_proto_csum_replace2(&udp->check, skb, *field, to, false);
	*field = to;
}

static void rewrite(struct sk_buff *skb, struct iphdr *ip, struct udphdr *udp,
		    const struct uls_msg_flow *f)
{
	bool summed = udp->check;

	set_address(skb, ip, udp, &ip->saddr, f->new_src_ip);
	set_address(skb, ip, udp, &ip->daddr, f->new_dst_ip);
	set_port(skb, udp, &udp->source, f->new_src_port);
	set_port(skb, udp, &udp->dest, f->new_dst_port);
	/* 0 would say that there is none. */
	if (summed && !udp->check && skb->ip_summed != CHECKSUM_PARTIAL)
		udp->check = CSUM_MANGLED_0;
	ip_decrease_ttl(ip);
}

/* Put the new Ethernet header in the place of the old one. */
static void set_ethernet(struct sk_buff *skb, const struct kforward *kf,
			 const struct uls_msg_flow *f)
{
	struct ethhdr *eth;

	skb_push(skb, ETH_HLEN);
	skb_reset_mac_header(skb);
	eth = eth_hdr(skb);
	ether_addr_copy(eth->h_dest, f->new_dst_mac);
	if (is_zero_ether_addr(f->new_src_mac))
		ether_addr_copy(eth->h_source, kf->out->dev_addr);
	else
		ether_addr_copy(eth->h_source, f->new_src_mac);
	eth->h_proto = htons(ETH_P_IP);
}

/* Takes the frame. Only the thread calls it. */
static void forward(struct kforward *kf, struct sk_buff *skb)
{
	const struct uls_msg_flow *f;
	struct udphdr *udp;
	struct iphdr *ip;
	int err;

	if (skb_cloned(skb) || skb_headroom(skb) < ETH_HLEN) {
		WRITE_ONCE(kf->copied, kf->copied + 1);
		if (skb_cow(skb, ETH_HLEN))
			goto drop;
	}
	udp = udp_header(skb);
	if (!udp)
		goto drop;
	ip = (struct iphdr *)skb->data;
	f = match(kf, ip->daddr, udp->dest);
	if (!f || skb->len > kf->out->mtu)
		goto drop;
	if (ip->ttl <= 1) {
		WRITE_ONCE(kf->ttl_drops, kf->ttl_drops + 1);
		kfree_skb_reason(skb, SKB_DROP_REASON_IP_INHDR);
		return;
	}

	/* The checksums are kept right by hand, whatever the NIC said. */
	if (skb->ip_summed != CHECKSUM_PARTIAL)
		skb->ip_summed = CHECKSUM_NONE;
	rewrite(skb, ip, udp, f);
	set_ethernet(skb, kf, f);
	skb->dev = kf->out;
	skb->pkt_type = PACKET_OUTGOING;
	skb->priority = 0;
	skb_clear_tstamp(skb);
	err = dev_queue_xmit(skb);
	if (net_xmit_eval(err))
		WRITE_ONCE(kf->tx_drops, kf->tx_drops + 1);
	else
		WRITE_ONCE(kf->tx_frames, kf->tx_frames + 1);
	return;

drop:
	WRITE_ONCE(kf->tx_drops, kf->tx_drops + 1);
	kfree_skb(skb);
}

static int kforward_thread(void *arg)
{
	struct kforward *kf = arg;
	struct sk_buff *skb;

	while (!kthread_should_stop()) {
		wait_event_interruptible(kf->wait,
					 !skb_queue_empty_lockless(&kf->queue) ||
					 kthread_should_stop());
		while ((skb = skb_dequeue(&kf->queue))) {
			forward(kf, skb);
			cond_resched();
		}
	}
	return 0;
}

static struct kforward *find(const struct net *net, u32 ifindex)
{
	struct kforward *kf;

	ASSERT_RTNL();
	list_for_each_entry(kf, &forwarders, node)
		if (dev_net(kf->in) == net && kf->in->ifindex == ifindex)
			return kf;
	return NULL;
}

static void kforward_free(struct kforward *kf)
{
	netdev_put(kf->out, &kf->out_tracker);
	netdev_put(kf->in, &kf->in_tracker);
	kfree(kf);
}

static void kforward_stop(struct kforward *kf)
{
	ASSERT_RTNL();
	list_del(&kf->node);
	netdev_rx_handler_unregister(kf->in);
	kthread_stop(kf->thread);
	skb_queue_purge(&kf->queue);
	kforward_free(kf);
}

static int check_flow(struct genl_info *info, const struct nlattr *attr)
{
	struct uls_msg_flow f;

	if (nla_len(attr) != sizeof(f)) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, attr,
					"flow of %d bytes, not %zu",
					nla_len(attr), sizeof(f));
		return -EINVAL;
	}
	nla_memcpy(&f, attr, sizeof(f));
	if (f.hdr.type != ULS_MSG_FLOW_ADD || f.hdr.len != sizeof(f)) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr,
				    "flow is not a message of type FLOW_ADD");
		return -EINVAL;
	}
	if (!is_valid_ether_addr(f.new_dst_mac)) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr,
				    "flow needs a unicast MAC address to send to");
		return -EINVAL;
	}
	return 0;
}

/* Returns the number of flows, or an error. */
static int check_flows(struct genl_info *info)
{
	struct nlattr *attr;
	int rem, err, nr = 0;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rem) {
		if (nla_type(attr) != ULS_A_KFORWARD_FLOW)
			continue;
		err = check_flow(info, attr);
		if (err)
			return err;
		nr++;
	}
	if (nr && nr <= ULS_KFORWARD_FLOWS_MAX)
		return nr;
	NL_SET_ERR_MSG_FMT(info->extack, "%d flows: must be 1 to %d", nr,
			   ULS_KFORWARD_FLOWS_MAX);
	return -EINVAL;
}

static struct net_device *find_device(struct genl_info *info, unsigned int attr)
{
	struct nlattr *a = info->attrs[attr];
	struct net_device *dev;

	dev = __dev_get_by_index(genl_info_net(info), nla_get_u32(a));
	if (!dev) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, a, "no interface %u",
					nla_get_u32(a));
		return ERR_PTR(-ENODEV);
	}
	if (dev->type != ARPHRD_ETHER) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, a, "%s is no Ethernet",
					dev->name);
		return ERR_PTR(-EOPNOTSUPP);
	}
	return dev;
}

static struct kforward *kforward_alloc(struct genl_info *info, int nr,
				       struct net_device *in,
				       struct net_device *out)
{
	struct nlattr **attrs = info->attrs;
	struct kforward *kf;
	struct nlattr *attr;
	unsigned int i = 0;
	int rem;

	kf = kzalloc(struct_size(kf, flow, nr), GFP_KERNEL_ACCOUNT);
	if (!kf)
		return NULL;
	kf->nr_flows = nr;
	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rem)
		if (nla_type(attr) == ULS_A_KFORWARD_FLOW)
			nla_memcpy(&kf->flow[i++], attr, sizeof(kf->flow[0]));
	if (attrs[ULS_A_KFORWARD_PRIORITY])
		kf->priority = nla_get_u32(attrs[ULS_A_KFORWARD_PRIORITY]);
	kf->queue_len = ULS_KFORWARD_QUEUE_DEFAULT;
	if (attrs[ULS_A_KFORWARD_QUEUE_LEN])
		kf->queue_len = nla_get_u32(attrs[ULS_A_KFORWARD_QUEUE_LEN]);
	kf->cpu = -1;
	if (attrs[ULS_A_KFORWARD_CPU])
		kf->cpu = nla_get_u32(attrs[ULS_A_KFORWARD_CPU]);
	skb_queue_head_init(&kf->queue);
	init_waitqueue_head(&kf->wait);
	kf->in = in;
	kf->out = out;
	netdev_hold(in, &kf->in_tracker, GFP_KERNEL);
	netdev_hold(out, &kf->out_tracker, GFP_KERNEL);
	return kf;
}

static int kforward_run(struct kforward *kf, struct netlink_ext_ack *extack)
{
	struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = SCHED_FIFO,
		.sched_priority = kf->priority,
	};
	int err;

	kf->thread = kthread_create(kforward_thread, kf, "uls_kfwd/%s",
				    kf->in->name);
	if (IS_ERR(kf->thread))
		return PTR_ERR(kf->thread);
	if (kf->cpu >= 0)
		kthread_bind(kf->thread, kf->cpu);
	if (kf->priority) {
		err = sched_setattr_nocheck(kf->thread, &attr);
		if (err)
			goto err_stop;
	}
	err = netdev_rx_handler_register(kf->in, receive, kf);
	if (err) {
		NL_SET_ERR_MSG_FMT(extack,
				   "%s has another receive handler (bridge, bond, macvlan ...)",
				   kf->in->name);
		goto err_stop;
	}
	list_add_tail(&kf->node, &forwarders);
	wake_up_process(kf->thread);
	return 0;

err_stop:
	kthread_stop(kf->thread);
	return err;
}

static int put_u64(struct sk_buff *skb, int attr, const u64 *value)
{
	return nla_put_u64_64bit(skb, attr, READ_ONCE(*value),
				 ULS_A_KFORWARD_PAD);
}

static int put_brief(struct sk_buff *skb, const struct kforward *kf)
{
	if (nla_put_u32(skb, ULS_A_KFORWARD_IFINDEX, kf->in->ifindex) ||
	    nla_put_u32(skb, ULS_A_KFORWARD_PID, task_pid_nr(kf->thread)))
		return -EMSGSIZE;
	return 0;
}

static int put_counters(struct sk_buff *skb, const struct kforward *kf)
{
	if (put_brief(skb, kf) ||
	    nla_put_u32(skb, ULS_A_KFORWARD_OUT_IFINDEX, kf->out->ifindex) ||
	    nla_put_u32(skb, ULS_A_KFORWARD_PRIORITY, kf->priority) ||
	    nla_put_u32(skb, ULS_A_KFORWARD_QUEUE_LEN, kf->queue_len) ||
	    (kf->cpu >= 0 && nla_put_u32(skb, ULS_A_KFORWARD_CPU, kf->cpu)) ||
	    put_u64(skb, ULS_A_KFORWARD_RX_FRAMES, &kf->rx_frames) ||
	    put_u64(skb, ULS_A_KFORWARD_TX_FRAMES, &kf->tx_frames) ||
	    put_u64(skb, ULS_A_KFORWARD_QUEUE_DROPS, &kf->queue_drops) ||
	    put_u64(skb, ULS_A_KFORWARD_TTL_DROPS, &kf->ttl_drops) ||
	    put_u64(skb, ULS_A_KFORWARD_TX_DROPS, &kf->tx_drops) ||
	    put_u64(skb, ULS_A_KFORWARD_COPIED, &kf->copied))
		return -EMSGSIZE;
	return 0;
}

static int put_full(struct sk_buff *skb, const struct kforward *kf)
{
	unsigned int i;
	int err = put_counters(skb, kf);

	for (i = 0; !err && i < kf->nr_flows; i++)
		err = nla_put(skb, ULS_A_KFORWARD_FLOW, sizeof(kf->flow[i]),
			      &kf->flow[i]);
	return err;
}

static int reply(struct genl_info *info, const struct kforward *kf)
{
	struct sk_buff *skb;
	void *head;

	skb = uls_nl_reply(info, 1024 + kf->nr_flows *
			   nla_total_size(sizeof(kf->flow[0])), &head);
	if (!skb)
		return -ENOMEM;
	return uls_nl_answer(info, skb, head, put_full(skb, kf));
}

static int start(struct genl_info *info)
{
	struct nlattr **attrs = info->attrs;
	struct net_device *in, *out;
	struct kforward *kf;
	struct sk_buff *skb;
	int nr, err;
	void *head;

	in = find_device(info, ULS_A_KFORWARD_IFINDEX);
	if (IS_ERR(in))
		return PTR_ERR(in);
	out = in;
	if (attrs[ULS_A_KFORWARD_OUT_IFINDEX])
		out = find_device(info, ULS_A_KFORWARD_OUT_IFINDEX);
	if (IS_ERR(out))
		return PTR_ERR(out);
	if (find(genl_info_net(info), in->ifindex)) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack,
					attrs[ULS_A_KFORWARD_IFINDEX],
					"%s already has a forwarder", in->name);
		return -EBUSY;
	}
	nr = check_flows(info);
	if (nr < 0)
		return nr;
	skb = uls_nl_reply(info, NLMSG_DEFAULT_SIZE, &head);
	if (!skb)
		return -ENOMEM;
	kf = kforward_alloc(info, nr, in, out);
	if (!kf) {
		nlmsg_free(skb);
		return -ENOMEM;
	}
	err = kforward_run(kf, info->extack);
	if (err) {
		kforward_free(kf);
		nlmsg_free(skb);
		return err;
	}
	/* There is room for it. */
	put_brief(skb, kf);
	uls_nl_done(info, skb, head);
	return 0;
}

int uls_nl_kforward_start_doit(struct sk_buff *req, struct genl_info *info)
{
	struct nlattr *cpu = info->attrs[ULS_A_KFORWARD_CPU];
	int err;

	if (GENL_REQ_ATTR_CHECK(info, ULS_A_KFORWARD_IFINDEX))
		return -EINVAL;
	if (cpu && (nla_get_u32(cpu) >= nr_cpu_ids ||
		    !cpu_online(nla_get_u32(cpu)))) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, cpu, "no CPU %u",
					nla_get_u32(cpu));
		return -EINVAL;
	}
	rtnl_lock();
	err = start(info);
	rtnl_unlock();
	return err;
}

static struct kforward *requested(struct genl_info *info)
{
	struct nlattr *attr = info->attrs[ULS_A_KFORWARD_IFINDEX];
	struct kforward *kf;

	if (GENL_REQ_ATTR_CHECK(info, ULS_A_KFORWARD_IFINDEX))
		return ERR_PTR(-EINVAL);
	kf = find(genl_info_net(info), nla_get_u32(attr));
	if (kf)
		return kf;
	NL_SET_ERR_MSG_ATTR_FMT(info->extack, attr,
				"no forwarder on interface %u",
				nla_get_u32(attr));
	return ERR_PTR(-ENOENT);
}

int uls_nl_kforward_stop_doit(struct sk_buff *req, struct genl_info *info)
{
	struct kforward *kf;
	int err = 0;

	rtnl_lock();
	kf = requested(info);
	if (IS_ERR(kf))
		err = PTR_ERR(kf);
	else
		kforward_stop(kf);
	rtnl_unlock();
	return err;
}

int uls_nl_kforward_get_doit(struct sk_buff *req, struct genl_info *info)
{
	struct kforward *kf;
	int err;

	rtnl_lock();
	kf = requested(info);
	err = IS_ERR(kf) ? PTR_ERR(kf) : reply(info, kf);
	rtnl_unlock();
	return err;
}

/* By interface, so without flows; ctx is the number of those already said. */
int uls_nl_kforward_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	const struct genl_info *info = genl_info_dump(cb);
	unsigned long *said = (void *)cb->ctx, at = 0;
	struct kforward *kf;
	int err = 0;

	rtnl_lock();
	list_for_each_entry(kf, &forwarders, node) {
		void *head;

		if (dev_net(kf->in) != sock_net(skb->sk) || at++ < *said)
			continue;
		head = genlmsg_iput(skb, info);
		err = head ? put_counters(skb, kf) : -EMSGSIZE;
		if (err) {
			if (head)
				genlmsg_cancel(skb, head);
			break;
		}
		genlmsg_end(skb, head);
		*said = at;
	}
	rtnl_unlock();
	return err == -EMSGSIZE && skb->len ? skb->len : err;
}

static int device_event(struct notifier_block *nb, unsigned long event,
			void *ptr)
{
	struct net_device *dev = netdev_notifier_info_to_dev(ptr);
	struct kforward *kf, *next;

	if (event != NETDEV_UNREGISTER)
		return NOTIFY_DONE;
	list_for_each_entry_safe(kf, next, &forwarders, node)
		if (kf->in == dev || kf->out == dev)
			kforward_stop(kf);
	return NOTIFY_DONE;
}

static struct notifier_block device_notifier = {
	.notifier_call = device_event,
};

int uls_kforward_init(void)
{
	return register_netdevice_notifier(&device_notifier);
}

void uls_kforward_exit(void)
{
	struct kforward *kf, *next;

	unregister_netdevice_notifier(&device_notifier);
	rtnl_lock();
	list_for_each_entry_safe(kf, next, &forwarders, node)
		kforward_stop(kf);
	rtnl_unlock();
}
