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
#include <unistd.h>

#include "tap.h"
#include "tests.h"
#include "uls_shm.h"

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
	sched_setaffinity(0, sizeof(all), &all);
}
