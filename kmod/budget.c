// SPDX-License-Identifier: GPL-2.0-only
/*
 * Time an SPA may use: its budget for one upcall, and the reservation of its
 * port's NAPI.  Enforced by uls_upcall() and by napi_reserve(); what may be
 * asked for is decided here.
 *
 * Owns nothing.
 */
#include <net/genetlink.h>
#include <uapi/linux/uls_netlink.h>

#include "budget.h"

/**
 * uls_budget_parse() - read and check budget-ns, runtime-ns and period-ns
 * @info: request of set "spa"
 * @budget_ns: unchanged if absent
 * @runtime_ns: likewise; 0 for no reservation
 * @period_ns: likewise; there must be both of them or none
 *
 * Return: 0 or -EINVAL.
 */
int uls_budget_parse(struct genl_info *info, u64 *budget_ns, u64 *runtime_ns,
		     u64 *period_ns)
{
	struct nlattr *budget = info->attrs[ULS_A_SPA_BUDGET_NS];
	struct nlattr *runtime = info->attrs[ULS_A_SPA_RUNTIME_NS];
	struct nlattr *period = info->attrs[ULS_A_SPA_PERIOD_NS];
	u64 r, p;

	if (budget) {
		u64 ns = nla_get_u64(budget);

		if (ns < ULS_BUDGET_MIN_NS || ns > ULS_BUDGET_MAX_NS) {
			NL_SET_ERR_MSG_ATTR_FMT(info->extack, budget,
						"budget of %llu ns: must be %d to %d",
						ns, ULS_BUDGET_MIN_NS,
						ULS_BUDGET_MAX_NS);
			return -EINVAL;
		}
		*budget_ns = ns;
	}
	if (!runtime && !period)
		return 0;
	if (!runtime || !period) {
		NL_SET_ERR_MSG(info->extack,
			       "runtime-ns and period-ns come together");
		return -EINVAL;
	}
	r = nla_get_u64(runtime);
	p = nla_get_u64(period);
	if (p > ULS_PERIOD_MAX_NS || r > p || (r && !p)) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, runtime,
					"runtime %llu of %llu ns: the period is at most %d",
					r, p, ULS_PERIOD_MAX_NS);
		return -EINVAL;
	}
	*runtime_ns = r;
	*period_ns = r ? p : 0;
	return 0;
}
