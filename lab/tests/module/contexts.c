// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ticks: upcalls over whatever the CPU is doing, a process in user mode, a
 * process in a system call, nothing at all.
 */
#include <errno.h>
#include <linux/uls_netlink.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"
#include "tests.h"
#include "uls_shm.h"

DECLARE_CODE(slowtick);

enum load { SLEEP, SPIN, CALL };

static void burden(enum load load)
{
	for (;;)
		if (load == CALL)
			syscall(SYS_getppid);
		else
			asm volatile("" ::: "memory");
}

static uint64_t seen(struct nl *nl, uint32_t id, enum uls_context context)
{
	const uint64_t *v;

	if (raw_stats(nl, id))
		return 0;
	v = nl_data(nl_attr(nl, ULS_A_STATS_CONTEXTS));
	return v[context];
}

/* The timer is pinned to the CPU of the commit, and so is everything here. */
static void one(struct nl *nl, enum load load, enum uls_context context,
		const char *what)
{
	const struct raw ticking = { CODE(good), .tick_us = 1000 };
	struct raw_spa spa;
	pid_t pid = 0;
	int tries;

	ok(!raw_start(nl, &ticking, &spa), "ticks over %s", what);
	if (load != SLEEP) {
		pid = fork();
		if (!pid)
			burden(load);
	}
	for (tries = 0; tries < 100 && seen(nl, spa.id, context) < 20; tries++)
		usleep(50000);
	ok(seen(nl, spa.id, context) >= 20, "%llu upcalls over %s",
	   (unsigned long long)seen(nl, spa.id, context), what);
	raw_stats(nl, spa.id);
	ok(!nl_u64(nl_attr(nl, ULS_A_STATS_CONTEXT_SWITCHES)) &&
	   !nl_u64(nl_attr(nl, ULS_A_STATS_MIGRATIONS)),
	   "no context switch, no migration");
	ok(nl_u64(nl_attr(nl, ULS_A_STATS_LAST_CS)) == 0x33,
	   "code segment 0x33");
	if (pid) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	ok(!raw_delete(nl, spa.id), "delete");
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* However short the period: half of the CPU, and the ticks go on. */
static void share(struct nl *nl)
{
	const struct raw slow = { CODE(slowtick), .tick_us = 450 };
	struct raw_spa spa;
	const uint64_t *v;
	uint64_t ns, busy;

	ok(!raw_start(nl, &slow, &spa), "ticks of 400 us, each 450 us");
	raw_stats(nl, spa.id);
	busy = nl_u64(nl_attr(nl, ULS_A_STATS_UPCALL_NS));
	ns = clock_ns();
	usleep(500000);
	raw_stats(nl, spa.id);
	ns = clock_ns() - ns;
	busy = nl_u64(nl_attr(nl, ULS_A_STATS_UPCALL_NS)) - busy;
	v = nl_data(nl_attr(nl, ULS_A_STATS_UPCALLS));
	ok(v[ULS_UP_TICK] > 20, "%llu of them are made",
	   (unsigned long long)v[ULS_UP_TICK]);
	ok(busy <= ns / 2 + ns / 50, "and take %llu us of %llu",
	   (unsigned long long)busy / 1000, (unsigned long long)ns / 1000);
	ok(!raw_delete(nl, spa.id), "delete");
}

void test_contexts(struct nl *nl)
{
	cpu_set_t all, first;

	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	sched_setaffinity(0, sizeof(first), &first);
	one(nl, SLEEP, ULS_CONTEXT_IDLE, "the idle task");
	one(nl, SPIN, ULS_CONTEXT_USER, "a process in user mode");
	one(nl, CALL, ULS_CONTEXT_KERNEL, "a process in a system call");
	share(nl);
	sched_setaffinity(0, sizeof(all), &all);
}
