// SPDX-License-Identifier: Apache-2.0
/* xdptest: tests of XDP and AF_XDP zero copy in a network driver. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <linux/bpf.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf.h"
#include "tests.h"
#include "util.h"

static const char usage_text[] =
"usage: xdptest echo IFACE [-c CHUNK] [-f FRAMES] [-n]\n"
"       xdptest selftest [IFACE PEER] [-l LOOPS] [-t GROUP]\n"
"\n"
"echo      bind a zero-copy AF_XDP socket to IFACE and send every frame of\n"
"          ethertype 0x88b5 back to its sender, until SIGINT or SIGTERM\n"
"selftest  test the driver of IFACE (eth0); PEER (eth1), on the same wire, is\n"
"          moved to a network namespace and plays the other side\n"
"\n"
"  -c CHUNK   bytes of a frame in the UMEM (4096)\n"
"  -f FRAMES  frames in the UMEM (2048)\n"
"  -n         without XDP_USE_NEED_WAKEUP\n"
"  -l LOOPS   how often to bind and unbind (200)\n"
"  -t GROUP   only native, zerocopy or lifetime\n";

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

static int cmd_echo(const char *ifname, const struct xsk_opts *o)
{
	struct sigaction sa = { .sa_handler = on_signal };
	unsigned int ifindex = if_index(ifname);
	int map, fd, err;
	char msg[256];
	struct xsk x;

	if (!ifindex) {
		say("xdptest: no interface %s", ifname);
		return EX_FAIL;
	}
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);

	map = xskmap_create();
	fd = prog_load(PROG_XSK, map);
	err = xsk_open(&x, ifindex, o);
	if (err) {
		say("xdptest: bind a zero-copy socket to %s: %s", ifname, strerror(-err));
		return err == -EOPNOTSUPP ? EX_UNSUPP : err == -EPERM ? EX_PERM : EX_FAIL;
	}
	err = xskmap_set(map, x.fd);
	if (!err)
		err = xdp_attach(ifindex, fd, msg, sizeof(msg));
	if (err) {
		say("xdptest: attach to %s: %s: %s", ifname, strerror(-err), msg);
		return err == -EOPNOTSUPP ? EX_UNSUPP : EX_FAIL;
	}
	say("echo on %s, zero copy: %s", ifname, xsk_is_zerocopy(&x) ? "yes" : "no");

	while (!stopped) {
		struct pollfd pfd = { .fd = x.fd, .events = POLLIN };

		if (!xsk_echo(&x))
			poll(&pfd, 1, 100);
	}
	xdp_attach(ifindex, -1, msg, sizeof(msg));
	printf("received %llu\nsent %llu\ncompleted %llu\nsyscalls %llu\n",
	       (unsigned long long)x.n_rx, (unsigned long long)x.n_tx,
	       (unsigned long long)x.n_comp, (unsigned long long)x.n_kick);
	xsk_close(&x);
	return EX_DONE;
}

static int cmd_selftest(const char *dut, const char *peer, unsigned int loops, const char *group)
{
	struct bench b = { .dut = dut, .peer = peer, .loops = loops, .link_ms = 30000 };
	char line[256];
	int hits, old;
	bool up;

	if (!if_index(dut) || !if_index(peer)) {
		say("xdptest: no interface %s", if_index(dut) ? peer : dut);
		return EX_FAIL;
	}
	b.dut_if = if_index(dut);
	b.ns = ns_with(peer);
	if_up(dut, true);
	old = ns_enter(b.ns);
	up = if_wait_carrier(peer, b.link_ms);
	ns_return(old);
	if (!up || !if_wait_carrier(dut, b.link_ms)) {
		say("xdptest: %s has no link after %u s", up ? dut : peer, b.link_ms / 1000);
		return EX_TIME;
	}
	port_open(&b.at_dut, -1, dut, NULL);
	port_open(&b.at_peer, b.ns, peer, b.at_dut.mac);
	memcpy(b.at_dut.peer, b.at_peer.mac, 6);
	bench_oneway("wire", &b.at_peer, &b.at_dut, 200);

	if (!group || !strcmp(group, "native"))
		tests_native(&b);
	if (!group || !strcmp(group, "zerocopy"))
		tests_zerocopy(&b);
	if (!group || !strcmp(group, "lifetime"))
		tests_lifetime(&b);

	hits = dmesg_splats(line, sizeof(line));
	check(!hits, "kernel-log", "%d complaints%s%s", hits, hits ? ", first: " : "", line);
	return verdict();
}

/* As the first process of a virtual machine: set up, run, switch off. */
static void init_begin(void)
{
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
}

static void init_end(void)
{
	fflush(stdout);
	fflush(stderr);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	struct xsk_opts o = { 0 };
	const char *group = NULL;
	unsigned int loops = 200;
	bool init = getpid() == 1;
	int c, n, ret = EX_USAGE_ERR;

	if (init) {
		const char *env = getenv("xdptest");	/* xdptest=GROUP on the kernel's command line */

		init_begin();
		if (env && strcmp(env, "all"))
			group = env;
		env = getenv("xdploops");
		if (env)
			loops = atoi(env);
		cmd_selftest("eth0", "eth1", loops, group);
		init_end();
	}

	while ((c = getopt(argc, argv, "c:f:nl:t:h")) != -1) {
		switch (c) {
		case 'c':
			o.chunk = atoi(optarg);
			break;
		case 'f':
			o.frames = atoi(optarg);
			break;
		case 'n':
			o.no_wakeup = true;
			break;
		case 'l':
			loops = atoi(optarg);
			break;
		case 't':
			group = optarg;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return EX_DONE;
		default:
			fputs(usage_text, stderr);
			return EX_USAGE_ERR;
		}
	}
	argv += optind;
	n = argc - optind;

	if (group && strcmp(group, "native") && strcmp(group, "zerocopy") &&
	    strcmp(group, "lifetime"))
		n = 0;
	if (n == 2 && !strcmp(argv[0], "echo"))
		ret = cmd_echo(argv[1], &o);
	else if (n == 1 && !strcmp(argv[0], "selftest"))
		ret = cmd_selftest("eth0", "eth1", loops, group);
	else if (n == 3 && !strcmp(argv[0], "selftest"))
		ret = cmd_selftest(argv[1], argv[2], loops, group);
	else
		fputs(usage_text, stderr);
	return ret;
}
