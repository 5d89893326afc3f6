// SPDX-License-Identifier: Apache-2.0
/* Native XDP: verdicts, limits, and the paths it must not break. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf.h"
#include "tests.h"
#include "util.h"

/* Frames must reach the interface and nobody behind the program. */
static void test_swallowed(struct bench *b, const char *name, int action)
{
	struct traffic t = { .count = 300, .window = 0, .idle_ms = 300 };
	long long before, seen;
	int fd = prog_load(PROG_VERDICT, action);

	bench_attach(b, fd);
	before = if_counter(b->dut, "rx_packets");
	traffic_run(&b->at_peer, &b->at_dut, &t);
	seen = if_counter(b->dut, "rx_packets") - before;
	check(!t.back && t.sent == t.count && seen >= t.count, name,
	      "%u sent, %lld received by the hardware, %u passed", t.sent, seen, t.back);
	close(fd);
}

static void test_echoing(struct bench *b, const char *name, enum prog_kind kind, int arg,
			 unsigned int cut)
{
	struct traffic t = { .count = 600, .window = 48, .idle_ms = 3000, .cut = cut,
			     .size = cut ? 400 : 0 };	/* not below the minimum */
	int fd = prog_load(kind, arg);

	bench_attach(b, fd);
	traffic_run(&b->at_peer, &b->at_peer, &t);
	check(traffic_good(&t), name, "%u sent, %u back, %u damaged, %u twice, %u out of order",
	      t.sent, t.back, t.damaged, t.twice, t.disorder);
	close(fd);
}

/* Frames of another device's memory: a veth pair whose program redirects here. */
static void test_foreign(struct bench *b)
{
	struct port veth;
	char msg[128];
	int fd, err = veth_create("xt0", "xt1");

	if (err) {
		skip("redirect-from-veth", "no veth in this kernel");
		return;
	}
	if_up("xt0", true);
	if_up("xt1", true);
	fd = prog_load(PROG_REDIRECT, b->dut_if);
	err = xdp_attach(if_index("xt1"), fd, msg, sizeof(msg));
	if_wait_carrier("xt0", 2000);
	port_open(&veth, -1, "xt0", b->at_peer.mac);
	if (check(!err, "veth-attach", "error %d %s", -err, msg))
		bench_oneway("redirect-from-veth", &veth, &b->at_peer, 500);
	port_close(&veth);
	link_delete("xt0");
	close(fd);
}

/* XDP_TX and the stack on the same Tx ring at the same time. */
static void test_shared_ring(struct bench *b)
{
	struct traffic t = { .count = 1500, .window = 32, .idle_ms = 3000 };
	int fd = prog_load(PROG_SWAP_TX, 0), status = -1;
	pid_t pid;

	bench_attach(b, fd);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		struct port p;

		traffic_forked();
		port_open(&p, b->ns, b->peer, b->at_dut.mac);
		traffic_run(&p, &p, &t);
		_exit(traffic_good(&t) ? 0 : 1);
	}
	traffic_run(&b->at_dut, &b->at_peer, &t);
	waitpid(pid, &status, 0);
	check(traffic_good(&t) && !status, "stack-beside-xdp-tx",
	      "stack: %u sent, %u arrived; XDP_TX: %s", t.sent, t.back, status ? "lost some" : "all");
	close(fd);
}

/* Frames longer than the MTU allows are thrown away whole. */
static void test_oversize(struct bench *b)
{
	/* not 1519 to 1522: those pass in QEMU, which does not count the FCS */
	static const unsigned int size[] = { 1523, 1526, 1600, 2040, 2048, 2049, 3000, 4000 };
	int fd = prog_load(PROG_VERDICT, XDP_PASS), old;
	unsigned int i, passed = 0;

	old = ns_enter(b->ns);
	if_mtu(b->peer, 9000);
	if_wait_carrier(b->peer, b->link_ms);
	ns_return(old);
	bench_attach(b, fd);
	for (i = 0; i < ARRAY_LEN(size); i++) {
		struct traffic t = { .count = 40, .idle_ms = 200, .size = size[i] };

		traffic_run(&b->at_peer, &b->at_dut, &t);
		passed += t.back + t.damaged;
	}
	check(!passed, "oversize-dropped", "%u frames of more than 1522 bytes passed", passed);
	bench_oneway("after-oversize", &b->at_peer, &b->at_dut, 300);
	old = ns_enter(b->ns);
	if_mtu(b->peer, 1500);
	if_wait_carrier(b->peer, b->link_ms);
	ns_return(old);
	close(fd);
}

static void test_mtu(struct bench *b)
{
	int fd = prog_load(PROG_VERDICT, XDP_PASS), err;
	char msg[256] = "";

	bench_attach(b, fd);
	err = if_mtu(b->dut, 1501);
	check(err == -EINVAL, "mtu-refused-with-xdp", "setting it to 1501: %s", strerror(-err));
	err = if_mtu(b->dut, 1400);
	check(!err, "smaller-mtu-with-xdp", "setting it to 1400: %s", strerror(-err));
	if_mtu(b->dut, 1500);
	bench_attach(b, -1);

	err = if_mtu(b->dut, 9000);
	if (err) {
		skip("xdp-refused-with-mtu", "no jumbo frames on this device");
	} else {
		err = xdp_attach(b->dut_if, fd, msg, sizeof(msg));
		check(err == -EINVAL && strstr(msg, "1500") && strstr(msg, "9000"),
		      "xdp-refused-with-mtu", "%s: %s", strerror(-err), msg);
	}
	if_mtu(b->dut, 1500);
	if_wait_carrier(b->dut, b->link_ms);
	close(fd);
}

/* The other receive paths of the driver, with XDP detached again. */
static void test_without(struct bench *b)
{
	static const int mtu[] = { 1500, 4000, 9000 };
	unsigned int i;
	int old;

	bench_attach(b, -1);
	for (i = 0; i < ARRAY_LEN(mtu); i++) {
		struct traffic t = { .count = 300, .window = 16, .idle_ms = 3000 };
		char name[32];

		t.size = mtu[i] < 4000 ? 0 : 3900;
		snprintf(name, sizeof(name), "detached-mtu-%d", mtu[i]);
		old = ns_enter(b->ns);
		if_mtu(b->peer, mtu[i]);
		if_wait_carrier(b->peer, b->link_ms);
		ns_return(old);
		if_mtu(b->dut, mtu[i]);
		if_wait_carrier(b->dut, b->link_ms);
		traffic_run(&b->at_peer, &b->at_dut, &t);
		check(traffic_good(&t), name, "%u sent, %u arrived, %u damaged", t.sent, t.back,
		      t.damaged);
	}
	old = ns_enter(b->ns);
	if_mtu(b->peer, 1500);
	if_wait_carrier(b->peer, b->link_ms);
	ns_return(old);
	if_mtu(b->dut, 1500);
	if_wait_carrier(b->dut, b->link_ms);
}

void tests_native(struct bench *b)
{
	int fd = prog_load(PROG_VERDICT, XDP_PASS);
	char msg[256];
	int err;

	err = xdp_attach(b->dut_if, fd, msg, sizeof(msg));
	if (!check(!err, "native-attach", "%s: error %d %s", b->dut, -err, msg)) {
		close(fd);
		return;
	}
	check(if_wait_carrier(b->dut, b->link_ms), "link-after-attach", "%s", b->dut);
	bench_oneway("pass", &b->at_peer, &b->at_dut, 800);
	bench_oneway("pass-stack-tx", &b->at_dut, &b->at_peer, 800);
	close(fd);

	test_swallowed(b, "drop", XDP_DROP);
	test_swallowed(b, "aborted", XDP_ABORTED);
	test_swallowed(b, "unknown-verdict", 77);
	test_echoing(b, "tx", PROG_SWAP_TX, 0, 0);
	test_echoing(b, "tx-with-headroom", PROG_HEAD_TX, 0, 0);
	test_echoing(b, "tx-shortened", PROG_CUT_TX, 4, 4);
	test_echoing(b, "redirect", PROG_SWAP_REDIRECT, b->dut_if, 0);
	test_foreign(b);
	test_shared_ring(b);

	err = if_rings(b->dut, 128, 128);
	if_wait_carrier(b->dut, b->link_ms);
	if (check(!err, "ring-resize", "to 128: %s", strerror(-err)))
		test_echoing(b, "tx-after-resize", PROG_SWAP_TX, 0, 0);
	if_rings(b->dut, 256, 256);
	if_wait_carrier(b->dut, b->link_ms);

	test_oversize(b);
	test_mtu(b);
	test_without(b);
}
