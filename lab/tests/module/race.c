// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands at once: control, bench, stats and ticks while the SPA is deleted or
 * aborted under them.
 *
 * Best on several CPUs in real time, where an emulator on a busy host may use up
 * a budget: that ends a round early, and is no failure unless most do.
 */
#include <errno.h>
#include <linux/uls_netlink.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "tests.h"
#include "uls_shm.h"

DECLARE_CODE(ud2);

#define ROUNDS	40

/* Harasses the SPA until it is gone; exits with 0 if errors were as expected. */
static void harass(uint32_t id, int what)
{
	static struct nl nl;
	int err = nl_open(&nl);

	alarm(60);
	while (!err) {
		switch (what) {
		case 0:
			err = raw_control(&nl, id, 1);
			break;
		case 1:
			err = raw_bench(&nl, id, 2, 3);
			break;
		default:
			err = raw_stats(&nl, id);
		}
	}
	_exit(err == ENODEV || err == ENOENT || err == ETIME ? 0 : err);
}

static int one_round(struct nl *nl, const struct raw *raw, int abort,
		     int *late)
{
	int status, i, err, bad = 0;
	struct raw_spa spa;
	pid_t pid[3];

	err = raw_start(nl, raw, &spa);
	if (err == ETIME)
		++*late;
	if (err)
		return err != ETIME;
	for (i = 0; i < 3; i++) {
		pid[i] = fork();
		if (!pid[i])
			harass(spa.id, i);
	}
	usleep(20000);
	if (abort)
		raw_bench(nl, spa.id, 1, 1);
	bad += raw_delete(nl, spa.id) != 0;
	for (i = 0; i < 3; i++) {
		waitpid(pid[i], &status, 0);
		bad += !WIFEXITED(status) ||
		       (WEXITSTATUS(status) &&
			WEXITSTATUS(status) != EFAULT);
	}
	return bad;
}

void test_race(struct nl *nl)
{
	const struct raw good = { CODE(good), .tick_us = 100 };
	const struct raw bad = { CODE(ud2), .tick_us = 100 };
	int i, wrong = 0, late = 0;

	for (i = 0; i < ROUNDS; i++)
		wrong += one_round(nl, &good, 0, &late);
	ok(!wrong && late < ROUNDS / 2, "%d times deleted under control, bench, stats and ticks",
	   ROUNDS);
	wrong = 0;
	for (i = 0; i < ROUNDS; i++)
		wrong += one_round(nl, &bad, 1, &late);
	ok(!wrong && late < ROUNDS / 2, "%d times aborted under them", ROUNDS);
}
