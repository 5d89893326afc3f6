/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages to an SPA.
 */
#ifndef _ULS_CONTROL_H
#define _ULS_CONTROL_H

#include <linux/types.h>

struct netlink_ext_ack;
struct nlmsghdr;
struct uls_spa;

int uls_control(struct uls_spa *spa, const void *data, size_t len, s64 *result,
		struct netlink_ext_ack *extack);

int uls_control_check(const struct uls_spa *spa, const struct nlmsghdr *request,
		      struct netlink_ext_ack *extack);
int uls_control_first(struct uls_spa *spa, const struct nlmsghdr *request,
		      struct netlink_ext_ack *extack);

#endif /* _ULS_CONTROL_H */
