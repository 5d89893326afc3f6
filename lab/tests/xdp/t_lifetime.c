// SPDX-License-Identifier: Apache-2.0
/* Coming and going: sockets, programs, the interface, the driver. */
#define _GNU_SOURCE
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <linux/bpf.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf.h"
#include "tests.h"
#include "util.h"

/* For the first frames: far longer than the driver's watchdog takes to hide a
 * lost interrupt, and enough for an emulated machine on a busy host.
 */
#define PATIENCE_MS 20000

/* Memory in use when everything has calmed down. */
static long used_at_rest(struct bench *b)
{
	long least = LONG_MAX, used;
	unsigned int i;

	for (i = 0; i < 6; i++) {
		sleep_ms(400);	/* RCU callbacks, deferred releases */
		port_drain(&b->at_dut);
		port_drain(&b->at_peer);
		used = mem_used_kib();
		if (used < least)
			least = used;
	}
	return least;
}

/* What is in use when no program is attached, and so no page pool exists, whose
 * store of mapped pages comes and goes: then only what has leaked can differ.
 */
struct at_rest {
	long used, dma;
};

static struct at_rest at_rest(struct bench *b)
{
	struct at_rest r;

	bench_attach(b, -1);
	r.used = used_at_rest(b);
	r.dma = dma_debug_used();
	return r;
}

/* A leak of one page each time round must show. On a debugging kernel memory says little:
 * KASAN keeps what is freed, up to a 32nd of all, and each new call chain is stored for
 * good. But such a kernel counts DMA mappings, and every page that the driver could
 * lose is mapped.
 */
static void check_leak(struct bench *b, const char *name, const struct at_rest *before,
		       unsigned int loops)
{
	struct at_rest now = at_rest(b);
	long used = now.used - before->used, room = (long)loops * 4 * 3 / 4 + 256;

	if (now.dma >= 0)
		room += mem_total_kib() / 32;
	check(used < room, name, "%+ld KiB after %u times", used, loops);
	if (now.dma >= 0)
		check(now.dma - before->dma < 4, name, "%+ld DMA mappings after %u times",
		      now.dma - before->dma, loops);
}

/* Echo until n frames have passed; false after ms. */
static bool echo_some(struct xsk *x, unsigned int n, unsigned int ms)
{
	uint64_t end = now_ms() + ms;
	unsigned int got = 0;

	while (got < n) {
		struct pollfd pfd = { .fd = x->fd, .events = POLLIN };

		got += xsk_echo(x);
		if (now_ms() > end)
			return false;
		if (got < n)
			poll(&pfd, 1, 5);
	}
	return true;
}

static bool linked(void *arg)
{
	return if_link(((struct bench *)arg)->dut);
}

static bool steer(struct bench *b, int map, struct xsk *x, const struct xsk_opts *o)
{
	return !bench_bind(b, x, o) && !xskmap_set(map, x->fd) &&
	       bench_wait(linked, b, b->link_ms);
}

/* Bind and unbind under traffic, each time until frames flow; fd is the program. */
static void test_binding(struct bench *b, int map, int fd)
{
	unsigned int i, dead = 0, loops = b->loops;
	pid_t flood = bench_flood_start(b);
	struct at_rest before = { 0 };
	struct xsk x;

	for (i = 0; i < loops + 3; i++) {
		struct xsk_opts o = { .frames = 1024, .chunk = i & 1 ? 2048 : 4096 };

		if (i == 3) {
			/* what is set up once is set up by now */
			bench_flood_stop(flood);
			before = at_rest(b);
			bench_attach(b, fd);
			flood = bench_flood_start(b);
		}
		if (!steer(b, map, &x, &o) || !echo_some(&x, 20, PATIENCE_MS))
			dead++;
		xsk_close(&x);
	}
	bench_flood_stop(flood);
	check(!dead, "bind-unbind", "%u times, %u without traffic", loops, dead);
	check_leak(b, "bind-unbind-leak", &before, loops);
	bench_attach(b, fd);
	if_wait_carrier(b->dut, b->link_ms);
}

static void test_attaching(struct bench *b)
{
	unsigned int i, dead = 0, loops = b->loops / 4 + 1;
	int fd = prog_load(PROG_SWAP_TX, 0);
	struct at_rest before = { 0 };
	pid_t flood;

	bench_attach(b, -1);
	flood = bench_flood_start(b);
	for (i = 0; i < loops + 3; i++) {
		if (i == 3) {
			bench_flood_stop(flood);
			before = at_rest(b);
			flood = bench_flood_start(b);
		}
		if (!bench_attach(b, fd))
			dead++;
		sleep_ms(20);
		if (!bench_attach(b, -1))
			dead++;
	}
	bench_flood_stop(flood);
	check(!dead, "attach-detach", "%u times, %u failed", loops, dead);
	check_leak(b, "attach-detach-leak", &before, loops);
	close(fd);
}

/* A process with a socket that dies without a word. */
static void test_kill(struct bench *b, int map)
{
	volatile unsigned int *alive = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
					    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int i, dead = 0, loops = b->loops / 20 + 2;
	pid_t flood = bench_flood_start(b), pid;

	if (alive == MAP_FAILED)
		die("memory");
	for (i = 0; i < loops; i++) {
		uint64_t end = now_ms() + b->link_ms + 10000;

		*alive = 0;
		pid = fork();
		if (pid < 0)
			die("fork");
		if (!pid) {
			struct xsk x;

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (!steer(b, map, &x, NULL))
				_exit(1);
			for (;;)
				if (echo_some(&x, 10, 100))
					*alive = 1;
		}
		while (!*alive && now_ms() < end)
			sleep_ms(5);
		dead += !*alive;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	bench_flood_stop(flood);
	check(!dead, "killed-under-traffic", "%u times, %u never had traffic", loops, dead);
	munmap((void *)alive, 4096);

	/* the program is still there: without a socket it passes to the stack */
	sleep_ms(200);
	if_wait_carrier(b->dut, b->link_ms);
	bench_oneway("stack-after-kill", &b->at_peer, &b->at_dut, 300);
}

static int down_up(struct bench *b)
{
	int err = if_up(b->dut, false);

	sleep_ms(30);
	return err ? err : if_up(b->dut, true);
}

static int restart(struct bench *b)
{
	return if_restart(b->dut);
}

static int resize(struct bench *b)
{
	static unsigned int n;

	n++;
	return if_rings(b->dut, n & 1 ? 512 : 256, n & 1 ? 64 : 256);
}

static int suspend(struct bench *b)
{
	int err = write_file("/sys/power/pm_test", "devices");

	(void)b;
	return err ? err : write_file("/sys/power/state", "freeze");
}

/* Something happens to the device while a socket is bound and traffic flows;
 * afterwards the same socket works.
 */
static void test_disturbed(struct bench *b, int map, const char *name,
			   int (*disturb)(struct bench *b), unsigned int loops)
{
	unsigned int i, dead = 0;
	pid_t flood = bench_flood_start(b);
	struct xsk x;
	int err = 0;

	if (!steer(b, map, &x, NULL))
		dead++;
	for (i = 0; i < loops && !err; i++) {
		if (!echo_some(&x, 20, PATIENCE_MS))
			dead++;
		err = disturb(b);
		if (!if_wait_carrier(b->dut, b->link_ms))
			dead++;
		if (!echo_some(&x, 20, PATIENCE_MS))
			dead++;
	}
	bench_flood_stop(flood);
	check(!dead && !err, name, "%u times, %u without traffic afterwards, error %d", i, dead,
	      -err);
	bench_settle(&x);
	bench_echo(b, name, 500, &x);
	xsk_close(&x);
	if_wait_carrier(b->dut, b->link_ms);
}

static bool present(void *arg)
{
	return if_index(((struct bench *)arg)->dut);
}

/* Take the driver away from under a bound socket, as unloading it does. */
static void test_unbind(struct bench *b, int map)
{
	char link[PATH_MAX], drv[PATH_MAX], path[PATH_MAX + 16];
	ssize_t n;
	struct xsk x;
	pid_t flood;
	int err, fd;

	snprintf(path, sizeof(path), "/sys/class/net/%s/device", b->dut);
	n = readlink(path, link, sizeof(link) - 1);
	snprintf(path, sizeof(path), "/sys/class/net/%s/device/driver", b->dut);
	if (n < 0 || !realpath(path, drv)) {
		skip("driver-unbind", "not a device with a driver");
		return;
	}
	link[n] = 0;

	flood = bench_flood_start(b);
	if (!steer(b, map, &x, NULL) || !echo_some(&x, 20, PATIENCE_MS)) {
		check(false, "driver-unbind", "no traffic before");
		bench_flood_stop(flood);
		return;
	}
	snprintf(path, sizeof(path), "%s/unbind", drv);
	err = write_file(path, basename(link));
	bench_flood_stop(flood);
	check(!err && !if_index(b->dut), "driver-unbind", "error %d", -err);
	/* the socket is still open: it must fail, not crash */
	xsk_echo(&x);
	xsk_close(&x);

	snprintf(path, sizeof(path), "%s/bind", drv);
	err = write_file(path, basename(link));
	check(!err && bench_wait(present, b, 5000), "driver-bind", "error %d", -err);
	b->dut_if = if_index(b->dut);
	if_up(b->dut, true);
	if_wait_carrier(b->dut, b->link_ms);
	port_close(&b->at_dut);
	port_open(&b->at_dut, -1, b->dut, b->at_peer.mac);

	fd = prog_load(PROG_XSK, map);
	bench_attach(b, fd);
	close(fd);
	if (steer(b, map, &x, NULL))
		bench_echo(b, "echo-after-driver-bind", 500, &x);
	else
		check(false, "echo-after-driver-bind", "no socket");
	xsk_close(&x);
}

void tests_lifetime(struct bench *b)
{
	int map = xskmap_create(), fd = prog_load(PROG_XSK, map);
	unsigned int some = b->loops / 20 + 2;

	bench_attach(b, fd);
	test_binding(b, map, fd);
	test_kill(b, map);
	test_disturbed(b, map, "down-up", down_up, some);
	test_disturbed(b, map, "restart", restart, some);
	test_disturbed(b, map, "ring-resize", resize, some);
	if (access("/sys/power/pm_test", W_OK))
		skip("suspend", "this kernel has no pm_test");
	else
		test_disturbed(b, map, "suspend", suspend, 2);
	test_unbind(b, map);
	test_attaching(b);
	close(fd);
	close(map);
}
