// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thousand loads that fail, in every way, leave memory where it was: exactly
 * so by the module's own count, and nearly so by the machine's, which sees what
 * the module does not count.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/uls_netlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"
#include "tests.h"
#include "uls_shm.h"

#define LOADS		1000
#define KINDS		4
#define HEAP		(256 * 1024)
#define WARM_UP		400	/* fills what caches there are */

/* Half of what one page for each load of one kind would come to. */
#define TOLERANCE_KB	(LOADS / KINDS * 4 / 2)

#define KMEMLEAK	"/sys/kernel/debug/kmemleak"

DECLARE_CODE(ud2);

static long meminfo(const char *field)
{
	char line[128];
	long kb = -1;
	FILE *f;

	f = fopen("/proc/meminfo", "r");
	if (!f)
		bail("/proc/meminfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)))
			kb = atol(line + strlen(field));
	fclose(f);
	return kb;
}

static void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "3", 1) != 1)
		note("caches not dropped: %s", strerror(errno));
	close(fd);
}

/* Free pages on the lists of single CPUs, which MemFree leaves out, in kB. */
static long on_lists(void)
{
	long pages = 0, n;
	char line[128];
	FILE *f;

	f = fopen("/proc/zoneinfo", "r");
	if (!f)
		bail("/proc/zoneinfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " count: %ld", &n) == 1)
			pages += n;
	fclose(f);
	return pages * 4;
}

/*
 * Once it is calm: RCU and work items give back memory with a delay.  Slab is
 * looked at by itself, since KASAN keeps what was freed there for a while.
 */
static long free_memory(void)
{
	long now, last = 0;
	int calm = 0, tries;

	for (tries = 0; calm < 5 && tries < 60; tries++) {
		drop_caches();
		usleep(200000);
		now = meminfo("MemFree:") + on_lists() + meminfo("Slab:");
		calm = labs(now - last) < 32 ? calm + 1 : 0;
		last = now;
	}
	return last;
}

static bool has_kmemleak(void)
{
	return !access(KMEMLEAK, F_OK);
}

/*
 * KASAN's quarantine has up to a 32nd of the memory.  The debug kernel, which
 * has KASAN, has kmemleak too.
 */
static long slab_tolerance(void)
{
	if (!has_kmemleak())
		return TOLERANCE_KB;
	return TOLERANCE_KB + meminfo("MemTotal:") / 32;
}

static void kmemleak(const char *command)
{
	int fd = open(KMEMLEAK, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, command, strlen(command)) < 0)
		bail("%s: %s: %s", KMEMLEAK, command, strerror(errno));
	close(fd);
}

/* Objects nobody points to, of which ours have the module in their backtrace. */
static void unreferenced(void)
{
	int ours = 0, lines = 0;
	char line[256];
	FILE *f;

	if (!has_kmemleak())
		return;
	/* What is younger than 5 s is never reported. */
	sleep(6);
	kmemleak("scan");
	kmemleak("scan");
	f = fopen(KMEMLEAK, "r");
	if (!f)
		bail("%s: %s", KMEMLEAK, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		lines++;
		/* Not the process, "uls-ktest". */
		if (!strstr(line, "uls_"))
			continue;
		line[strcspn(line, "\n")] = 0;
		if (++ours < 10)
			note("%s", line);
	}
	fclose(f);
	ok(!ours, "kmemleak: %d lines, %d of them name us", lines, ours);
}

/* One failure of each kind in turn; returns 1 if it did not fail as it should. */
static int fail(struct nl *nl, int i)
{
	struct raw refuse = { CODE(refuse), .heap = HEAP };
	struct raw crash = { CODE(ud2), .heap = HEAP };
	struct raw_spa spa;
	struct nl other;
	struct msg m;

	switch (i % KINDS) {
	case 0:
		return raw_start(nl, &refuse, &spa) != EREMOTEIO;
	case 1:
		refuse.replace_id = 0x7fffffff;
		return raw_start(nl, &refuse, &spa) != ENOENT;
	case 2:
		if (nl_open(&other) || raw_load(&other, &refuse, &spa))
			return 1;
		nl_close(&other);
		return 0;
	default:
		if (raw_start(nl, &crash, &spa) ||
		    raw_bench(nl, spa.id, 1, 1) != EFAULT)
			return 1;
		msg_init(&m, ULS_CMD_SPA_DEL);
		msg_u32(&m, ULS_A_SPA_ID, spa.id);
		return nl_call(nl, &m) != 0;
	}
}

/* Of the heap and one page of stack for each CPU: what a load in progress holds. */
static uint64_t pages_of_load(struct nl *nl)
{
	struct msg m;

	msg_init(&m, ULS_CMD_INFO);
	if (nl_call(nl, &m))
		bail("info: %s", nl->text);
	return (HEAP + ULS_MBOX_SIZE + ULS_LOG_SIZE) / 4096 +
	       2 + 2 +			/* info, counters; text, data */
	       nl_u64(nl_attr(nl, ULS_A_INFO_CPUS)) * RAW_STACK / 4096;
}

/* A count that stood still would find everything in order. */
static void counts(struct nl *nl)
{
	struct raw raw = { CODE(good), .heap = HEAP };
	struct held before = held_now(nl), during;
	uint64_t pages = pages_of_load(nl);
	struct raw_spa spa;
	struct nl other;

	if (nl_open(&other) || raw_load(&other, &raw, &spa))
		bail("load: %s", other.text);
	during = held_now(nl);
	ok(during.pages - before.pages == pages &&
	   during.allocations > before.allocations &&
	   during.slices == before.slices + 1,
	   "a load in progress counts: %llu of %llu pages, %llu allocations",
	   (unsigned long long)(during.pages - before.pages),
	   (unsigned long long)pages,
	   (unsigned long long)(during.allocations - before.allocations));
	nl_close(&other);
	held_same(nl, &before, "when its socket is closed");
}

static long begin_largest(struct nl *nl)
{
	struct raw raw = { CODE(good), .heap = ULS_HEAP_MAX };
	struct timespec from, to;
	struct msg m;

	raw_begin(&m, &raw);
	clock_gettime(CLOCK_MONOTONIC, &from);
	if (nl_call(nl, &m))
		bail("begin with the largest heap: %s", nl->text);
	clock_gettime(CLOCK_MONOTONIC, &to);
	return (to.tv_sec - from.tv_sec) * 1000000L +
	       (to.tv_nsec - from.tv_nsec) / 1000;
}

/* Loaders that are killed while their pages are being allocated. */
static void killed(struct nl *nl)
{
	struct held before = held_now(nl);
	int status, i, alive = 0;
	static struct nl own;
	long us;
	pid_t pid;

	if (nl_open(&own))
		bail("socket: %s", strerror(errno));
	us = begin_largest(&own);
	nl_close(&own);
	held_same(nl, &before, "after the largest heap");
	for (i = 1; i < 8; i++) {
		pid = fork();
		if (!pid) {
			if (!nl_open(&own))
				begin_largest(&own);
			pause();
		}
		usleep(us * i / 8);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		alive += !WIFSIGNALED(status);
	}
	ok(!alive, "loaders killed in the %ld us that begin takes", us);
	held_same(nl, &before, "when they are gone");
}

void test_leak(struct nl *nl)
{
	static const char *const fields[] = {
		"Slab:", "PageTables:", "Percpu:", "VmallocUsed:"
	};
	long before[4], after[4], free_before, free_after;
	int i, wrong = 0;
	struct held held;

	counts(nl);
	for (i = 0; i < WARM_UP; i++)
		wrong += fail(nl, i);
	free_before = free_memory();
	held = held_now(nl);
	for (i = 0; i < 4; i++)
		before[i] = meminfo(fields[i]);

	for (i = 0; i < LOADS; i++)
		wrong += fail(nl, i);
	ok(!wrong, "%d loads failed as they should (%d did not)", LOADS, wrong);
	held_same(nl, &held, "after 1000 failed loads");

	free_after = free_memory();
	ok(free_before - free_after < TOLERANCE_KB,
	   "free memory: %ld kB before, %ld kB after; less than %d kB gone",
	   free_before, free_after, TOLERANCE_KB);
	for (i = 0; i < 4; i++) {
		after[i] = meminfo(fields[i]);
		ok(after[i] - before[i] <
		   (i ? TOLERANCE_KB : slab_tolerance()),
		   "%s %ld kB before, %ld kB after", fields[i], before[i],
		   after[i]);
	}
	unreferenced();
	killed(nl);
}
