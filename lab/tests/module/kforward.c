// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel-thread forwarder:
 *
 *	   AF_PACKET --> ktest1 ======== ktest0 (rx handler)
 *	                                    |
 *	   AF_PACKET <-- ktest1 ======== ktest0 <- thread: rewritten
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <linux/udp.h>
#include <linux/uls_netlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tap.h"
#include "tests.h"
#include "uls_shm.h"

#define PAYLOAD	100
#define FRAME	(sizeof(struct ethhdr) + sizeof(struct iphdr) + \
		 sizeof(struct udphdr) + PAYLOAD)

struct frame {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	char payload[PAYLOAD];
} __attribute__((packed));

static int route_call(struct msg *m, int flags)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		char rest[512];
	} reply;
	struct nlmsghdr *h = (void *)m->buf;
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), err = EIO;

	h->nlmsg_len = m->len;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	if (send(fd, m->buf, m->len, 0) == (ssize_t)m->len &&
	    recv(fd, &reply, sizeof(reply), 0) > 0)
		err = -reply.e.error;
	close(fd);
	return err;
}

static void link_msg(struct msg *m, int type, int ifindex)
{
	struct ifinfomsg *i = (void *)(m->buf + NLMSG_HDRLEN);

	memset(m->buf, 0, NLMSG_HDRLEN + sizeof(*i));
	((struct nlmsghdr *)m->buf)->nlmsg_type = type;
	i->ifi_index = ifindex;
	m->len = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(*i));
}

static int make_veth(void)
{
	static const struct ifinfomsg nothing;
	size_t info, data, peer;
	struct msg m;

	link_msg(&m, RTM_NEWLINK, 0);
	msg_str(&m, IFLA_IFNAME, "ktest0");
	info = msg_nest(&m, IFLA_LINKINFO);
	msg_str(&m, IFLA_INFO_KIND, "veth");
	data = msg_nest(&m, IFLA_INFO_DATA);
	peer = m.len;
	msg_put(&m, VETH_INFO_PEER, &nothing, sizeof(nothing));
	msg_str(&m, IFLA_IFNAME, "ktest1");
	msg_end(&m, peer);
	msg_end(&m, data);
	msg_end(&m, info);
	return route_call(&m, NLM_F_CREATE | NLM_F_EXCL);
}

static int set_up(const char *name)
{
	struct ifinfomsg *i;
	struct msg m;

	link_msg(&m, RTM_NEWLINK, if_nametoindex(name));
	i = (void *)(m.buf + NLMSG_HDRLEN);
	i->ifi_flags = IFF_UP;
	i->ifi_change = IFF_UP;
	return route_call(&m, 0);
}

static void mac_of(const char *name, uint8_t *mac)
{
	struct ifreq r = {};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(r.ifr_name, name);
	if (ioctl(fd, SIOCGIFHWADDR, &r))
		bail("MAC of %s: %s", name, strerror(errno));
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
	close(fd);
}

static int packet_socket(const char *name)
{
	struct sockaddr_ll a = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IP),
		.sll_ifindex = if_nametoindex(name),
	};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP));

	if (fd < 0 || bind(fd, (void *)&a, sizeof(a)))
		bail("packet socket: %s", strerror(errno));
	return fd;
}

static uint32_t sum16(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *p = data;

	for (; len > 1; len -= 2, p += 2)
		sum += p[0] << 8 | p[1];
	return len ? sum + (p[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static uint16_t ip_sum(const struct frame *f)
{
	return fold(sum16(&f->ip, sizeof(f->ip), 0));
}

static uint16_t udp_sum(const struct frame *f)
{
	uint32_t sum = sum16(&f->ip.saddr, 8, IPPROTO_UDP);

	sum += ntohs(f->udp.len);
	return fold(sum16(&f->udp, sizeof(f->udp) + PAYLOAD, sum));
}

static void make_frame(struct frame *f, const uint8_t *to, uint16_t port,
		       uint8_t ttl)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->eth.h_dest, to, 6);
	f->eth.h_source[0] = 2;
	f->eth.h_proto = htons(ETH_P_IP);
	f->ip.version = 4;
	f->ip.ihl = 5;
	f->ip.ttl = ttl;
	f->ip.protocol = IPPROTO_UDP;
	f->ip.tot_len = htons(FRAME - sizeof(f->eth));
	f->ip.saddr = inet_addr("192.0.2.1");
	f->ip.daddr = inet_addr("192.0.2.2");
	f->ip.check = htons(ip_sum(f));
	f->udp.source = htons(1000);
	f->udp.dest = htons(port);
	f->udp.len = htons(sizeof(f->udp) + PAYLOAD);
	memset(f->payload, 0x5a, PAYLOAD);
	f->udp.check = htons(udp_sum(f));
}

/* What comes back from the forwarder, not what was sent. */
static int receive(int fd, struct frame *f, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct sockaddr_ll from;
	socklen_t len = sizeof(from);

	while (poll(&p, 1, timeout_ms) == 1) {
		if (recvfrom(fd, f, sizeof(*f), 0, (void *)&from, &len) ==
		    FRAME && from.sll_pkttype != PACKET_OUTGOING)
			return 0;
		len = sizeof(from);
	}
	return ETIMEDOUT;
}

static const uint8_t next_hop[6] = { 2, 0, 0, 0, 0, 9 };

static void start_msg(struct msg *m, uint32_t ifindex)
{
	struct uls_msg_flow f = {
		.hdr = { .type = ULS_MSG_FLOW_ADD, .len = sizeof(f) },
		.match_dst_ip = inet_addr("192.0.2.2"),
		.match_dst_port = htons(2000),
		.new_src_ip = inet_addr("192.0.2.2"),
		.new_dst_ip = inet_addr("198.51.100.7"),
		.new_dst_port = htons(3000),
	};

	memcpy(f.new_dst_mac, next_hop, 6);
	msg_init(m, ULS_CMD_KFORWARD_START);
	msg_u32(m, ULS_A_KFORWARD_IFINDEX, ifindex);
	msg_put(m, ULS_A_KFORWARD_FLOW, &f, sizeof(f));
}

static int by_ifindex(struct nl *nl, uint8_t cmd, uint32_t ifindex)
{
	struct msg m;

	msg_init(&m, cmd);
	msg_u32(&m, ULS_A_KFORWARD_IFINDEX, ifindex);
	return nl_call(nl, &m);
}

static void refusals(struct nl *nl, uint32_t ifindex)
{
	struct msg m;

	start_msg(&m, 9999);
	ok(nl_call(nl, &m) == ENODEV, "no such interface: \"%s\"", nl->text);
	start_msg(&m, if_nametoindex("lo"));
	ok(nl_call(nl, &m) == EOPNOTSUPP, "no Ethernet: \"%s\"", nl->text);
	msg_init(&m, ULS_CMD_KFORWARD_START);
	msg_u32(&m, ULS_A_KFORWARD_IFINDEX, ifindex);
	ok(nl_call(nl, &m) == EINVAL, "no flow: \"%s\"", nl->text);
	msg_put(&m, ULS_A_KFORWARD_FLOW, "abcd", 4);
	ok(nl_call(nl, &m) == EINVAL, "short flow: \"%s\"", nl->text);
	start_msg(&m, ifindex);
	msg_u32(&m, ULS_A_KFORWARD_CPU, 4096);
	ok(nl_call(nl, &m) == EINVAL, "no such CPU: \"%s\"", nl->text);
	ok(by_ifindex(nl, ULS_CMD_KFORWARD_STOP, ifindex) == ENOENT,
	   "stop what was not started: \"%s\"", nl->text);
}

static void forwards(int fd, const uint8_t *mac0)
{
	struct frame f, back;

	make_frame(&f, mac0, 2000, 9);
	ok(send(fd, &f, FRAME, 0) == FRAME && !receive(fd, &back, 3000),
	   "a frame comes back");
	ok(!memcmp(back.eth.h_dest, next_hop, 6) &&
	   !memcmp(back.eth.h_source, mac0, 6), "with new MAC addresses");
	ok(back.ip.saddr == inet_addr("192.0.2.2") &&
	   back.ip.daddr == inet_addr("198.51.100.7") && back.ip.ttl == 8,
	   "new IP addresses and a smaller TTL");
	ok(back.udp.source == htons(1000) && back.udp.dest == htons(3000),
	   "new UDP port");
	ok(!ip_sum(&back) && !udp_sum(&back), "and right checksums");
	ok(!memcmp(back.payload, f.payload, PAYLOAD), "the payload untouched");

	f.udp.check = 0;
	send(fd, &f, FRAME, 0);
	ok(!receive(fd, &back, 3000) && !back.udp.check,
	   "no UDP checksum stays none");
	make_frame(&f, mac0, 2000, 1);
	send(fd, &f, FRAME, 0);
	ok(receive(fd, &back, 300) == ETIMEDOUT, "TTL 1 ends here");
	make_frame(&f, mac0, 2001, 9);
	send(fd, &f, FRAME, 0);
	ok(receive(fd, &back, 300) == ETIMEDOUT, "another port is not ours");
}

void test_kforward(struct nl *nl)
{
	uint32_t ifindex;
	uint8_t mac0[6];
	struct msg m;
	int fd;

	if (make_veth() || set_up("ktest0") || set_up("ktest1"))
		bail("cannot make a veth pair");
	ifindex = if_nametoindex("ktest0");
	mac_of("ktest0", mac0);
	refusals(nl, ifindex);

	start_msg(&m, ifindex);
	msg_u32(&m, ULS_A_KFORWARD_PRIORITY, 10);
	ok(!nl_call(nl, &m), "start: %s", nl->text);
	ok(nl_u64(nl_attr(nl, ULS_A_KFORWARD_PID)) > 0, "thread %llu",
	   (unsigned long long)nl_u64(nl_attr(nl, ULS_A_KFORWARD_PID)));
	ok(nl_call(nl, &m) == EBUSY, "start twice: \"%s\"", nl->text);
	fd = packet_socket("ktest1");
	forwards(fd, mac0);
	close(fd);
	ok(!by_ifindex(nl, ULS_CMD_KFORWARD_GET, ifindex) &&
	   nl_u64(nl_attr(nl, ULS_A_KFORWARD_RX_FRAMES)) == 3 &&
	   nl_u64(nl_attr(nl, ULS_A_KFORWARD_TX_FRAMES)) == 2 &&
	   nl_u64(nl_attr(nl, ULS_A_KFORWARD_TTL_DROPS)) == 1, "counters");
	ok(!by_ifindex(nl, ULS_CMD_KFORWARD_STOP, ifindex), "stop");

	start_msg(&m, ifindex);
	ok(!nl_call(nl, &m), "start again");
	link_msg(&m, RTM_DELLINK, ifindex);
	ok(!route_call(&m, 0), "delete the interface");
	ok(by_ifindex(nl, ULS_CMD_KFORWARD_GET, ifindex) == ENOENT,
	   "the forwarder went with it");
}
