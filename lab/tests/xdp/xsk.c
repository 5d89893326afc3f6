// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util.h"
#include "xsk.h"

#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#ifndef AF_XDP
#define AF_XDP 44
#endif

/* Each index has one writer. The other side reads it with acquire, after which
 * the entries it covers may be read; it was published with release.
 */
static uint32_t get(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void put(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static bool flag(const struct xsk_ring *r)
{
	/* after our index is visible: see the need-wakeup protocol */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(r->flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP;
}

static int ring_map(struct xsk *x, struct xsk_ring *r, int opt, off_t where,
		    const struct xdp_ring_offset *off, size_t entry)
{
	int n = XSK_RING;

	(void)opt;
	r->map_len = off->desc + n * entry;
	r->map = mmap(NULL, r->map_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		      x->fd, where);
	if (r->map == MAP_FAILED) {
		r->map = NULL;
		return -errno;
	}
	r->producer = (void *)((char *)r->map + off->producer);
	r->consumer = (void *)((char *)r->map + off->consumer);
	r->flags = (void *)((char *)r->map + off->flags);
	r->desc = (char *)r->map + off->desc;
	return 0;
}

static void ring_unmap(struct xsk_ring *r)
{
	if (r->map)
		munmap(r->map, r->map_len);
	r->map = NULL;
}

static int xsk_setup(struct xsk *x, unsigned int ifindex)
{
	static const int opts[] = { XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING,
				    XDP_RX_RING, XDP_TX_RING };
	struct xdp_umem_reg reg = {
		.addr = (uintptr_t)x->umem,
		.len = x->umem_len,
		.chunk_size = x->o.chunk,
		.headroom = x->o.headroom,
	};
	struct sockaddr_xdp sa = {
		.sxdp_family = AF_XDP,
		.sxdp_ifindex = ifindex,
		.sxdp_flags = XDP_ZEROCOPY | (x->o.no_wakeup ? 0 : XDP_USE_NEED_WAKEUP),
	};
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	int n = XSK_RING, err;
	size_t i;

	if (setsockopt(x->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)))
		return -errno;
	for (i = 0; i < ARRAY_LEN(opts); i++)
		if (setsockopt(x->fd, SOL_XDP, opts[i], &n, sizeof(n)))
			return -errno;
	if (getsockopt(x->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len))
		return -errno;

	err = ring_map(x, &x->fill, 0, XDP_UMEM_PGOFF_FILL_RING, &off.fr, sizeof(uint64_t));
	if (!err)
		err = ring_map(x, &x->comp, 0, XDP_UMEM_PGOFF_COMPLETION_RING, &off.cr,
			       sizeof(uint64_t));
	if (!err)
		err = ring_map(x, &x->rx, 0, XDP_PGOFF_RX_RING, &off.rx, sizeof(struct xdp_desc));
	if (!err)
		err = ring_map(x, &x->tx, 0, XDP_PGOFF_TX_RING, &off.tx, sizeof(struct xdp_desc));
	if (err)
		return err;

	if (!x->o.empty_fill)
		xsk_fill(x, x->o.frames / 2);

	return bind(x->fd, (struct sockaddr *)&sa, sizeof(sa)) ? -errno : 0;
}

int xsk_open(struct xsk *x, unsigned int ifindex, const struct xsk_opts *o)
{
	uint32_t i;
	int err;

	memset(x, 0, sizeof(*x));
	if (o)
		x->o = *o;
	if (!x->o.frames)
		x->o.frames = 2048;
	if (!x->o.chunk)
		x->o.chunk = 4096;

	x->umem_len = (size_t)x->o.frames * x->o.chunk;
	x->umem = mmap(NULL, x->umem_len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (x->umem == MAP_FAILED)
		die("map %zu bytes of UMEM", x->umem_len);
	x->pool = calloc(x->o.frames, sizeof(*x->pool));
	if (!x->pool)
		die("memory");
	for (i = 0; i < x->o.frames; i++)
		x->pool[x->pool_n++] = (uint64_t)i * x->o.chunk;

	x->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	err = x->fd < 0 ? -errno : xsk_setup(x, ifindex);
	if (err)
		xsk_close(x);
	return err;
}

void xsk_close(struct xsk *x)
{
	ring_unmap(&x->rx);
	ring_unmap(&x->tx);
	ring_unmap(&x->fill);
	ring_unmap(&x->comp);
	if (x->fd >= 0)
		close(x->fd);
	x->fd = -1;
	if (x->umem)
		munmap(x->umem, x->umem_len);
	x->umem = NULL;
	free(x->pool);
	x->pool = NULL;
}

bool xsk_is_zerocopy(struct xsk *x)
{
	struct xdp_options opts = { 0 };
	socklen_t len = sizeof(opts);

	return !getsockopt(x->fd, SOL_XDP, XDP_OPTIONS, &opts, &len) &&
	       (opts.flags & XDP_OPTIONS_ZEROCOPY);
}

bool xsk_frame(struct xsk *x, uint64_t *addr)
{
	if (!x->pool_n)
		return false;
	*addr = x->pool[--x->pool_n];
	return true;
}

void xsk_free_frame(struct xsk *x, uint64_t addr)
{
	/* a received frame starts after the headroom: back to its chunk */
	x->pool[x->pool_n++] = addr - addr % x->o.chunk;
}

unsigned int xsk_fill(struct xsk *x, unsigned int n)
{
	uint32_t prod = *x->fill.producer, done = 0;
	uint32_t room = XSK_RING - (prod - get(x->fill.consumer));
	uint64_t *desc = x->fill.desc, addr;

	while (done < n && done < room && xsk_frame(x, &addr)) {
		desc[(prod + done) % XSK_RING] = addr;
		done++;
	}
	put(x->fill.producer, prod + done);
	return done;
}

unsigned int xsk_reap(struct xsk *x)
{
	uint32_t cons = *x->comp.consumer, n = get(x->comp.producer) - cons, i;
	uint64_t *desc = x->comp.desc;

	for (i = 0; i < n; i++)
		xsk_free_frame(x, desc[(cons + i) % XSK_RING]);
	put(x->comp.consumer, cons + n);
	x->n_comp += n;
	return n;
}

unsigned int xsk_rx_avail(struct xsk *x)
{
	return get(x->rx.producer) - *x->rx.consumer;
}

struct xdp_desc xsk_rx_peek(struct xsk *x, unsigned int i)
{
	return ((struct xdp_desc *)x->rx.desc)[(*x->rx.consumer + i) % XSK_RING];
}

void xsk_rx_release(struct xsk *x, unsigned int n)
{
	put(x->rx.consumer, *x->rx.consumer + n);
	x->n_rx += n;
}

bool xsk_tx_put(struct xsk *x, uint64_t addr, uint32_t len)
{
	uint32_t prod = *x->tx.producer;
	struct xdp_desc *desc = x->tx.desc;

	if (prod - get(x->tx.consumer) == XSK_RING)
		return false;
	desc[prod % XSK_RING] = (struct xdp_desc){ .addr = addr, .len = len };
	put(x->tx.producer, prod + 1);
	x->n_tx++;
	return true;
}

bool xsk_wants_rx_kick(struct xsk *x)
{
	return flag(&x->fill);
}

bool xsk_wants_tx_kick(struct xsk *x)
{
	return flag(&x->tx);
}

void xsk_kick(struct xsk *x)
{
	/* without need-wakeup, sending is always a system call */
	if (x->o.no_wakeup || xsk_wants_tx_kick(x)) {
		sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
		x->n_kick++;
	}
	if (!x->o.no_wakeup && xsk_wants_rx_kick(x)) {
		recvfrom(x->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
		x->n_kick++;
	}
}

unsigned int xsk_echo(struct xsk *x)
{
	unsigned int n = xsk_rx_avail(x), i;

	for (i = 0; i < n; i++) {
		struct xdp_desc d = xsk_rx_peek(x, i);
		uint8_t *p = x->umem + d.addr, t[6];

		memcpy(t, p, 6);
		memcpy(p, p + 6, 6);
		memcpy(p + 6, t, 6);
		if (!xsk_tx_put(x, d.addr, d.len))
			xsk_free_frame(x, d.addr);
	}
	if (n)
		xsk_rx_release(x, n);
	xsk_reap(x);
	xsk_fill(x, XSK_RING);
	xsk_kick(x);
	return n;
}
