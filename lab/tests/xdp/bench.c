// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests.h"
#include "util.h"

bool bench_attach(struct bench *b, int fd)
{
	char msg[256];
	int err = xdp_attach(b->dut_if, fd, msg, sizeof(msg));

	if (err) {
		say("attach to %s: error %d: %s", b->dut, -err, msg);
		return false;
	}
	return if_wait_carrier(b->dut, b->link_ms);
}

static void echo_step(void *arg)
{
	xsk_echo(arg);
}

bool bench_echo(struct bench *b, const char *name, unsigned int count, struct xsk *x)
{
	struct traffic t = {
		.count = count, .window = 48, .idle_ms = 3000,
		.step = x ? echo_step : NULL, .arg = x,
	};

	traffic_run(&b->at_peer, &b->at_peer, &t);
	if (x && !traffic_good(&t))
		say("%s: link %d, received %lld, sent %lld; socket: %llu received, %llu sent, %llu completed, %u frames free; fill ring %u of %u taken, wakeups wanted: %d for receiving, %d for sending",
		    b->dut, if_link(b->dut), if_counter(b->dut, "rx_packets"),
		    if_counter(b->dut, "tx_packets"), (unsigned long long)x->n_rx,
		    (unsigned long long)x->n_tx, (unsigned long long)x->n_comp, x->pool_n,
		    *x->fill.consumer, *x->fill.producer, xsk_wants_rx_kick(x),
		    xsk_wants_tx_kick(x));
	return check(traffic_good(&t), name,
		     "%u sent, %u back, %u damaged, %u twice, %u out of order",
		     t.sent, t.back, t.damaged, t.twice, t.disorder);
}

void bench_settle(struct xsk *x)
{
	uint64_t end = now_ms() + 10000, quiet = now_ms();

	while (now_ms() - quiet < 150 && now_ms() < end) {
		if (xsk_echo(x))
			quiet = now_ms();
		sleep_ms(1);
	}
}

bool bench_oneway(const char *name, struct port *from, struct port *to, unsigned int count)
{
	struct traffic t = { .count = count, .window = 48, .idle_ms = 3000 };

	traffic_run(from, to, &t);
	return check(traffic_good(&t), name,
		     "%u sent, %u arrived, %u damaged, %u twice, %u out of order",
		     t.sent, t.back, t.damaged, t.twice, t.disorder);
}

pid_t bench_flood_start(struct bench *b)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		traffic_flood(&b->at_peer, 20, 200);
		sleep_ms(1);
	}
}

void bench_flood_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int bench_bind(struct bench *b, struct xsk *x, const struct xsk_opts *o)
{
	uint64_t end = now_ms() + 10000;
	int err;

	/* a closed socket lets go of its queue in a work item */
	while ((err = xsk_open(x, b->dut_if, o)) == -EBUSY && now_ms() < end)
		sleep_ms(2);
	return err;
}

bool bench_wait(bool (*cond)(void *), void *arg, unsigned int ms)
{
	uint64_t end = now_ms() + ms;

	while (!cond(arg)) {
		if (now_ms() > end)
			return false;
		sleep_ms(2);
	}
	return true;
}
