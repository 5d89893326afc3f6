// SPDX-License-Identifier: Apache-2.0
/* In place of a missing spa_control(). */
#include "../lib.h"

int spa_control(const struct uls_msg *msg)
{
	spa_log("%s: takes no messages (type %u refused)", spa_manifest.m.name, msg->type);
	return -SPA_EOPNOTSUPP;
}
