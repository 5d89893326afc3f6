// SPDX-License-Identifier: Apache-2.0
/*
 * Parameters: the values stand in an array in the order of the notes
 * (SPA_PARAMS), so a message's index is all that is needed.
 */
#include "lib.h"

int spa_param_set(const struct uls_msg_param *m)
{
	u32 i = m->index;
	u64 v = m->value;

	if (i >= spa_param_count)
		return -SPA_ENOENT;
	switch (spa_param_notes[i].p.type) {
	case ULS_PARAM_BOOL:
		if (v > 1)
			return -SPA_ERANGE;
		break;
	case ULS_PARAM_IPV4:
		if (v >> 32)
			return -SPA_ERANGE;
		break;
	case ULS_PARAM_MAC:
		if (v >> 48)
			return -SPA_ERANGE;
		break;
	default:
		break;
	}
	spa_param_values[i] = v;
	return 0;
}
