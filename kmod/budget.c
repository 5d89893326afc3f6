// SPDX-License-Identifier: GPL-2.0-only
/*
 * Time an SPA may use: its budget for one upcall, and the reservation of its
 * port.  Enforced by uls_upcall() and by the account; what may be asked for is
 * decided here.
 *
 * Owns nothing.
 */
#include <linux/minmax.h>
#include <net/genetlink.h>
#include <uapi/linux/uls_netlink.h>

#include "budget.h"

/* A reservation holds one upcall, so that debt is a period or so. */
static int check_holds(struct genl_info *info, u64 budget_ns, u64 runtime_ns)
{
	if (!runtime_ns || runtime_ns >= budget_ns)
		return 0;
	NL_SET_ERR_MSG_FMT(info->extack,
			   "a reservation of %llu ns holds no upcall of %llu ns",
			   runtime_ns, budget_ns);
	return -EINVAL;
}

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
		return check_holds(info, *budget_ns, *runtime_ns);
	if (!runtime || !period) {
		NL_SET_ERR_MSG(info->extack,
			       "runtime-ns and period-ns come together");
		return -EINVAL;
	}
	r = nla_get_u64(runtime);
	p = nla_get_u64(period);
	if (r && (p < ULS_PERIOD_MIN_NS || p > ULS_PERIOD_MAX_NS || r > p)) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, runtime,
					"runtime %llu of %llu ns: the period must be %d to %d",
					r, p, ULS_PERIOD_MIN_NS,
					ULS_PERIOD_MAX_NS);
		return -EINVAL;
	}
	*runtime_ns = r;
	*period_ns = r ? p : 0;
	return check_holds(info, *budget_ns, r);
}

/**
 * uls_budget_default() - the reservation of a port that asks for none
 * @budget_ns: of its SPA
 * @runtime_ns: a tenth of a CPU, which holds one upcall; 0 if that takes longer
 *	than the longest period
 * @period_ns: of it
 */
void uls_budget_default(u64 budget_ns, u64 *runtime_ns, u64 *period_ns)
{
	u64 runtime = max_t(u64, budget_ns, ULS_PERIOD_MIN_NS / 10);

	if (runtime * 10 > ULS_PERIOD_MAX_NS)
		runtime = 0;
	*runtime_ns = runtime;
	*period_ns = runtime * 10;
}
