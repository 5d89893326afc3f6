// SPDX-License-Identifier: GPL-2.0-only
/*
 * kforward.ko: the kernel-thread forwarder, which the sandbox is compared with.
 *
 * Receive hands matching UDP frames, without a copy, to a kernel thread, which
 * rewrites their headers in place and sends them.  So it does the same work as
 * the forwarding SPA, in the kernel, but scheduled.
 *
 * Commands are written to /proc/net/kforward, one at a time:
 *
 *	start DEVICE [out DEVICE] [priority N] [queue N] [cpu N] flow FLOW ...
 *	stop DEVICE
 *
 * where FLOW is as for ulsctl, an arrow and a MAC address included:
 *
 *	udp dst ADDRESS:PORT -> ADDRESS:PORT [src ADDRESS:PORT] mac MAC
 *							[srcmac MAC]
 *
 * "*" matches anything, and keeps what the frame has.  Reading shows the
 * forwarders of the reader's network namespace, and why its last command was
 * refused if it was; the kernel's log has those words too.
 */
#include <linux/cpumask.h>
#include <linux/etherdevice.h>
#include <linux/inet.h>
#include <linux/ip.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/proc_fs.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/seq_file_net.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/udp.h>
#include <net/checksum.h>
#include <net/ip.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <uapi/linux/sched/types.h>

#define NAME		"kforward"
#define FLOWS_MAX	64
#define QUEUE_DEFAULT	1000
#define QUEUE_MAX	65536
#define PRIORITY_MAX	99

/* A match of 0 takes anything; a new value of 0 keeps what the frame has. */
struct flow {
	__be32 match_dst_ip;
	__be16 match_dst_port;
	__be32 new_src_ip, new_dst_ip;
	__be16 new_src_port, new_dst_port;
	u8 new_dst_mac[ETH_ALEN];
	u8 new_src_mac[ETH_ALEN];	/* all 0: the device's own */
};

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
	struct flow flow[FLOWS_MAX];
};

/*
 * RTNL guards the list and every forwarder's life; a device that goes away
 * says so under it.  The receive handler runs under RCU.
 */
static LIST_HEAD(forwarders);

/* Of each network namespace. */
struct kforward_net {
	char refusal[128];		/* RTNL: of the last command; or empty */
};

static unsigned int kforward_net_id;

static const struct flow *match(const struct kforward *kf, __be32 dst,
				__be16 port)
{
	unsigned int i;

	for (i = 0; i < kf->nr_flows; i++) {
		const struct flow *f = &kf->flow[i];

		if ((!f->match_dst_ip || f->match_dst_ip == dst) &&
		    (!f->match_dst_port || f->match_dst_port == port))
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
			struct udphdr *udp, __be32 *field, __be32 to)
{
	if (!to || *field == to)
		return;
	csum_replace4(&ip->check, *field, to);
	if (udp->check || skb->ip_summed == CHECKSUM_PARTIAL)
		inet_proto_csum_replace4(&udp->check, skb, *field, to, true);
	*field = to;
}

static void set_port(struct sk_buff *skb, struct udphdr *udp, __be16 *field,
		     __be16 to)
{
	if (!to || *field == to)
		return;
	if (udp->check || skb->ip_summed == CHECKSUM_PARTIAL)
		inet_proto_csum_replace2(&udp->check, skb, *field, to, false);
	*field = to;
}

static void rewrite(struct sk_buff *skb, struct iphdr *ip, struct udphdr *udp,
		    const struct flow *f)
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
			 const struct flow *f)
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
	const struct flow *f;
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

static __printf(3, 4) int refuse(struct net *net, int err, const char *fmt, ...)
{
	struct kforward_net *kn = net_generic(net, kforward_net_id);
	va_list args;

	ASSERT_RTNL();
	va_start(args, fmt);
	vscnprintf(kn->refusal, sizeof(kn->refusal), fmt, args);
	va_end(args);
	pr_info(NAME ": %s\n", kn->refusal);
	return err;
}

static struct kforward *find(const struct net *net, const char *name)
{
	struct kforward *kf;

	ASSERT_RTNL();
	list_for_each_entry(kf, &forwarders, node)
		if (net_eq(dev_net(kf->in), net) && !strcmp(kf->in->name, name))
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

static int kforward_run(struct kforward *kf)
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
		refuse(dev_net(kf->in), err,
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

/* A command that is being read: the word in hand, and what follows it. */
struct words {
	struct net *net;
	char *word;		/* "" at the end */
	char *rest;
};

static void next(struct words *w)
{
	do {
		w->word = w->rest ? strsep(&w->rest, " \t\n") : "";
	} while (!*w->word && w->rest);
}

static bool take(struct words *w, const char *word)
{
	if (strcmp(w->word, word))
		return false;
	next(w);
	return true;
}

static int read_number(struct words *w, const char *what, u32 min, u32 max,
		       u32 *n)
{
	if (kstrtou32(w->word, 10, n) || *n < min || *n > max)
		return refuse(w->net, -EINVAL, "%s \"%s\": must be %u to %u",
			      what, w->word, min, max);
	next(w);
	return 0;
}

static int read_device(struct words *w, struct net_device **dev)
{
	*dev = __dev_get_by_name(w->net, w->word);
	if (!*dev)
		return refuse(w->net, -ENODEV, "no interface \"%s\"", w->word);
	if ((*dev)->type != ARPHRD_ETHER)
		return refuse(w->net, -EOPNOTSUPP, "%s is no Ethernet",
			      (*dev)->name);
	next(w);
	return 0;
}

/* ADDRESS:PORT; "*" stands for 0 in either place. */
static int read_endpoint(struct words *w, __be32 *ip, __be16 *port)
{
	char *service = strchr(w->word, ':');
	u16 number = 0;

	if (!service)
		goto err_refuse;
	if (!in4_pton(w->word, service - w->word, (u8 *)ip, -1, NULL)) {
		if (w->word[0] != '*' || service != w->word + 1)
			goto err_refuse;
		*ip = 0;
	}
	service++;
	if (strcmp(service, "*") &&
	    (kstrtou16(service, 10, &number) || !number))
		goto err_refuse;
	*port = htons(number);
	next(w);
	return 0;

err_refuse:
	return refuse(w->net, -EINVAL,
		      "flow: \"%s\" is not ADDRESS:PORT", w->word);
}

static int read_mac(struct words *w, u8 *mac)
{
	if (!mac_pton(w->word, mac) || !is_valid_ether_addr(mac))
		return refuse(w->net, -EINVAL,
			      "flow: \"%s\" is no station's MAC address",
			      w->word);
	next(w);
	return 0;
}

static int read_flow(struct words *w, struct flow *f)
{
	int err;

	if (!take(w, "udp") || !take(w, "dst"))
		return refuse(w->net, -EINVAL,
			      "flow: \"udp dst\" expected, not \"%s\"",
			      w->word);
	err = read_endpoint(w, &f->match_dst_ip, &f->match_dst_port);
	if (err)
		return err;
	if (!take(w, "->"))
		return refuse(w->net, -EINVAL,
			      "flow: \"->\" expected, not \"%s\"", w->word);
	err = read_endpoint(w, &f->new_dst_ip, &f->new_dst_port);
	while (!err) {
		if (take(w, "src"))
			err = read_endpoint(w, &f->new_src_ip,
					    &f->new_src_port);
		else if (take(w, "mac"))
			err = read_mac(w, f->new_dst_mac);
		else if (take(w, "srcmac"))
			err = read_mac(w, f->new_src_mac);
		else
			break;
	}
	if (!err && is_zero_ether_addr(f->new_dst_mac))
		err = refuse(w->net, -EINVAL,
			     "flow needs a MAC address to send to");
	return err;
}

static int read_cpu(struct words *w, int *cpu)
{
	u32 n;
	int err = read_number(w, "cpu", 0, nr_cpu_ids - 1, &n);

	if (err)
		return err;
	if (!cpu_online(n))
		return refuse(w->net, -EINVAL, "no CPU %u", n);
	*cpu = n;
	return 0;
}

static int read_options(struct words *w, struct kforward *kf)
{
	int err = 0;

	while (!err && *w->word) {
		if (take(w, "out"))
			err = read_device(w, &kf->out);
		else if (take(w, "priority"))
			err = read_number(w, "priority", 0, PRIORITY_MAX,
					  &kf->priority);
		else if (take(w, "queue"))
			err = read_number(w, "queue", 1, QUEUE_MAX,
					  &kf->queue_len);
		else if (take(w, "cpu"))
			err = read_cpu(w, &kf->cpu);
		else if (take(w, "flow") && kf->nr_flows < FLOWS_MAX)
			err = read_flow(w, &kf->flow[kf->nr_flows++]);
		else if (kf->nr_flows == FLOWS_MAX)
			err = refuse(w->net, -EINVAL, "more than %d flows",
				     FLOWS_MAX);
		else
			err = refuse(w->net, -EINVAL, "unknown word \"%s\"",
				     w->word);
	}
	if (!err && !kf->nr_flows)
		err = refuse(w->net, -EINVAL, "a flow is needed");
	return err;
}

static int start(struct words *w)
{
	struct net_device *in;
	struct kforward *kf;
	int err;

	err = read_device(w, &in);
	if (err)
		return err;
	if (find(w->net, in->name))
		return refuse(w->net, -EBUSY, "%s already has a forwarder",
			      in->name);
	kf = kzalloc(sizeof(*kf), GFP_KERNEL_ACCOUNT);
	if (!kf)
		return -ENOMEM;
	kf->in = in;
	kf->out = in;
	kf->queue_len = QUEUE_DEFAULT;
	kf->cpu = -1;
	skb_queue_head_init(&kf->queue);
	init_waitqueue_head(&kf->wait);
	err = read_options(w, kf);
	if (err) {
		kfree(kf);
		return err;
	}
	netdev_hold(kf->in, &kf->in_tracker, GFP_KERNEL);
	netdev_hold(kf->out, &kf->out_tracker, GFP_KERNEL);
	err = kforward_run(kf);
	if (err)
		kforward_free(kf);
	return err;
}

static int stop(struct words *w)
{
	struct kforward *kf = find(w->net, w->word);

	if (!kf)
		return refuse(w->net, -ENOENT, "no forwarder on \"%s\"",
			      w->word);
	kforward_stop(kf);
	return 0;
}

static int execute(struct words *w)
{
	struct kforward_net *kn = net_generic(w->net, kforward_net_id);

	kn->refusal[0] = 0;
	next(w);
	if (take(w, "start"))
		return start(w);
	if (take(w, "stop"))
		return stop(w);
	return refuse(w->net, -EINVAL, "unknown command \"%s\"", w->word);
}

static int write_command(struct file *file, char *buf, size_t size)
{
	struct seq_file *m = file->private_data;
	struct words w = { .net = seq_file_single_net(m), .rest = buf };
	int err;

	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	rtnl_lock();
	err = execute(&w);
	rtnl_unlock();
	return err;
}

static void show_endpoint(struct seq_file *m, const char *word, __be32 ip,
			  __be16 port)
{
	seq_puts(m, word);
	if (ip)
		seq_printf(m, "%pI4:", &ip);
	else
		seq_puts(m, "*:");
	if (port)
		seq_printf(m, "%u", ntohs(port));
	else
		seq_putc(m, '*');
}

static void show_flow(struct seq_file *m, const struct flow *f)
{
	show_endpoint(m, "  flow udp dst ", f->match_dst_ip, f->match_dst_port);
	show_endpoint(m, " -> ", f->new_dst_ip, f->new_dst_port);
	if (f->new_src_ip || f->new_src_port)
		show_endpoint(m, " src ", f->new_src_ip, f->new_src_port);
	seq_printf(m, " mac %pM", f->new_dst_mac);
	if (!is_zero_ether_addr(f->new_src_mac))
		seq_printf(m, " srcmac %pM", f->new_src_mac);
	seq_putc(m, '\n');
}

static void show_forwarder(struct seq_file *m, const struct kforward *kf)
{
	unsigned int i;

	seq_printf(m, "%s out %s pid %d priority %u queue %u", kf->in->name,
		   kf->out->name, task_pid_nr(kf->thread), kf->priority,
		   kf->queue_len);
	if (kf->cpu >= 0)
		seq_printf(m, " cpu %d", kf->cpu);
	seq_printf(m, "\n  rx_frames %llu tx_frames %llu queue_drops %llu ttl_drops %llu tx_drops %llu copied %llu\n",
		   READ_ONCE(kf->rx_frames), READ_ONCE(kf->tx_frames),
		   READ_ONCE(kf->queue_drops), READ_ONCE(kf->ttl_drops),
		   READ_ONCE(kf->tx_drops), READ_ONCE(kf->copied));
	for (i = 0; i < kf->nr_flows; i++)
		show_flow(m, &kf->flow[i]);
}

static int show(struct seq_file *m, void *v)
{
	struct net *net = seq_file_single_net(m);
	struct kforward_net *kn = net_generic(net, kforward_net_id);
	const struct kforward *kf;

	rtnl_lock();
	if (kn->refusal[0])
		seq_printf(m, "refused: %s\n", kn->refusal);
	list_for_each_entry(kf, &forwarders, node)
		if (net_eq(dev_net(kf->in), net))
			show_forwarder(m, kf);
	rtnl_unlock();
	return 0;
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

static int __net_init kforward_net_init(struct net *net)
{
	return proc_create_net_single_write(NAME, 0644, net->proc_net, show,
					    write_command, NULL) ? 0 : -ENOMEM;
}

static void __net_exit kforward_net_exit(struct net *net)
{
	remove_proc_entry(NAME, net->proc_net);
}

static struct pernet_operations kforward_net_ops = {
	.init	= kforward_net_init,
	.exit	= kforward_net_exit,
	.id	= &kforward_net_id,
	.size	= sizeof(struct kforward_net),
};

static int __init kforward_init(void)
{
	int err;

	err = register_netdevice_notifier(&device_notifier);
	if (err)
		return err;
	err = register_pernet_subsys(&kforward_net_ops);
	if (err)
		unregister_netdevice_notifier(&device_notifier);
	return err;
}

/* Without its file nothing is started any more. */
static void __exit kforward_exit(void)
{
	struct kforward *kf, *next;

	unregister_pernet_subsys(&kforward_net_ops);
	unregister_netdevice_notifier(&device_notifier);
	rtnl_lock();
	list_for_each_entry_safe(kf, next, &forwarders, node)
		kforward_stop(kf);
	rtnl_unlock();
}

module_init(kforward_init);
module_exit(kforward_exit);

MODULE_DESCRIPTION("Sandstream lab: the kernel-thread forwarder");
MODULE_LICENSE("GPL");
