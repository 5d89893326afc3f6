// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thousand loads that fail, in every way, leave memory where it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/uls_netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"
#include "tests.h"
#include "uls_shm.h"

#define LOADS		1000
#define HEAP		(256 * 1024)
#define WARM_UP		400	/* fills what caches there are */
#define TOLERANCE_KB	1536	/* half a page for each load would be 2000 */

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

/* One failure of each kind in turn; returns 1 if it did not fail as it should. */
static int fail(struct nl *nl, int i)
{
	struct raw refuse = { CODE(refuse), .heap = HEAP };
	struct raw crash = { CODE(ud2), .heap = HEAP };
	struct raw_spa spa;
	struct nl other;
	struct msg m;

	switch (i % 4) {
	case 0:
		return raw_start(nl, &refuse, &spa) != ENOMEM;
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

/*
 * KASAN keeps what was freed in a quarantine of up to a 32nd of the memory. The
 * debug kernel, which has it, is the one with kmemleak.
 */
static long tolerance(void)
{
	if (access("/sys/kernel/debug/kmemleak", F_OK))
		return TOLERANCE_KB;
	return TOLERANCE_KB + meminfo("MemTotal:") / 32;
}

void test_leak(struct nl *nl)
{
	static const char *const fields[] = {
		"Slab:", "PageTables:", "Percpu:", "VmallocUsed:"
	};
	long before[4], after[4], free_before, free_after;
	int i, wrong = 0, tries;

	for (i = 0; i < WARM_UP; i++)
		wrong += fail(nl, i);
	sleep(1);
	drop_caches();
	free_before = meminfo("MemFree:");
	for (i = 0; i < 4; i++)
		before[i] = meminfo(fields[i]);

	for (i = 0; i < LOADS; i++)
		wrong += fail(nl, i);
	ok(!wrong, "%d loads failed as they should (%d did not)", LOADS, wrong);

	/* What RCU and the per-CPU lists still hold comes back in a while. */
	for (tries = 0; tries < 20; tries++) {
		drop_caches();
		free_after = meminfo("MemFree:");
		if (free_before - free_after < tolerance())
			break;
		usleep(500000);
	}
	ok(free_before - free_after < tolerance(),
	   "free memory: %ld kB before, %ld kB after", free_before, free_after);
	for (i = 0; i < 4; i++) {
		after[i] = meminfo(fields[i]);
		ok(after[i] - before[i] < TOLERANCE_KB / 2,
		   "%s %ld kB before, %ld kB after", fields[i], before[i],
		   after[i]);
	}
}
