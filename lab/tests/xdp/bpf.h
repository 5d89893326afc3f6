/* SPDX-License-Identifier: Apache-2.0 */
/* XDP programs, assembled by hand: no compiler for BPF and no libbpf needed. */
#ifndef XDPTEST_BPF_H
#define XDPTEST_BPF_H

#include <stdbool.h>

#define TEST_ETHERTYPE 0x88b5	/* IEEE 802 local experimental 1 */

/* What a program does with frames of TEST_ETHERTYPE. All others are passed. */
enum prog_kind {
	PROG_VERDICT,		/* return the XDP verdict in arg */
	PROG_SWAP_TX,		/* swap the addresses, XDP_TX */
	PROG_SWAP_REDIRECT,	/* swap the addresses, redirect to the interface in arg */
	PROG_REDIRECT,		/* redirect to the interface in arg, unchanged */
	PROG_XSK,		/* redirect to the AF_XDP socket of the queue; arg: XSKMAP */
	PROG_HEAD_TX,		/* as PROG_SWAP_TX, after moving the head out by 200 and back */
	PROG_CUT_TX,		/* as PROG_SWAP_TX, with arg bytes cut off the end */
};

/* Load a program. Returns its descriptor; exits on failure, with the verifier's
 * words.
 */
int prog_load(enum prog_kind kind, int arg);

/* Make an XSKMAP with one entry. Returns its descriptor. */
int xskmap_create(void);
/* Put a socket into the map, 0 or -errno. */
int xskmap_set(int map, int xsk_fd);

#endif
