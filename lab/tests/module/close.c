// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process without any rights closes generic netlink sockets, and asks what it
 * may ask, while a large SPA is being loaded: that is none of its business, and
 * must not wait for it.
 *
 * On one CPU the two take turns anyway, so there the times are only told.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/uls_netlink.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"
#include "tests.h"

#define LOADS		5
#define HEAP		(128ULL << 20)

/* What the two processes tell each other. */
struct shared {
	int ready, over;
	uint64_t closings, longest_ns, longest_info_ns;
};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		bail("bind to CPU %d: %s", cpu, strerror(errno));
}

/* Opens, binds and closes until it is over, and asks with another socket. */
static int close_sockets(volatile struct shared *s)
{
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };
	static struct nl nl;
	struct msg m;
	uint64_t ns;
	int fd;

	if (setgid(65534) || setuid(65534) || nl_open(&nl))
		return 1;
	s->ready = 1;
	while (!s->over) {
		fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
		if (fd < 0 || bind(fd, (void *)&self, sizeof(self)))
			return 2;
		ns = now();
		close(fd);
		ns = now() - ns;
		if (ns > s->longest_ns)
			s->longest_ns = ns;
		s->closings++;
		msg_init(&m, ULS_CMD_INFO);
		ns = now();
		if (nl_call(&nl, &m))
			return 3;
		ns = now() - ns;
		if (ns > s->longest_info_ns)
			s->longest_info_ns = ns;
	}
	return 0;
}

/* Time of the longest spa-begin. */
static uint64_t load_heaps(struct nl *nl)
{
	const struct raw raw = { CODE(good), .heap = HEAP };
	uint64_t ns, longest = 0;
	struct raw_spa spa;
	struct msg m;
	int i;

	for (i = 0; i < LOADS; i++) {
		raw_begin(&m, &raw);
		ns = now();
		if (nl_call(nl, &m))
			bail("spa-begin: %s", nl->text);
		ns = now() - ns;
		if (ns > longest)
			longest = ns;
		spa.id = nl_u64(nl_attr(nl, ULS_A_SPA_ID));
		msg_init(&m, ULS_CMD_SPA_DISCARD);
		msg_u32(&m, ULS_A_SPA_ID, spa.id);
		if (nl_call(nl, &m))
			bail("spa-discard: %s", nl->text);
	}
	return longest;
}

void test_close(struct nl *nl)
{
	int two = sysconf(_SC_NPROCESSORS_ONLN) > 1, status;
	volatile struct shared *s;
	uint64_t load_ns;
	cpu_set_t before;
	pid_t pid;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED || sched_getaffinity(0, sizeof(before), &before))
		bail("close: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		pin(two);
		_exit(close_sockets(s));
	}
	pin(0);
	while (!s->ready && !waitpid(pid, &status, WNOHANG))
		usleep(1000);
	load_ns = load_heaps(nl);
	s->over = 1;
	waitpid(pid, &status, 0);
	sched_setaffinity(0, sizeof(before), &before);

	ok(WIFEXITED(status) && !WEXITSTATUS(status) && s->closings,
	   "nobody closes %llu generic netlink sockets beside %d spa-begins",
	   (unsigned long long)s->closings, LOADS);
	/* Emulated CPUs take turns of some 30 ms. */
	ok(!two || s->longest_ns < load_ns / 4,
	   "the longest closing takes %llu us, the longest spa-begin %llu us",
	   (unsigned long long)s->longest_ns / 1000,
	   (unsigned long long)load_ns / 1000);
	ok(!two || s->longest_info_ns < load_ns / 4,
	   "the longest info takes %llu us",
	   (unsigned long long)s->longest_info_ns / 1000);
	munmap((void *)s, sizeof(*s));
}
