// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the module holds for SPAs, by its own count.
 */
#include <linux/uls_netlink.h>
#include <unistd.h>

#include "tap.h"
#include "tests.h"

#define WAIT_MS	5000	/* for work items and processes that are going away */

struct held held_now(struct nl *nl)
{
	const struct nlattr *memory;
	struct msg m;

	msg_init(&m, ULS_CMD_INFO);
	if (nl_call(nl, &m))
		bail("info: %s", nl->text);
	memory = nl_attr(nl, ULS_A_INFO_MEMORY);
	if (!memory)
		bail("info: no memory");
	return (struct held){
		.slices = nl_u64(nl_attr(nl, ULS_A_INFO_SLICES_USED)),
		.pages = nl_u64(nl_nested(memory, ULS_A_MEMORY_PAGES)),
		.allocations = nl_u64(nl_nested(memory,
						ULS_A_MEMORY_ALLOCATIONS)),
		.sockets = nl_u64(nl_nested(memory, ULS_A_MEMORY_SOCKETS)),
	};
}

static bool same(const struct held *a, const struct held *b)
{
	return a->slices == b->slices && a->pages == b->pages &&
	       a->allocations == b->allocations && a->sockets == b->sockets;
}

void held_same(struct nl *nl, const struct held *before, const char *when)
{
	struct held after = held_now(nl);
	int ms;

	for (ms = 0; ms < WAIT_MS && !same(before, &after); ms += 10) {
		usleep(10000);
		after = held_now(nl);
	}
	ok(same(before, &after),
	   "the module holds %s what it held before: %llu pages, %llu allocations, %llu sockets, %llu slices (%+lld, %+lld, %+lld, %+lld)",
	   when, (unsigned long long)after.pages,
	   (unsigned long long)after.allocations,
	   (unsigned long long)after.sockets, (unsigned long long)after.slices,
	   (long long)(after.pages - before->pages),
	   (long long)(after.allocations - before->allocations),
	   (long long)(after.sockets - before->sockets),
	   (long long)(after.slices - before->slices));
}
