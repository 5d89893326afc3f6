// SPDX-License-Identifier: GPL-2.0-only
/*
 * kforward - tests of the kernel-thread forwarder, kforward.ko, through its
 * file /proc/net/kforward:
 *
 *	   AF_PACKET --> ktest1 ======== ktest0 (rx handler)
 *	                                    |
 *	   AF_PACKET <-- ktest1 ======== ktest0 <- thread: rewritten
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <linux/udp.h>
#include <linux/veth.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nl.h"
#include "tap.h"

#define CONTROL	"/proc/net/kforward"
#define MAC	"02:00:00:00:00:09"
#define FLOW	"flow udp dst 192.0.2.2:2000 -> 198.51.100.7:3000 src 192.0.2.2:* mac " MAC

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

static char shown[4096];	/* what the module's file said last */

/* Fills in shown; 0 or a positive errno. */
static int show(void)
{
	int fd = open(CONTROL, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return errno;
	n = read(fd, shown, sizeof(shown) - 1);
	close(fd);
	if (n < 0)
		return EIO;
	shown[n] = 0;
	return 0;
}

/* 0 or a positive errno. */
static int command(const char *text)
{
	int fd = open(CONTROL, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		err = errno;
	close(fd);
	return err;
}

/* The figure after a word of what the file says; 0 without it. */
static unsigned long long figure(const char *word)
{
	const char *at = strstr(shown, word);

	return at ? strtoull(at + strlen(word), NULL, 10) : 0;
}

static void refuses(const char *text, int err, const char *words,
		    const char *what)
{
	char line[200] = "";
	int got = command(text);

	show();
	sscanf(shown, "refused: %199[^\n]", line);
	ok(got == err && strstr(line, words), "%s: %s, \"%s\"", what,
	   strerror(got), line);
}

static void refusals(void)
{
	refuses("start none0 " FLOW, ENODEV, "no interface", "no such interface");
	refuses("start lo " FLOW, EOPNOTSUPP, "no Ethernet", "no Ethernet");
	refuses("start ktest0", EINVAL, "a flow is needed", "no flow");
	refuses("start ktest0 flow udp dst 192.0.2.2", EINVAL, "ADDRESS:PORT",
		"short flow");
	refuses("start ktest0 flow udp dst 192.0.2.2:2000", EINVAL, "\"->\"",
		"flow that leads nowhere");
	refuses("start ktest0 flow udp dst *:1 -> *:2", EINVAL, "MAC address",
		"flow without a MAC address");
	refuses("start ktest0 flow udp dst *:1 -> *:2 mac 01:00:00:00:00:01",
		EINVAL, "no station's", "flow to a group's MAC address");
	refuses("start ktest0 cpu 4096 " FLOW, EINVAL, "cpu", "no such CPU");
	refuses("start ktest0 priority 100 " FLOW, EINVAL, "0 to 99",
		"no such priority");
	refuses("start ktest0 queue 0 " FLOW, EINVAL, "1 to 65536",
		"no queue");
	refuses("start ktest0 " FLOW " loudly", EINVAL, "loudly",
		"unknown option");
	refuses("halt ktest0", EINVAL, "halt", "unknown command");
	refuses("stop ktest0", ENOENT, "no forwarder",
		"stop what was not started");
}

/* In a child without capabilities; its exit status is the number of failures. */
static int as_nobody(void)
{
	int bad = 0, fd;

	/* Opened by whoever may: the module looks at who writes. */
	fd = open(CONTROL, O_WRONLY);
	if (setgid(65534) || setuid(65534) || fd < 0)
		return 99;
	bad += write(fd, "stop ktest0", 11) != -1 || errno != EPERM;
	bad += write(fd, "start ktest0 " FLOW, 13 + strlen(FLOW)) != -1 ||
	       errno != EPERM;
	bad += command("stop ktest0") != EACCES;
	bad += show() != 0 || !strstr(shown, "ktest0");
	return bad;
}

/* In a child with a network namespace of its own. */
static int elsewhere(void)
{
	int bad = 0;

	if (unshare(CLONE_NEWNET))
		return 99;
	bad += command("stop ktest0") != ENOENT;
	bad += show() != 0 || strstr(shown, "ktest0 out");
	return bad;
}

static int wrong_in_child(int (*run)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(run());
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
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

int main(void)
{
	uint32_t ifindex;
	uint8_t mac0[6];
	struct msg m;
	int fd, bad;

	if (show())
		bail("%s: is kforward.ko loaded?", CONTROL);
	if (make_veth() || set_up("ktest0") || set_up("ktest1"))
		bail("cannot make a veth pair");
	ifindex = if_nametoindex("ktest0");
	mac_of("ktest0", mac0);
	refusals();

	ok(!command("start ktest0 priority 10 " FLOW) && !show(), "start");
	ok(figure(" pid ") > 0 && figure(" priority ") == 10, "thread %llu",
	   figure(" pid "));
	ok(!!strstr(shown, FLOW "\n"), "it says its flow as it was told");
	refuses("start ktest0 " FLOW, EBUSY, "already has", "start twice");
	bad = wrong_in_child(as_nobody);
	ok(!bad, "without CAP_NET_ADMIN: reading yes, changing no (%d wrong)",
	   bad);
	bad = wrong_in_child(elsewhere);
	ok(!bad, "another network namespace knows nothing of it (%d wrong)",
	   bad);
	fd = packet_socket("ktest1");
	forwards(fd, mac0);
	close(fd);
	ok(!show() && figure(" rx_frames ") == 3 &&
	   figure(" tx_frames ") == 2 && figure(" ttl_drops ") == 1, "counters");
	ok(!command("stop ktest0") && !show() && !strstr(shown, "ktest0"),
	   "stop");

	ok(!command("start ktest0 " FLOW), "start again");
	link_msg(&m, RTM_DELLINK, ifindex);
	ok(!route_call(&m, 0), "delete the interface");
	ok(!show() && !strstr(shown, "ktest0"), "the forwarder went with it");
	return tap_end();
}
