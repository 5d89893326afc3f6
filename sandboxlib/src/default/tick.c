// SPDX-License-Identifier: Apache-2.0
/*
 * In place of a missing spa_tick(). Ticks without anyone to take them are a
 * mistake in the manifest and waste the host's time: say so at once.
 */
#include "../lib.h"

void spa_tick(u64 now)
{
	(void)now;
	if (spa_timers_any())
		return;
	spa_log("%s: the manifest asks for ticks, but there is no spa_tick() and no timer",
		spa_manifest.m.name);
	spa_abort(SPA_ABORT_NO_TICK);
}
