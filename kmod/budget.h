/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading and checking the time an SPA may use.
 */
#ifndef _ULS_BUDGET_H
#define _ULS_BUDGET_H

#include <linux/types.h>

struct genl_info;

int uls_budget_parse(struct genl_info *info, u64 *budget_ns, u64 *runtime_ns,
		     u64 *period_ns);
void uls_budget_default(u64 budget_ns, u64 *runtime_ns, u64 *period_ns);

#endif /* _ULS_BUDGET_H */
