/* SPDX-License-Identifier: Apache-2.0 */
/* Reporting, time, interfaces, network namespaces. */
#ifndef XDPTEST_UTIL_H
#define XDPTEST_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Exit statuses, the same in all of Sandstream's tools. */
enum { EX_DONE = 0, EX_FAIL = 1, EX_USAGE_ERR = 2, EX_UNSUPP = 3, EX_PERM = 4, EX_TIME = 5 };

/* --- verdicts ------------------------------------------------------------ */

/* Print "ok N name" or "not ok N name # why" and count. Returns cond. */
bool check(bool cond, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Print "ok N name # SKIP why": not counted as passed. */
void skip(const char *name, const char *why);
/* Print the last line, "PASS ..." or "FAIL ...", and return the exit status. */
int verdict(void);
/* Talk, to stderr. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Say what failed, with errno, and exit with EX_FAIL. */
void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* --- time ------------------------------------------------------------------ */

uint64_t now_ms(void);		/* CLOCK_MONOTONIC, milliseconds */
void sleep_ms(unsigned int ms);

/* --- interfaces -------------------------------------------------------------- */

unsigned int if_index(const char *name);
void if_mac(const char *name, uint8_t mac[6]);
/* 0 or -errno */
int if_up(const char *name, bool up);
int if_mtu(const char *name, int mtu);
/* The driver has a link, which is enough for XDP to send. */
bool if_link(const char *name);
/* The stack knows it too, which may take it a second, and sends. */
bool if_carrier(const char *name);
/* Wait until the carrier is there; false after timeout_ms. */
bool if_wait_carrier(const char *name, unsigned int timeout_ms);
/* A counter from /sys/class/net/NAME/statistics; -1 if there is none. */
long long if_counter(const char *name, const char *counter);
/* ethtool: set ring sizes, restart autonegotiation, set a feature by name. */
int if_rings(const char *name, unsigned int rx, unsigned int tx);
int if_restart(const char *name);
int if_feature(const char *name, const char *feature, bool on, bool *is_on);

/* Attach (fd >= 0) or detach (fd < 0) an XDP program in native mode, through
 * netlink. Returns 0 or -errno; msg receives the kernel's extended-ack text.
 */
int xdp_attach(unsigned int ifindex, int fd, char *msg, size_t msg_len);

/* Create a veth pair in the current namespace. 0 or -errno. */
int veth_create(const char *a, const char *b);
int link_delete(const char *name);

/* --- namespaces ---------------------------------------------------------------- */

/* Make a network namespace, move the interface there, bring it and lo up.
 * Returns a descriptor of the namespace.
 */
int ns_with(const char *ifname);
/* Enter a namespace; returns a descriptor of the one left. */
int ns_enter(int fd);
void ns_return(int old);

/* --- memory ---------------------------------------------------------------------- */

/* Memory in use that cannot be reclaimed, KiB. */
long mem_used_kib(void);
/* Memory of the machine, KiB. */
long mem_total_kib(void);
/* Entries in use of the DMA debugging code, -1 if the kernel has none. */
long dma_debug_used(void);
/* Bytes read from a file, without the final newline; NULL if unreadable. */
char *read_file(const char *path, char *buf, size_t len);
int write_file(const char *path, const char *text);
/* Number of lines of the kernel log since boot that look like a splat; the
 * first one is copied to line.
 */
int dmesg_splats(char *line, size_t len);

#endif
