// SPDX-License-Identifier: Apache-2.0
/*
 * The port: the four AF_XDP rings and the frame pool, used in place.
 *
 * A frame (a chunk of the UMEM) is always in exactly one place:
 *
 *	pool -> fill ring -> card -> rx ring -> SPA -> tx ring -> card -> completion ring -> pool
 *
 * and is named by its offset in the UMEM. Nothing is copied but descriptors.
 *
 * Indices run freely through 32 bits; an entry stands at index & mask. Of each
 * ring we own one index and the kernel the other. All are read once, when an
 * upcall begins, into the copies in struct ring. So no value can change between
 * its check and its use, nothing is carried from one upcall to the next, and an
 * SPA that takes over a port finds the rings exactly where its predecessor left
 * them.
 *
 * An upcall may be cut off at any instruction, and another SPA go on with rings
 * and pool: an INIT that fails leaves the old one, a FINI that fails the new
 * one. So a place lets go of a frame in shared memory before the next one has
 * it, and releases keep the compiler from exchanging the two: what is cut off
 * may lose frames and never has one in two places.
 */
#include "lib.h"

/* Linux's struct xdp_desc, which uapi/uls_shm.h refers to. options: 0, or the frame has more buffers. */
struct desc {
	u64 addr;
	u32 len;
	u32 options;
};
_Static_assert(sizeof(struct desc) == 16 && offsetof(struct desc, len) == 8, "struct xdp_desc");
/* gather() and tx_put() take len and what follows it as one word. */
_Static_assert(offsetof(struct desc, options) == 12, "options follow len");
_Static_assert(offsetof(struct spa_frame, verdict) == offsetof(struct spa_frame, len) + 4 && !SPA_DROP,
	       "verdict follows len, and 0 is SPA_DROP");

struct ring {
	u32 *producer;
	u32 *consumer;
	void *desc;
	u32 size;
	u32 prod;	/* copies of this upcall */
	u32 cons;
};

static struct {
	bool attached;
	u8 *umem;
	u64 umem_len;
	u64 chunk;
	u32 headroom;
	u32 pool_max;
	struct uls_pool *pool;
	struct ring rx, tx, fill, comp;
} port;

static int ring_init(struct ring *r, const struct uls_ring_info *i)
{
	u8 *base = spa_ptr(i->addr);

	if (!i->addr || !i->entries || i->entries & (i->entries - 1))
		return -SPA_EINVAL;
	r->producer = (void *)(base + i->producer);
	r->consumer = (void *)(base + i->consumer);
	r->desc = base + i->desc;
	r->size = i->entries;
	return 0;
}

/* Our index is written by us alone; the acquire pairs with the kernel's release of the other. */
static inline void ring_load(struct ring *r)
{
	r->prod = __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
	r->cons = __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE);
	if (spa_unlikely(r->prod - r->cons > r->size))
		spa_abort(SPA_ABORT_RING);
}

static inline u32 ring_used(const struct ring *r) { return r->prod - r->cons; }
static inline u32 ring_room(const struct ring *r) { return r->size - ring_used(r); }

/* The entries below top are there before it says so. */
static inline void pool_set_top(u32 top)
{
	__atomic_store_n(&port.pool->top, top, __ATOMIC_RELEASE);
}

/* A frame's chunk by any address inside it. */
static inline void pool_push(u64 addr)
{
	struct uls_pool *p = port.pool;
	u32 top = p->top;

	if (spa_unlikely(addr >= port.umem_len || top >= port.pool_max))
		spa_abort(SPA_ABORT_POOL);
	p->frame[top] = addr & ~(port.chunk - 1);
	pool_set_top(top + 1);
}

/* Sent frames back to the pool. What the card never had (a hostile index or entry) is counted and left out. */
static void reclaim(void)
{
	const u64 *d = port.comp.desc;
	struct uls_pool *p = port.pool;
	u32 cons = port.comp.cons, end = port.comp.prod, mask = port.comp.size - 1;
	u64 umem_len = port.umem_len, chunk_mask = ~(port.chunk - 1);
	u32 top = p->top, max = port.pool_max;

	for (; cons != end; cons++) {
		u64 addr = __atomic_load_n(&d[cons & mask], __ATOMIC_RELAXED);

		if (spa_unlikely(addr >= umem_len || top >= max)) {
			spa_counters->v[SPA_LIB_bad_desc]++;
			continue;
		}
		p->frame[top++] = addr & chunk_mask;
	}
	__atomic_store_n(port.comp.consumer, end, __ATOMIC_RELEASE);
	pool_set_top(top);
}

/* Free frames to the card. */
static void refill(void)
{
	u64 *d = port.fill.desc;
	struct uls_pool *p = port.pool;
	u32 room = ring_room(&port.fill), top = p->top, mask = port.fill.size - 1;
	u32 prod = port.fill.prod, end = prod + room;
	const u64 *from;

	if (spa_unlikely(room > top)) {
		spa_counters->v[SPA_LIB_fill_short]++;
		end = prod + top;
	}
	p->top = top - (end - prod);
	for (from = &p->frame[top]; prod != end; prod++)
		d[prod & mask] = *--from;
	__atomic_store_n(port.fill.producer, end, __ATOMIC_RELEASE);
}

static SPA_COLD int pool_init(bool takeover)
{
	struct uls_pool *p = port.pool;
	u64 max = port.pool_max, chunk = port.chunk, addr, i;

	if (takeover) {
		if (p->magic != ULS_INFO_MAGIC || p->top > port.pool_max) {
			spa_log("takeover of a port whose frame pool was never set up");
			return -SPA_EINVAL;
		}
		return 0;
	}
	ring_load(&port.fill);
	if (ring_used(&port.fill)) {
		spa_log("fill ring holds %u frames already: the pool would hand them out twice",
			ring_used(&port.fill));
		return -SPA_EBUSY;
	}
	/* The lowest frames on top: a quiet port stays within few pages. */
	for (addr = max * chunk, i = 0; i < max; i++) {
		addr -= chunk;
		p->frame[i] = addr;
	}
	p->top = (u32)max;
	p->magic = ULS_INFO_MAGIC;
	return 0;	/* the end of the upcall fills the ring */
}

SPA_COLD int spa_port_init(const struct uls_info *info)
{
	u64 chunk = info->chunk_size;
	int err;

	port.attached = false;
	if (!info->umem_len)
		return 0;	/* an SPA without a port: control and ticks only */
	if (!chunk || chunk & (chunk - 1) || info->umem_len % chunk || info->headroom >= chunk ||
	    info->umem_len / chunk > (info->pool_len - sizeof(struct uls_pool)) / sizeof(u64) ||
	    info->pool_len < sizeof(struct uls_pool)) {
		spa_log("UMEM of %llu bytes in chunks of %llu, pool of %llu bytes: not usable",
			info->umem_len, chunk, info->pool_len);
		return -SPA_EINVAL;
	}
	port.umem = spa_ptr(info->umem_addr);
	port.umem_len = info->umem_len;
	port.chunk = chunk;
	port.headroom = info->headroom;
	port.pool = spa_ptr(info->pool_addr);
	port.pool_max = (u32)(info->umem_len / chunk);
	if (ring_init(&port.rx, &info->rx) || ring_init(&port.tx, &info->tx) ||
	    ring_init(&port.fill, &info->fill) || ring_init(&port.comp, &info->comp)) {
		spa_log("a ring is absent, or its size is no power of two");
		return -SPA_EINVAL;
	}
	err = pool_init(info->flags & ULS_INFO_TAKEOVER);
	port.attached = !err;
	return err;
}

void spa_port_begin(void)
{
	if (spa_unlikely(!port.attached))
		return;
	ring_load(&port.rx);
	ring_load(&port.tx);
	ring_load(&port.fill);
	ring_load(&port.comp);
	reclaim();
}

void spa_port_end(void)
{
	if (spa_unlikely(!port.attached))
		return;
	__atomic_store_n(port.tx.producer, port.tx.prod, __ATOMIC_RELEASE);
	refill();
}

/*
 * Up to SPA_BATCH descriptors into the batch, and out of the ring; *left counts
 * it down. Headers are fetched ahead here, while the ring is still in the cache and
 * long before the SPA reads them.
 */
static inline void gather(struct spa_batch *b, u32 *left)
{
	const u8 *ring = port.rx.desc;
	u64 mask = ((u64)port.rx.size - 1) * sizeof(struct desc);
	u64 at = (u64)port.rx.cons * sizeof(struct desc);
	u64 umem_len = port.umem_len, chunk = port.chunk, bytes = 0;
	u32 n = *left < SPA_BATCH ? *left : SPA_BATCH, i;
	struct spa_frame *f = b->f;
	u8 *umem = port.umem;

	for (i = 0; i < n; i++, at += sizeof(struct desc)) {
		const struct desc *d = (const void *)(ring + (at & mask));
		u64 addr = __atomic_load_n(&d->addr, __ATOMIC_RELAXED);
		/* len and options in one: options that are not 0 make a length no chunk has. */
		u64 len = __atomic_load_n((const u64 *)(const void *)&d->len, __ATOMIC_RELAXED);

		if (spa_unlikely(addr >= umem_len || len > chunk - (addr & (chunk - 1)))) {
			spa_counters->v[SPA_LIB_bad_desc]++;
			continue;
		}
		f->data = umem + addr;
		__builtin_prefetch(f->data, 1);
		/* len, and verdict 0 (SPA_DROP) above it. */
		spa_put64(&f->len, len);
		bytes += len;
		f++;
	}
	*left -= n;
	port.rx.cons += n;
	__atomic_store_n(port.rx.consumer, port.rx.cons, __ATOMIC_RELEASE);
	b->n = (u32)(f - b->f);
	spa_counters->v[SPA_LIB_rx_frames] += b->n;
	spa_counters->v[SPA_LIB_rx_bytes] += bytes;
}

/* Room in the transmit ring, by the kernel's index as it is now. */
static SPA_COLD u32 tx_room_now(void)
{
	port.tx.cons = __atomic_load_n(port.tx.consumer, __ATOMIC_ACQUIRE);
	if (ring_used(&port.tx) > port.tx.size)
		spa_abort(SPA_ABORT_RING);
	return ring_room(&port.tx);
}

/* len, and options 0 above it, in one store. */
static inline void tx_put(void *d, u64 addr, u64 len)
{
	spa_put64(d, addr);
	spa_put64((u8 *)d + offsetof(struct desc, len), len);
}

static SPA_COLD void not_sent(const struct spa_frame *f)
{
	if (f->verdict == SPA_KEEP)
		return;
	spa_counters->v[f->verdict == SPA_TX ? SPA_LIB_tx_full : SPA_LIB_drops]++;
	pool_push((u64)(f->data - port.umem));
}

/* The batch to where its verdicts say. */
static inline void scatter(const struct spa_batch *b)
{
	const struct spa_frame *f = b->f, *end = f + b->n;
	u8 *ring = port.tx.desc;
	u64 mask = ((u64)port.tx.size - 1) * sizeof(struct desc);
	u64 at = (u64)port.tx.prod * sizeof(struct desc), first = at;
	u32 room = ring_room(&port.tx);
	const u8 *umem = port.umem;
	u64 bytes = 0;

	for (; f != end; f++) {
		u64 len = f->len;

		if (spa_unlikely(f->verdict != SPA_TX)) {
			not_sent(f);
			continue;
		}
		if (spa_unlikely(!room)) {
			port.tx.prod = (u32)(at / sizeof(struct desc));
			room = tx_room_now();
			if (!room) {
				not_sent(f);
				continue;
			}
		}
		tx_put(ring + (at & mask), (u64)(f->data - umem), len);
		at += sizeof(struct desc);
		bytes += len;
		room--;
	}
	port.tx.prod = (u32)(at / sizeof(struct desc));
	spa_counters->v[SPA_LIB_tx_frames] += (at - first) / sizeof(struct desc);
	spa_counters->v[SPA_LIB_tx_bytes] += bytes;
}

void spa_port_rx(void)
{
	struct spa_batch b;
	u32 left;

	if (spa_unlikely(!port.attached))
		return;
	/* What was there when the upcall began and no more: a bound on its length. */
	left = ring_used(&port.rx);
	while (left) {
		gather(&b, &left);
		if (spa_likely(b.n)) {
			spa_rx(&b);
			scatter(&b);
		}
	}
}

bool spa_frame_alloc(struct spa_frame *f)
{
	struct uls_pool *p = port.pool;

	if (!port.attached || !p->top)
		return false;
	f->data = port.umem + p->frame[--p->top] + port.headroom;
	f->len = 0;
	f->verdict = SPA_KEEP;
	return true;
}

void spa_frame_free(const struct spa_frame *f)
{
	pool_push((u64)(f->data - port.umem));
}

bool spa_send(const struct spa_frame *f)
{
	if (!port.attached || (!ring_room(&port.tx) && !tx_room_now()))
		return false;
	tx_put((struct desc *)port.tx.desc + (port.tx.prod++ & (port.tx.size - 1)),
	       (u64)(f->data - port.umem), f->len);
	spa_counters->v[SPA_LIB_tx_frames]++;
	spa_counters->v[SPA_LIB_tx_bytes] += f->len;
	return true;
}

u32 spa_frame_room(const struct spa_frame *f)
{
	return (u32)(port.chunk - ((u64)(f->data - port.umem) & (port.chunk - 1)));
}

u8 *spa_frame_push(struct spa_frame *f, u32 n)
{
	if (((u64)(f->data - port.umem) & (port.chunk - 1)) < n)
		return NULL;
	f->data -= n;
	f->len += n;
	return f->data;
}

u8 *spa_frame_pull(struct spa_frame *f, u32 n)
{
	if (f->len < n)
		return NULL;
	f->data += n;
	f->len -= n;
	return f->data;
}
