/* SPDX-License-Identifier: Apache-2.0 */
/* The bench: one interface under test, one in a namespace as its peer. */
#ifndef XDPTEST_TESTS_H
#define XDPTEST_TESTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "traffic.h"
#include "xsk.h"

/*
 *      home namespace                 namespace `ns`
 *   +------------------+            +------------------+
 *   |  dut   (packet   |  the wire  |  peer  (packet   |
 *   |         socket)  |<---------->|         socket)  |
 *   |  XDP, AF_XDP     |            |                  |
 *   +------------------+            +------------------+
 */
struct bench {
	const char *dut, *peer;		/* names of interfaces */
	unsigned int dut_if;
	int ns;
	struct port at_dut, at_peer;
	unsigned int loops;		/* of the tests that repeat */
	unsigned int link_ms;		/* patience with the link */
};

void tests_native(struct bench *b);
void tests_zerocopy(struct bench *b);
void tests_lifetime(struct bench *b);

/* Attach a program (fd < 0: detach) and wait until the link is back. */
bool bench_attach(struct bench *b, int fd);
/* Send count frames from the peer and expect their echo; a check of that name. */
bool bench_echo(struct bench *b, const char *name, unsigned int count, struct xsk *x);
/* Echo until nothing is left of earlier traffic: QEMU keeps what an interface
 * cannot take at once, and lets newer frames overtake it.
 */
void bench_settle(struct xsk *x);
/* Send count frames one way and check that all arrive. */
bool bench_oneway(const char *name, struct port *from, struct port *to, unsigned int count);
/* A process that sends from the peer without pause, and its end. */
pid_t bench_flood_start(struct bench *b);
void bench_flood_stop(pid_t pid);
/* Bind, with patience while an earlier socket is still being taken down. */
int bench_bind(struct bench *b, struct xsk *x, const struct xsk_opts *o);
/* Wait until a condition holds; false after ms. */
bool bench_wait(bool (*cond)(void *), void *arg, unsigned int ms);

#endif
