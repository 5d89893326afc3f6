// SPDX-License-Identifier: GPL-2.0-only
/*
 * The account of a CPU: what processes keep whatever SPAs do, and who waits.
 *
 * Work is counted in guest time that is exact, so that a share of a CPU can be
 * told to a per cent.  Ports, and with them reservations, are in
 * lab/tests/endhost.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/uls_netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"
#include "tests.h"
#include "uls_shm.h"

#define CROWD		64
#define WORK_MS		100
#define MS		1000000ULL

DECLARE_CODE(slowtick);
DECLARE_CODE(slowcontrol);

struct limit {
	uint64_t share, reserved, left, pool, taken;
};

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 * MS + t.tv_nsec;
}

/* Of CPU 0, the first in the answer. */
static struct limit limit_now(struct nl *nl)
{
	const struct nlattr *cpu;
	struct msg m;

	msg_init(&m, ULS_CMD_LIMIT_GET);
	if (nl_call(nl, &m))
		bail("limit-get: %s", nl->text);
	cpu = nl_attr(nl, ULS_A_LIMIT_CPU);
	if (!cpu || nl_u64(nl_nested(cpu, ULS_A_CPU_ACCOUNT_CPU)))
		bail("limit-get does not begin with CPU 0");
	return (struct limit){
		nl_u64(nl_attr(nl, ULS_A_LIMIT_CPU_SHARE)),
		nl_u64(nl_nested(cpu, ULS_A_CPU_ACCOUNT_RESERVED_PPM)),
		nl_u64(nl_nested(cpu, ULS_A_CPU_ACCOUNT_LEFT_PPM)),
		nl_u64(nl_nested(cpu, ULS_A_CPU_ACCOUNT_POOL_PPM)),
		nl_u64(nl_nested(cpu, ULS_A_CPU_ACCOUNT_TAKEN_NS)),
	};
}

static int set_share(struct nl *nl, uint32_t percent)
{
	struct msg m;

	msg_init(&m, ULS_CMD_LIMIT_SET);
	msg_u32(&m, ULS_A_LIMIT_CPU_SHARE, percent);
	return nl_call(nl, &m);
}

static void settings(struct nl *nl)
{
	struct limit l = limit_now(nl);
	struct msg m;
	int err;

	ok(l.share == ULS_CPU_SHARE_DEFAULT, "processes keep half unless asked");
	ok(!l.reserved && l.pool == 500000 && l.left == 450000,
	   "nothing is reserved, pool %llu ppm, left %llu ppm",
	   (unsigned long long)l.pool, (unsigned long long)l.left);
	err = set_share(nl, ULS_CPU_SHARE_MIN - 1);
	ok(err == ERANGE, "4 %% are refused: %s", strerror(err));
	err = set_share(nl, ULS_CPU_SHARE_MAX + 1);
	ok(err == ERANGE, "96 %% are refused: %s", strerror(err));
	msg_init(&m, ULS_CMD_LIMIT_SET);
	err = nl_call(nl, &m);
	ok(err == EINVAL, "no share is refused: %s", strerror(err));
	ok(!set_share(nl, 80), "80 %% are set");
	l = limit_now(nl);
	ok(l.share == 80 && l.pool == 200000 && l.left == 180000,
	   "pool %llu ppm, left %llu ppm", (unsigned long long)l.pool,
	   (unsigned long long)l.left);
	ok(!set_share(nl, ULS_CPU_SHARE_DEFAULT), "and set back");
}

/* How much a process on this CPU gets done. */
static uint64_t work(void)
{
	uint64_t end = clock_ns() + WORK_MS * MS, n = 0;
	volatile int i;

	for (; clock_ns() < end; n++)
		for (i = 0; i < 300; i++)
			;
	return n;
}

/* In per mille of @alone. */
static void keeps(struct nl *nl, uint32_t percent, uint64_t alone)
{
	struct limit before, after;
	uint64_t kept, taken;

	ok(!set_share(nl, percent), "a share of %u %%", percent);
	/* Debt from before goes first. */
	usleep(30000);
	before = limit_now(nl);
	kept = work() * 1000 / alone;
	after = limit_now(nl);
	taken = (after.taken - before.taken) * 1000 / (WORK_MS * MS);
	ok(kept + 20 >= percent * 10,
	   "processes keep %llu per mille, upcalls take %llu",
	   (unsigned long long)kept, (unsigned long long)taken);
	ok(taken + 20 >= 1000 - percent * 10, "and upcalls have the rest");
}

static void crowd(struct nl *nl, const struct raw *raw, const char *what)
{
	static struct raw_spa spa[CROWD];
	uint64_t alone = work();
	int i, err = 0;

	for (i = 0; i < CROWD && !err; i++)
		err = raw_start(nl, raw, &spa[i]);
	ok(!err, "%d SPAs %s", i, what);
	if (err)
		return;
	keeps(nl, 50, alone);
	keeps(nl, 80, alone);
	keeps(nl, 95, alone);
	set_share(nl, ULS_CPU_SHARE_DEFAULT);

	/* All have their turn: nobody waits while another ticks again. */
	usleep(50000);
	for (i = 0; i < CROWD; i++) {
		const uint64_t *v;

		raw_stats(nl, spa[i].id);
		v = nl_data(nl_attr(nl, ULS_A_STATS_UPCALLS));
		if (!v[ULS_UP_TICK])
			break;
	}
	ok(i == CROWD, "%d of them have ticked", i);
	for (i = 0; i < CROWD; i++)
		err |= raw_delete(nl, spa[i].id);
	ok(!err, "delete them");
}

/* One message is three milliseconds; so much for a request is a quarter. */
static void requests(struct nl *nl)
{
	const struct raw slow = { CODE(slowcontrol) };
	struct limit before, after;
	struct raw_spa spa;
	uint64_t ns;
	pid_t pid;
	int i, err = 0;

	ok(!raw_start(nl, &slow, &spa), "messages of 3 ms");
	before = limit_now(nl);
	ns = clock_ns();
	for (i = 0; i < 6; i++)
		err |= raw_control(nl, spa.id, 1);
	ns = clock_ns() - ns;
	after = limit_now(nl);
	ok(!err && ns > 60 * MS, "six of them take %llu ms",
	   (unsigned long long)(ns / MS));
	ok(after.taken - before.taken > 18 * MS,
	   "and are charged: %llu us",
	   (unsigned long long)(after.taken - before.taken) / 1000);

	/* With a fortieth of the CPU a message is owed for a tenth of a second. */
	set_share(nl, ULS_CPU_SHARE_MAX);
	pid = fork();
	if (!pid)
		for (;;)
			raw_control(nl, spa.id, 1);
	usleep(300000);
	ns = clock_ns();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ns = clock_ns() - ns;
	ok(ns < 20 * MS, "who waits can be killed: %llu us",
	   (unsigned long long)ns / 1000);
	ok(!set_share(nl, ULS_CPU_SHARE_DEFAULT), "share set back");
	ok(!raw_delete(nl, spa.id), "delete");
}

static void pin(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static bool online(const char *value)
{
	int fd = open("/sys/devices/system/cpu/cpu1/online", O_WRONLY);
	bool done = fd >= 0 && write(fd, value, 1) == 1;

	if (fd >= 0)
		close(fd);
	return done;
}

/* Those who wait in the queue of a CPU that goes wait in another one's. */
static void unplug(struct nl *nl, const struct raw *raw)
{
	struct raw_spa spa[8];
	uint64_t before[8];
	const uint64_t *v;
	int i, err = 0;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		note("one CPU only: none goes offline");
		return;
	}
	pin(1);
	for (i = 0; i < 8; i++)
		err |= raw_start(nl, raw, &spa[i]);
	ok(!err, "8 SPAs tick on CPU 1");
	usleep(20000);
	pin(0);
	ok(online("0"), "CPU 1 goes offline");
	for (i = 0; i < 8; i++) {
		raw_stats(nl, spa[i].id);
		v = nl_data(nl_attr(nl, ULS_A_STATS_UPCALLS));
		before[i] = v[ULS_UP_TICK];
	}
	usleep(50000);
	for (i = 0; i < 8; i++) {
		raw_stats(nl, spa[i].id);
		v = nl_data(nl_attr(nl, ULS_A_STATS_UPCALLS));
		if (v[ULS_UP_TICK] <= before[i])
			break;
	}
	ok(i == 8, "%d of them tick on", i);
	ok(online("1"), "CPU 1 is back");
	for (i = 0; i < 8; i++)
		err |= raw_delete(nl, spa[i].id);
	ok(!err, "delete them");
}

void test_account(struct nl *nl)
{
	const struct raw slow = { CODE(slowtick), .tick_us = ULS_TICK_MIN_US };
	const struct raw fast = { CODE(good), .tick_us = ULS_TICK_MIN_US };
	cpu_set_t all;

	sched_getaffinity(0, sizeof(all), &all);
	pin(0);
	settings(nl);
	crowd(nl, &slow, "tick each 50 us for 400 us");
	crowd(nl, &fast, "tick each 50 us");
	requests(nl);
	unplug(nl, &slow);
	sched_setaffinity(0, sizeof(all), &all);
}
