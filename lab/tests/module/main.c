// SPDX-License-Identifier: GPL-2.0-only
/*
 * uls-ktest - tests of the module through its netlink family, with nothing
 * between: no library, SPAs of a few instructions.
 *
 *	uls-ktest [-m uls.ko] [group ...]
 *
 * As root, on a kernel with upcalls; -m loads the module first.  Without
 * groups all of them.  Prints TAP; exits with 0 if nothing failed, 3 if the
 * machine cannot make upcalls.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/uls_netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tap.h"
#include "tests.h"

static const struct {
	const char *name;
	void (*run)(struct nl *nl);
} groups[] = {
	{ "refuse", test_refuse },
	{ "life", test_life },
	{ "abort", test_abort },
	{ "harmless", test_harmless },
	{ "contexts", test_contexts },
	{ "account", test_account },
	{ "race", test_race },
	{ "close", test_close },
	{ "audience", test_audience },
	{ "leak", test_leak },
};

#define NR_GROUPS (sizeof(groups) / sizeof(groups[0]))

static void load_module(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) &&
		       errno != EEXIST))
		bail("%s: %s", path, strerror(errno));
	close(fd);
}

static int wanted(const char *name, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++)
		if (!strcmp(argv[i], name))
			return 1;
	return argc == 0;
}

int main(int argc, char **argv)
{
	static struct nl nl;
	struct held before;
	struct msg m;
	size_t i;
	int opt, err;

	while ((opt = getopt(argc, argv, "m:")) != -1) {
		if (opt != 'm') {
			fprintf(stderr, "usage: uls-ktest [-m uls.ko] [group ...]\n");
			return 2;
		}
		load_module(optarg);
	}
	err = nl_open(&nl);
	if (err)
		bail("family %s: %s: is uls.ko loaded?", ULS_FAMILY_NAME,
		     strerror(err));
	msg_init(&m, ULS_CMD_INFO);
	if (nl_call(&nl, &m))
		bail("info: %s", nl.text);
	if (!nl_attr(&nl, ULS_A_INFO_KERNEL_SUPPORTED)) {
		printf("1..0 # SKIP %s\n",
		       (const char *)nl_data(nl_attr(&nl, ULS_A_INFO_UNSUPPORTED_REASON)));
		return 3;
	}
	for (i = 0; i < NR_GROUPS; i++) {
		if (!wanted(groups[i].name, argc - optind, argv + optind))
			continue;
		note("group %s", groups[i].name);
		before = held_now(&nl);
		groups[i].run(&nl);
		held_same(&nl, &before, "after the group");
	}
	nl_close(&nl);
	return tap_end();
}
