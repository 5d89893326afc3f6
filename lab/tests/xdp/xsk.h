/* SPDX-License-Identifier: Apache-2.0 */
/* An AF_XDP socket with zero copy, and the echo made of it. */
#ifndef XDPTEST_XSK_H
#define XDPTEST_XSK_H

#include <linux/if_xdp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XSK_RING 1024		/* entries of each of the four rings */

struct xsk_ring {
	uint32_t *producer, *consumer, *flags;
	void *desc;		/* uint64_t or struct xdp_desc [XSK_RING] */
	void *map;
	size_t map_len;
};

struct xsk_opts {
	uint32_t frames;	/* in the UMEM; 0: 2048 */
	uint32_t chunk;		/* bytes; 0: 4096 */
	uint32_t headroom;	/* bytes left free before each frame */
	bool no_wakeup;		/* do not use XDP_USE_NEED_WAKEUP */
	bool empty_fill;	/* leave the fill ring empty at first */
};

struct xsk {
	int fd;
	uint8_t *umem;
	size_t umem_len;
	struct xsk_opts o;
	struct xsk_ring rx, tx, fill, comp;
	uint64_t *pool;		/* frames that are in no ring */
	uint32_t pool_n;
	/* statistics */
	uint64_t n_rx, n_tx, n_comp, n_kick;
};

/* Make a socket bound to queue 0 of the interface, zero copy or nothing.
 * Returns 0 or -errno, with nothing left behind.
 */
int xsk_open(struct xsk *x, unsigned int ifindex, const struct xsk_opts *o);
void xsk_close(struct xsk *x);
/* Does the kernel say that this socket is zero copy? */
bool xsk_is_zerocopy(struct xsk *x);

/* Put up to n free frames into the fill ring; returns how many. */
unsigned int xsk_fill(struct xsk *x, unsigned int n);
/* Take back frames that have been sent; returns how many. */
unsigned int xsk_reap(struct xsk *x);
/* Number of received descriptors; look at one; let go of n. */
unsigned int xsk_rx_avail(struct xsk *x);
struct xdp_desc xsk_rx_peek(struct xsk *x, unsigned int i);
void xsk_rx_release(struct xsk *x, unsigned int n);
/* Put a frame on the Tx ring; false if it is full. */
bool xsk_tx_put(struct xsk *x, uint64_t addr, uint32_t len);
/* A frame of the pool, false if there is none. */
bool xsk_frame(struct xsk *x, uint64_t *addr);
void xsk_free_frame(struct xsk *x, uint64_t addr);
/* System calls the kernel asks for by its need-wakeup flags. */
void xsk_kick(struct xsk *x);
bool xsk_wants_rx_kick(struct xsk *x);
bool xsk_wants_tx_kick(struct xsk *x);

/* One round of the echo: swap addresses of what has come and send it back.
 * Returns the number of frames.
 */
unsigned int xsk_echo(struct xsk *x);

#endif
