// SPDX-License-Identifier: Apache-2.0
/* AF_XDP zero copy: both directions, wake-ups, limits. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf.h"
#include "tests.h"
#include "util.h"

#define CANARY 0xee

/* Bind a socket and put it behind a program that redirects to it. */
static bool start(struct bench *b, struct xsk *x, const struct xsk_opts *o, const char *name)
{
	int map = xskmap_create(), fd, err;

	err = bench_bind(b, x, o);
	if (err) {
		check(false, name, "bind: %s", strerror(-err));
		close(map);
		return false;
	}
	fd = prog_load(PROG_XSK, map);
	err = xskmap_set(map, x->fd);
	if (err || !bench_attach(b, fd)) {
		check(false, name, "steer frames to the socket: %s", strerror(-err));
		xsk_close(x);
		x->fd = -1;
	}
	close(fd);
	close(map);	/* the program holds it */
	return x->fd >= 0;
}

static void stop(struct bench *b, struct xsk *x)
{
	xsk_close(x);
	bench_attach(b, -1);
}

static void test_echo(struct bench *b, const char *name, const struct xsk_opts *o)
{
	struct xsk x;

	if (!start(b, &x, o, name))
		return;
	if (xsk_is_zerocopy(&x))
		bench_echo(b, name, 1500, &x);
	else
		check(false, name, "the socket is not zero copy");
	say("%s: %llu frames received, %llu sent, %llu system calls", name,
	    (unsigned long long)x.n_rx, (unsigned long long)x.n_tx,
	    (unsigned long long)x.n_kick);
	stop(b, &x);
}

static void test_refused(struct bench *b, const char *name, const struct xsk_opts *o, int want)
{
	struct xsk x;
	int err = bench_bind(b, &x, o);

	check(err == want, name, "%s", strerror(-err));
	if (!err)
		xsk_close(&x);
}

/* Wait until frames are back from the hardware, without kicking it. */
static bool all_back(void *arg)
{
	struct xsk *x = arg;

	xsk_reap(x);
	return x->n_comp == x->n_tx;
}

static void check_all_back(struct xsk *x, const char *name)
{
	bool all = bench_wait(all_back, x, 3000);

	check(all, name, "%llu given to the kernel, %llu completed",
	      (unsigned long long)x->n_tx, (unsigned long long)x->n_comp);
}

/* A socket that only sends, without any program. */
static void test_tx_only(struct bench *b)
{
	struct xsk x;
	uint8_t buf[2048];
	unsigned int i, got = 0, bad = 0;
	uint64_t idle;
	int err = bench_bind(b, &x, NULL);

	if (err) {
		check(false, "tx-only", "bind: %s", strerror(-err));
		return;
	}
	if_wait_carrier(b->dut, b->link_ms);
	idle = now_ms();
	for (i = 0; i < 2000 || (got < 2000 && now_ms() - idle < 3000);) {
		uint64_t addr;
		ssize_t n;

		if (i < 2000 && i - got < 100 && xsk_frame(&x, &addr)) {
			frame_make(x.umem + addr, frame_len(i), b->at_peer.mac, b->at_dut.mac,
				   0xabcd, i);
			xsk_tx_put(&x, addr, frame_len(i));
			i++;
		}
		xsk_kick(&x);
		xsk_reap(&x);
		while ((n = recv(b->at_peer.fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
			int64_t seq = frame_check(buf, n, 0xabcd);

			if (seq == -1)
				continue;
			if (seq != got || (unsigned int)n != frame_len(seq))
				bad++;
			got++;
			idle = now_ms();
		}
		if (now_ms() - idle > 3000)
			break;
	}
	check(got == 2000 && !bad, "tx-only", "2000 sent, %u arrived, %u damaged or out of order",
	      got, bad);
	check_all_back(&x, "tx-only-completions");

	/* and what comes in goes to the stack, there being no program */
	bench_oneway("bound-without-program", &b->at_peer, &b->at_dut, 500);
	xsk_close(&x);
	if_wait_carrier(b->dut, b->link_ms);
}

/* Lengths the hardware must not see: all complete, and it goes on working. */
static void test_tx_lengths(struct bench *b)
{
	static const unsigned int len[] = { 1, 16, 60, 13, 17, 4000, 1514, 1518, 1519, 2000, 2, 59 };
	struct xsk x;
	unsigned int i;

	if (!start(b, &x, NULL, "tx-lengths"))
		return;
	for (i = 0; i < 3000; i++) {
		uint64_t addr;

		while (!xsk_frame(&x, &addr)) {
			xsk_kick(&x);
			xsk_reap(&x);
		}
		frame_make(x.umem + addr, 60, b->at_peer.mac, b->at_dut.mac, 0, i);
		xsk_tx_put(&x, addr, len[(i * 7 + i / 12) % ARRAY_LEN(len)]);
		if (i % 5 == 0)
			xsk_kick(&x);
		xsk_reap(&x);
	}
	xsk_kick(&x);
	check_all_back(&x, "tx-lengths");
	bench_echo(b, "after-tx-lengths", 500, &x);
	stop(b, &x);
}

/* One frame at a time, a system call only if the flag asks for one: each must
 * come back without help.
 */
static void test_tx_wakeup(struct bench *b)
{
	unsigned int i, lost = 0, kicks = 0;
	struct xsk x;

	if (!start(b, &x, NULL, "tx-wakeup"))
		return;
	for (i = 0; i < 3000; i++) {
		uint64_t addr;

		xsk_frame(&x, &addr);
		frame_make(x.umem + addr, 60, b->at_peer.mac, b->at_dut.mac, 0, i);
		xsk_tx_put(&x, addr, 60);
		if (xsk_wants_tx_kick(&x)) {
			sendto(x.fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
			kicks++;
		}
		/* every third time, put the next one beside one that is under way */
		if (i % 3 && !bench_wait(all_back, &x, 1000)) {
			lost++;
			sendto(x.fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
		}
	}
	check(!lost && bench_wait(all_back, &x, 1000), "tx-wakeup",
	      "%u frames, %u system calls, %u stuck", i, kicks, lost);
	stop(b, &x);
}

static bool wants_rx_kick(void *x)
{
	return xsk_wants_rx_kick(x);
}

/* Bound with nothing in the fill ring, and filled later. */
static void test_starved(struct bench *b, const char *name, bool no_wakeup)
{
	struct xsk_opts o = { .empty_fill = true, .no_wakeup = no_wakeup };
	struct xsk x;

	if (!start(b, &x, &o, name))
		return;
	traffic_flood(&b->at_peer, 50, 60);
	if (!no_wakeup)
		check(bench_wait(wants_rx_kick, &x, 3000), "starved-flag",
		      "the kernel asks to be woken when the fill ring is empty");
	sleep_ms(200);
	xsk_fill(&x, 600);
	if (!no_wakeup)
		recvfrom(x.fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	bench_settle(&x);
	bench_echo(b, name, 800, &x);
	stop(b, &x);
}

/* The socket does not read for a while: frames are dropped, nothing stalls. */
static void test_rx_full(struct bench *b)
{
	struct xsk x;

	if (!start(b, &x, NULL, "rx-ring-full"))
		return;
	traffic_flood(&b->at_peer, 500, 60);
	bench_settle(&x);
	bench_echo(b, "rx-ring-full", 800, &x);
	stop(b, &x);
}

static void test_verdicts(struct bench *b)
{
	struct traffic t = { .count = 200, .idle_ms = 300 };
	struct xsk x;
	int fd;

	if (!start(b, &x, NULL, "bound-verdicts"))
		return;

	fd = prog_load(PROG_VERDICT, XDP_DROP);
	bench_attach(b, fd);
	close(fd);
	traffic_run(&b->at_peer, &b->at_dut, &t);
	check(!t.back && !xsk_rx_avail(&x), "bound-drop", "%u of %u passed", t.back, t.count);

	fd = prog_load(PROG_VERDICT, XDP_ABORTED);
	bench_attach(b, fd);
	close(fd);
	traffic_run(&b->at_peer, &b->at_dut, &t);
	check(!t.back, "bound-aborted", "%u of %u passed", t.back, t.count);

	fd = prog_load(PROG_VERDICT, XDP_PASS);
	bench_attach(b, fd);
	close(fd);
	bench_oneway("bound-pass", &b->at_peer, &b->at_dut, 800);

	fd = prog_load(PROG_SWAP_TX, 0);
	bench_attach(b, fd);
	close(fd);
	bench_echo(b, "bound-tx", 800, NULL);

	fd = prog_load(PROG_SWAP_REDIRECT, b->dut_if);
	bench_attach(b, fd);
	close(fd);
	bench_echo(b, "bound-redirect", 800, NULL);

	/* the program goes first, then the socket */
	bench_attach(b, -1);
	bench_oneway("bound-program-gone", &b->at_peer, &b->at_dut, 500);
	xsk_close(&x);
	if_wait_carrier(b->dut, b->link_ms);
}

/* The stack sends while the socket echoes. */
static void test_shared_ring(struct bench *b)
{
	struct traffic t = { .count = 1500, .window = 32, .idle_ms = 3000 };
	struct xsk x;
	int status = -1;
	pid_t pid;

	if (!start(b, &x, NULL, "stack-beside-zerocopy"))
		return;
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		struct port p;

		traffic_forked();
		port_open(&p, b->ns, b->peer, b->at_dut.mac);
		traffic_run(&b->at_dut, &p, &t);
		_exit(traffic_good(&t) ? 0 : 1);
	}
	bench_echo(b, "zerocopy-beside-stack", 1500, &x);
	waitpid(pid, &status, 0);
	check(!status, "stack-beside-zerocopy", "%s", status ? "lost some" : "all arrived");
	stop(b, &x);
}

/* Peer frames longer than fit must not be written past the end of a chunk. */
static void test_oversize(struct bench *b, const char *name, const struct xsk_opts *o,
			  unsigned int most, bool echo)
{
	static const unsigned int size[] = { 1515, 1518, 1519, 1522, 1600, 1792, 1793, 2047, 2048,
					     2049, 3000, 4000 };
	unsigned int i, spoilt = 0, old, data = o->headroom + 256;
	struct xsk x;

	old = ns_enter(b->ns);
	if_mtu(b->peer, 9000);
	if_wait_carrier(b->peer, b->link_ms);
	ns_return(old);

	if (start(b, &x, o, name)) {
		memset(x.umem, CANARY, x.umem_len);
		for (i = 0; i < ARRAY_LEN(size); i++) {
			struct traffic t = { .count = 30, .idle_ms = 100, .size = size[i] };

			traffic_run(&b->at_peer, &b->at_dut, &t);
			/* take what was received, send nothing */
			while (xsk_rx_avail(&x)) {
				struct xdp_desc d = xsk_rx_peek(&x, 0);

				xsk_free_frame(&x, d.addr);
				xsk_rx_release(&x, 1);
			}
			xsk_fill(&x, XSK_RING);
			xsk_kick(&x);
		}
		for (i = 0; i < x.umem_len; i++)
			if (i % o->chunk >= data + most && x.umem[i] != CANARY)
				spoilt++;
		check(!spoilt, name, "%u bytes written beyond %u of a frame", spoilt, most);
		if (echo)
			bench_echo(b, "after-oversize", 500, &x);
		stop(b, &x);
	}

	old = ns_enter(b->ns);
	if_mtu(b->peer, 1500);
	if_wait_carrier(b->peer, b->link_ms);
	ns_return(old);
}

static void test_limits(struct bench *b)
{
	const struct xsk_opts tight = { .chunk = 2048, .headroom = 384 };
	const struct xsk_opts small = { .chunk = 2048, .frames = 2048 };
	const struct xsk_opts big = { .chunk = 4096, .frames = 1024 };
	struct xsk x, y;
	bool on = false;
	int err;

	/* AF_XDP itself looks at the MTU, the driver at what the hardware may do */
	if_mtu(b->dut, 1000);
	test_refused(b, "small-frames-refused", &tight, -EOPNOTSUPP);
	if_mtu(b->dut, 1500);

	err = bench_bind(b, &x, &small);
	if (!check(!err, "bind-2048", "%s", strerror(-err)))
		return;
	if_wait_carrier(b->dut, b->link_ms);
	err = xsk_open(&y, b->dut_if, NULL);
	check(err == -EBUSY, "second-bind-refused", "%s", strerror(-err));
	err = if_mtu(b->dut, 1501);
	check(err == -EINVAL, "mtu-refused-when-bound", "%s", strerror(-err));
	err = if_feature(b->dut, "rx-all", true, &on);
	check(err >= 0 && !on, "rx-all-refused", "result %d, feature is %s", err, on ? "on" : "off");
	xsk_close(&x);
	if_wait_carrier(b->dut, b->link_ms);
	sleep_ms(100);

	err = if_feature(b->dut, "rx-all", true, &on);
	if_wait_carrier(b->dut, b->link_ms);
	if (err < 0 || !on) {
		skip("rx-all-needs-2048", "the device has no rx-all");
	} else {
		test_refused(b, "rx-all-needs-2048", &small, -EOPNOTSUPP);
		test_oversize(b, "oversize-with-rx-all", &big, 2048, true);
	}
	if_feature(b->dut, "rx-all", false, &on);
	if_wait_carrier(b->dut, b->link_ms);

	/* The FCS is four bytes more. No echo: also without XDP, nothing is
	 * passed on by QEMU's e1000e then.
	 */
	err = if_feature(b->dut, "rx-fcs", true, &on);
	if_wait_carrier(b->dut, b->link_ms);
	if (err >= 0 && on)
		test_oversize(b, "oversize-with-rx-fcs", &small, 1536, false);
	if_feature(b->dut, "rx-fcs", false, &on);
	if_wait_carrier(b->dut, b->link_ms);

	err = if_mtu(b->dut, 1501);
	if_wait_carrier(b->dut, b->link_ms);
	if (err)
		skip("bind-refused-with-mtu", "no jumbo frames on this device");
	else
		test_refused(b, "bind-refused-with-mtu", &big, -EINVAL);
	if_mtu(b->dut, 1500);
	if_wait_carrier(b->dut, b->link_ms);
}

void tests_zerocopy(struct bench *b)
{
	const struct xsk_opts plain = { 0 };
	const struct xsk_opts no_wakeup = { .no_wakeup = true };
	const struct xsk_opts half = { .chunk = 2048 };
	const struct xsk_opts half_headroom = { .chunk = 2048, .headroom = 256 };
	const struct xsk_opts few = { .frames = 64 };
	struct xsk x;
	int err = bench_bind(b, &x, NULL);

	if (!check(!err, "zerocopy-bind", "%s: %s", b->dut, strerror(-err)))
		return;
	check(xsk_is_zerocopy(&x), "zerocopy-reported", "XDP_OPTIONS_ZEROCOPY");
	check(if_wait_carrier(b->dut, b->link_ms), "link-after-bind", "%s", b->dut);
	xsk_close(&x);
	if_wait_carrier(b->dut, b->link_ms);

	test_echo(b, "echo", &plain);
	test_echo(b, "echo-without-need-wakeup", &no_wakeup);
	test_echo(b, "echo-2048", &half);
	test_echo(b, "echo-2048-headroom-256", &half_headroom);
	test_echo(b, "echo-64-frames", &few);
	test_tx_only(b);
	test_tx_lengths(b);
	test_tx_wakeup(b);
	test_starved(b, "starved", false);
	test_starved(b, "starved-without-need-wakeup", true);
	test_rx_full(b);
	test_verdicts(b);
	test_shared_ring(b);
	test_oversize(b, "oversize-2048", &half, 1522, true);
	test_limits(b);
}
