/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Making an upcall into an SPA.
 */
#ifndef _ULS_UPCALL_H
#define _ULS_UPCALL_H

#include <linux/types.h>
#include <linux/uls.h>
#include <uapi/linux/uls_netlink.h>

#include "uls_shm.h"

struct netlink_ext_ack;
struct uls_abort;
struct uls_spa;

/* The answers of a service that must outlive the upcall. */
struct uls_services {
	u64 abort_code;
};

enum uls_context uls_context_now(void);
void uls_upcall_prepare(struct uls_spa *spa, enum uls_reason reason, u64 arg,
			struct uls_services *service, struct uls_call *call);
int uls_upcall_verdict(const struct uls_report *rep,
		       const struct uls_services *service,
		       enum uls_reason reason, struct uls_abort *why);
int uls_upcall_run(struct uls_spa *spa, enum uls_reason reason, u64 arg,
		   enum uls_context context, s64 *result);
void uls_upcall_explain(const struct uls_spa *spa, int err,
			struct netlink_ext_ack *extack);
int uls_upcall_answer(enum uls_reason reason, s64 result,
		      struct netlink_ext_ack *extack);

#endif /* _ULS_UPCALL_H */
