// SPDX-License-Identifier: GPL-2.0-only
/*
 * uls.ko - policy of user-level sandboxing: which SPAs there are, what they
 * are given, what becomes of those that misbehave.  The mechanism is in the
 * kernel.
 *
 * On a machine that cannot make upcalls the module loads all the same: "info"
 * says why not, and nothing can be loaded.
 *
 * Owns what is registered with the kernel: family and notifier.
 */
#include <linux/cpumask.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/uls.h>
#include <net/genetlink.h>

#include "events.h"
#include "generated/uls_netlink_gen.h"
#include "spa.h"
#include "uls_shm.h"

/* A socket that is closed takes with it what it has not committed. */
static int netlink_event(struct notifier_block *nb, unsigned long event,
			 void *ptr)
{
	const struct netlink_notify *n = ptr;

	if (event == NETLINK_URELEASE && n->protocol == NETLINK_GENERIC)
		uls_spa_socket_closed(n->net, n->portid);
	return NOTIFY_DONE;
}

static struct notifier_block netlink_notifier = {
	.notifier_call = netlink_event,
};

static int __init uls_module_init(void)
{
	int err;

	if (nr_cpu_ids > (ULS_OFF_POOL - ULS_OFF_STACKS) / ULS_STACK_STRIDE) {
		pr_err("uls: no room in a slice for the stacks of %u CPUs\n",
		       nr_cpu_ids);
		return -E2BIG;
	}

	err = uls_spa_init();
	if (err)
		return err;
	err = netlink_register_notifier(&netlink_notifier);
	if (err)
		goto err_spa;
	err = genl_register_family(&uls_nl_family);
	if (err)
		goto err_notifier;

	if (uls_unsupported())
		pr_warn("uls: no upcalls on this machine: %s\n",
			uls_unsupported());
	return 0;

err_notifier:
	netlink_unregister_notifier(&netlink_notifier);
err_spa:
	uls_spa_exit();
	return err;
}

static void __exit uls_module_exit(void)
{
	uls_events_stop();
	genl_unregister_family(&uls_nl_family);
	netlink_unregister_notifier(&netlink_notifier);
	uls_spa_exit();
}

module_init(uls_module_init);
module_exit(uls_module_exit);

MODULE_DESCRIPTION("User-level sandboxing: stream processing agents");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
MODULE_ALIAS_GENL_FAMILY(ULS_FAMILY_NAME);
