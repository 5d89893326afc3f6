// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

/* --- verdicts ------------------------------------------------------------ */

static unsigned int passed, failed, skipped;

bool check(bool cond, const char *name, const char *fmt, ...)
{
	va_list ap;

	if (cond)
		passed++;
	else
		failed++;
	printf("%s %u %s # ", cond ? "ok" : "not ok", passed + failed + skipped, name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	return cond;
}

void skip(const char *name, const char *why)
{
	skipped++;
	printf("ok %u %s # SKIP %s\n", passed + failed + skipped, name, why);
	fflush(stdout);
}

int verdict(void)
{
	bool good = !failed && passed;

	printf("%s %u passed, %u failed, %u skipped\n", good ? "PASS" : "FAIL",
	       passed, failed, skipped);
	fflush(stdout);
	return good ? EX_DONE : EX_FAIL;
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void die(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "xdptest: ");
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, ": %s\n", strerror(err));
	exit(err == EPERM || err == EACCES ? EX_PERM : EX_FAIL);
}

/* --- time ------------------------------------------------------------------ */

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

void sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, (ms % 1000) * 1000000L };

	nanosleep(&ts, NULL);
}

/* --- interfaces -------------------------------------------------------------- */

/* One ioctl on a throw-away socket, so that it acts in the current namespace. */
static int if_ioctl(const char *name, unsigned long cmd, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int ret;

	if (fd < 0)
		return -errno;
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	ret = ioctl(fd, cmd, ifr) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

unsigned int if_index(const char *name)
{
	struct ifreq ifr = { 0 };

	return if_ioctl(name, SIOCGIFINDEX, &ifr) ? 0 : (unsigned int)ifr.ifr_ifindex;
}

void if_mac(const char *name, uint8_t mac[6])
{
	struct ifreq ifr = { 0 };
	int err = if_ioctl(name, SIOCGIFHWADDR, &ifr);

	if (err) {
		errno = -err;
		die("address of %s", name);
	}
	memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
}

int if_up(const char *name, bool up)
{
	struct ifreq ifr = { 0 };
	int err = if_ioctl(name, SIOCGIFFLAGS, &ifr);

	if (err)
		return err;
	if (up)
		ifr.ifr_flags |= IFF_UP;
	else
		ifr.ifr_flags &= ~IFF_UP;
	return if_ioctl(name, SIOCSIFFLAGS, &ifr);
}

int if_mtu(const char *name, int mtu)
{
	struct ifreq ifr = { 0 };

	ifr.ifr_mtu = mtu;
	return if_ioctl(name, SIOCSIFMTU, &ifr);
}

bool if_link(const char *name)
{
	struct ethtool_value link = { .cmd = ETHTOOL_GLINK };
	struct ifreq ifr = { 0 };

	ifr.ifr_data = (void *)&link;
	return !if_ioctl(name, SIOCETHTOOL, &ifr) && link.data;
}

bool if_carrier(const char *name)
{
	struct ifreq ifr = { 0 };

	return if_link(name) && !if_ioctl(name, SIOCGIFFLAGS, &ifr) &&
	       (ifr.ifr_flags & IFF_RUNNING);
}

bool if_wait_carrier(const char *name, unsigned int timeout_ms)
{
	uint64_t end = now_ms() + timeout_ms;

	while (!if_carrier(name)) {
		if (now_ms() > end)
			return false;
		sleep_ms(5);
	}
	return true;
}

long long if_counter(const char *name, const char *counter)
{
	char path[128], buf[32];

	snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/%s", name, counter);
	return read_file(path, buf, sizeof(buf)) ? atoll(buf) : -1;
}

int if_rings(const char *name, unsigned int rx, unsigned int tx)
{
	struct ethtool_ringparam ring = { .cmd = ETHTOOL_GRINGPARAM };
	struct ifreq ifr = { 0 };
	int err;

	ifr.ifr_data = (void *)&ring;
	err = if_ioctl(name, SIOCETHTOOL, &ifr);
	if (err)
		return err;
	ring.cmd = ETHTOOL_SRINGPARAM;
	ring.rx_pending = rx;
	ring.tx_pending = tx;
	return if_ioctl(name, SIOCETHTOOL, &ifr);
}

int if_restart(const char *name)
{
	struct ethtool_value val = { .cmd = ETHTOOL_NWAY_RST };
	struct ifreq ifr = { 0 };

	ifr.ifr_data = (void *)&val;
	return if_ioctl(name, SIOCETHTOOL, &ifr);
}

int if_feature(const char *name, const char *feature, bool on, bool *is_on)
{
	struct {
		struct ethtool_sset_info hdr;
		uint32_t len;
	} info = { .hdr = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << ETH_SS_FEATURES } };
	struct ethtool_gstrings *names;
	struct ethtool_sfeatures *set;
	struct ethtool_gfeatures *get;
	struct ifreq ifr = { 0 };
	uint32_t i, n, blocks;
	int err;

	ifr.ifr_data = (void *)&info;
	err = if_ioctl(name, SIOCETHTOOL, &ifr);
	if (err)
		return err;
	n = info.len;
	blocks = (n + 31) / 32;

	names = calloc(1, sizeof(*names) + n * ETH_GSTRING_LEN);
	set = calloc(1, sizeof(*set) + blocks * sizeof(set->features[0]));
	get = calloc(1, sizeof(*get) + blocks * sizeof(get->features[0]));
	if (!names || !set || !get)
		die("memory");

	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = n;
	ifr.ifr_data = (void *)names;
	err = if_ioctl(name, SIOCETHTOOL, &ifr);
	for (i = 0; !err && i < n; i++)
		if (!strcmp((char *)names->data + i * ETH_GSTRING_LEN, feature))
			break;
	if (!err && i == n)
		err = -ENOENT;
	if (err)
		goto out;

	set->cmd = ETHTOOL_SFEATURES;
	set->size = blocks;
	set->features[i / 32].valid = 1U << (i % 32);
	set->features[i / 32].requested = on ? 1U << (i % 32) : 0;
	ifr.ifr_data = (void *)set;
	err = if_ioctl(name, SIOCETHTOOL, &ifr);
	if (err)
		goto out;

	get->cmd = ETHTOOL_GFEATURES;
	get->size = blocks;
	ifr.ifr_data = (void *)get;
	err = if_ioctl(name, SIOCETHTOOL, &ifr);
	if (!err && is_on)
		*is_on = get->features[i / 32].active & (1U << (i % 32));
out:
	free(names);
	free(set);
	free(get);
	return err;
}

/* --- netlink --------------------------------------------------------------- */

struct nlreq {
	struct nlmsghdr nh;
	struct ifinfomsg ifi;
	char attrs[512];
};

static struct rtattr *nl_put(struct nlreq *r, int type, const void *data, size_t len)
{
	struct rtattr *a = (void *)((char *)r + NLMSG_ALIGN(r->nh.nlmsg_len));

	a->rta_type = type;
	a->rta_len = RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
	r->nh.nlmsg_len = NLMSG_ALIGN(r->nh.nlmsg_len) + RTA_ALIGN(a->rta_len);
	return a;
}

static void nl_end(struct nlreq *r, struct rtattr *a)
{
	a->rta_len = (char *)r + r->nh.nlmsg_len - (char *)a;
}

/* Copy the text of an extended acknowledgement. */
static void nl_text(struct nlmsghdr *nh, char *msg, size_t len)
{
	struct nlmsgerr *e = NLMSG_DATA(nh);
	size_t off = sizeof(*e);
	struct rtattr *a;
	int left;

	if (!(nh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(nh->nlmsg_flags & NLM_F_CAPPED))
		off += e->msg.nlmsg_len - sizeof(struct nlmsghdr);
	a = (void *)((char *)e + NLMSG_ALIGN(off));
	left = (char *)nh + nh->nlmsg_len - (char *)a;
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if ((a->rta_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG)
			snprintf(msg, len, "%s", (char *)RTA_DATA(a));
}

static int nl_talk(struct nlreq *r, char *msg, size_t len)
{
	char buf[4096];
	struct nlmsghdr *nh = (void *)buf;
	struct nlmsgerr *e = NLMSG_DATA(nh);
	int one = 1, err;
	ssize_t n;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	r->nh.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (send(fd, r, r->nh.nlmsg_len, 0) < 0) {
		err = -errno;
		goto out;
	}
	n = recv(fd, buf, sizeof(buf), 0);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(*e)) || nh->nlmsg_type != NLMSG_ERROR) {
		err = -EPROTO;
		goto out;
	}
	err = e->error;
	if (msg)
		nl_text(nh, msg, len);
out:
	close(fd);
	return err;
}

static void nl_init(struct nlreq *r, int type, unsigned int ifindex)
{
	memset(r, 0, sizeof(*r));
	r->nh.nlmsg_len = NLMSG_LENGTH(sizeof(r->ifi));
	r->nh.nlmsg_type = type;
	r->ifi.ifi_family = AF_UNSPEC;
	r->ifi.ifi_index = ifindex;
}

int xdp_attach(unsigned int ifindex, int fd, char *msg, size_t msg_len)
{
	uint32_t flags = XDP_FLAGS_DRV_MODE;
	struct rtattr *nest;
	struct nlreq r;

	if (msg_len)
		msg[0] = 0;
	nl_init(&r, RTM_SETLINK, ifindex);
	nest = nl_put(&r, IFLA_XDP | NLA_F_NESTED, NULL, 0);
	nl_put(&r, IFLA_XDP_FD, &fd, sizeof(fd));
	nl_put(&r, IFLA_XDP_FLAGS, &flags, sizeof(flags));
	nl_end(&r, nest);
	return nl_talk(&r, msg_len ? msg : NULL, msg_len);
}

int veth_create(const char *a, const char *b)
{
	struct rtattr *info, *data, *peer;
	struct ifinfomsg ifi = { 0 };
	struct nlreq r;

	nl_init(&r, RTM_NEWLINK, 0);
	r.nh.nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	nl_put(&r, IFLA_IFNAME, a, strlen(a) + 1);
	info = nl_put(&r, IFLA_LINKINFO | NLA_F_NESTED, NULL, 0);
	nl_put(&r, IFLA_INFO_KIND, "veth", 5);
	data = nl_put(&r, IFLA_INFO_DATA | NLA_F_NESTED, NULL, 0);
	peer = nl_put(&r, VETH_INFO_PEER | NLA_F_NESTED, &ifi, sizeof(ifi));
	nl_put(&r, IFLA_IFNAME, b, strlen(b) + 1);
	nl_end(&r, peer);
	nl_end(&r, data);
	nl_end(&r, info);
	return nl_talk(&r, NULL, 0);
}

int link_delete(const char *name)
{
	struct nlreq r;

	nl_init(&r, RTM_DELLINK, if_index(name));
	return nl_talk(&r, NULL, 0);
}

/* --- namespaces ---------------------------------------------------------------- */

int ns_enter(int fd)
{
	int old = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (old < 0 || setns(fd, CLONE_NEWNET) < 0)
		die("enter network namespace");
	return old;
}

void ns_return(int old)
{
	if (setns(old, CLONE_NEWNET) < 0)
		die("return to network namespace");
	close(old);
}

int ns_with(const char *ifname)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct nlreq r;
	int fd, err;

	if (home < 0 || unshare(CLONE_NEWNET) < 0)
		die("make network namespace");
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("open network namespace");
	if (setns(home, CLONE_NEWNET) < 0)
		die("return to network namespace");

	nl_init(&r, RTM_SETLINK, if_index(ifname));
	nl_put(&r, IFLA_NET_NS_FD, &fd, sizeof(fd));
	err = nl_talk(&r, NULL, 0);
	if (err) {
		errno = -err;
		die("move %s to a network namespace", ifname);
	}
	if (setns(fd, CLONE_NEWNET) < 0)
		die("enter network namespace");
	if_up("lo", true);
	err = if_up(ifname, true);
	if (err) {
		errno = -err;
		die("bring up %s", ifname);
	}
	ns_return(home);
	return fd;
}

/* --- memory ---------------------------------------------------------------------- */

char *read_file(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = read(fd, buf, len - 1);
	close(fd);
	if (n < 0)
		return NULL;
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = 0;
	return buf;
}

int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static long meminfo(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	return p ? atol(p + strlen(key)) : 0;
}

/* Free pages that each CPU keeps for itself, which may be tens of megabytes and
 * do not count as free.
 */
static long pcp_kib(void)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	char line[256];
	long pages = 0, n;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " count: %ld", &n) == 1)
			pages += n;
	if (f)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

long mem_used_kib(void)
{
	char buf[8192];

	write_file("/proc/sys/vm/drop_caches", "7");	/* 3, and 4: no message */
	if (!read_file("/proc/meminfo", buf, sizeof(buf)))
		die("read /proc/meminfo");
	return meminfo(buf, "MemTotal:") - meminfo(buf, "MemFree:") -
	       meminfo(buf, "\nCached:") - meminfo(buf, "Buffers:") -
	       meminfo(buf, "SReclaimable:") - pcp_kib();
}

long mem_total_kib(void)
{
	char buf[8192];

	if (!read_file("/proc/meminfo", buf, sizeof(buf)))
		die("read /proc/meminfo");
	return meminfo(buf, "MemTotal:");
}

long dma_debug_used(void)
{
	char all[32], left[32];

	if (!read_file("/sys/kernel/debug/dma-api/nr_total_entries", all, sizeof(all)) ||
	    !read_file("/sys/kernel/debug/dma-api/num_free_entries", left, sizeof(left)))
		return -1;
	return atol(all) - atol(left);
}

int dmesg_splats(char *line, size_t len)
{
	static const char *const bad[] = {
		"WARNING:", "BUG:", "Oops", "KASAN", "DMA-API:", "possible recursive",
		"INFO: task", "rcu_sched detected", "general protection", "inconsistent lock",
		"circular locking", "Call Trace", "refcount_t:", "Hardware Unit Hang",
		"NETDEV WATCHDOG", "Reset adapter unexpectedly", "page_pool_release_retry",
	};
	int size = klogctl(10, NULL, 0), n, hits = 0;
	char *buf, *p, *end;
	size_t i;

	line[0] = 0;
	if (size <= 0 || !(buf = malloc(size + 1)))
		return 0;
	n = klogctl(3, buf, size);
	buf[n > 0 ? n : 0] = 0;
	for (p = buf; *p; p = end + 1) {
		end = strchr(p, '\n');
		if (!end)
			break;
		*end = 0;
		for (i = 0; i < ARRAY_LEN(bad); i++)
			if (strstr(p, bad[i]) && !strstr(p, "DMA-API: preallocated") &&
			    !strstr(p, "DMA-API: debugging enabled"))
				break;
		if (i < ARRAY_LEN(bad) && !hits++)
			snprintf(line, len, "%s", p);
	}
	free(buf);
	return hits;
}
