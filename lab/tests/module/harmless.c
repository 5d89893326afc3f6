// SPDX-License-Identifier: GPL-2.0-only
/*
 * SPAs that try to leave traces on whom they interrupt, and leave none.
 */
#include <errno.h>
#include <linux/uls_netlink.h>

#include "tap.h"
#include "tests.h"
#include "uls_shm.h"

DECLARE_CODE(iopl);
DECLARE_CODE(fsbase);
DECLARE_CODE(rubbish);
DECLARE_CODE(fpu);

static __thread int canary = 4711;	/* found by way of the FS base */

static void harmless(struct nl *nl, const struct raw *raw)
{
	double half = 0.5, sum = 0;
	struct raw_spa spa;
	unsigned long flags;
	int i, err = 0;

	ok(!raw_start(nl, raw, &spa), "%s: start %s", raw->name, nl->text);
	for (i = 0; i < 100 && !err; i++) {
		sum += half;
		err = raw_bench(nl, spa.id, 3, 5);
	}
	asm volatile("pushf; pop %0" : "=r"(flags));
	ok(!err, "%s: 1500 upcalls: %s", raw->name, err ? nl->text : "fine");
	ok(canary == 4711 && sum == 50.0 && !(flags & 0x3400),
	   "%s: FS base, SSE registers and flags are as they were", raw->name);
	ok(!raw_delete(nl, spa.id), "%s: delete", raw->name);
}

void test_harmless(struct nl *nl)
{
	static const struct raw raws[] = {
		{ CODE(iopl) },
		{ CODE(fsbase) },
		{ CODE(rubbish) },
		{ CODE(fpu), .flags = ULS_MANIFEST_FPU },
	};
	size_t i;

	for (i = 0; i < sizeof(raws) / sizeof(raws[0]); i++)
		harmless(nl, &raws[i]);
}
