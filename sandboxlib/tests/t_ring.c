// SPDX-License-Identifier: Apache-2.0
/*
 * Rings, pool and upcalls: a small SPA whose verdicts the test chooses, linked
 * with the library and run under the sanitizers.
 */
#include "../src/lib.h"
#include "tap.h"
#include "upcall.h"

#include <string.h>

SPA_MANIFEST("t_ring", "1.0", .heap = 1 << 16, .tick_us = 1000);

#define PARAMS(P)				\
	P(U64, number, 7, "any number")		\
	P(BOOL, flag, 1, "0 or 1")		\
	P(IPV4, ip, 0, "32 bits")		\
	P(MAC, mac, 0, "48 bits")
SPA_PARAMS(PARAMS);

#define COUNTERS(C) C(batches) C(controls) C(ticks)
SPA_COUNTERS(COUNTERS);

/* The SPA: what the test asks for. */
static enum spa_verdict (*verdict)(struct spa_frame *f);
static void (*in_rx)(struct spa_batch *b);
static struct spa_frame kept[1024];
static unsigned int kept_n, biggest_batch;
static int init_result;

int spa_init(void) { return init_result; }

void spa_rx(struct spa_batch *b)
{
	u32 i;

	SPA_COUNT(batches, 1);
	if (b->n > biggest_batch)
		biggest_batch = b->n;
	if (in_rx)
		in_rx(b);
	for (i = 0; i < b->n; i++) {
		b->f[i].verdict = verdict(&b->f[i]);
		if (b->f[i].verdict == SPA_KEEP)
			kept[kept_n++] = b->f[i];
	}
}

void spa_tick(u64 now)
{
	SPA_COUNT(ticks, now ? 1 : 0);
}

int spa_control(const struct uls_msg *m)
{
	SPA_COUNT(controls, 1);
	return m->type == 77 ? -SPA_EBUSY : 0;
}

void spa_fini(void)
{
	while (kept_n)
		spa_frame_free(&kept[--kept_n]);
}

static enum spa_verdict send(struct spa_frame *f) { (void)f; return SPA_TX; }

static enum spa_verdict keep(struct spa_frame *f) { (void)f; return SPA_KEEP; }
static enum spa_verdict by_byte(struct spa_frame *f) { return f->data[0] % 3; }

static u64 lib_count(struct slice *s, enum spa_lib_counter c) { return slice_counters(s)->v[c]; }

static struct slice s;

static void begin(const struct slice_config *c)
{
	slice_open(&s, c);
	kept_n = biggest_batch = 0;
	init_result = 0;
	verdict = send;
	in_rx = NULL;
	if (upcall(&s, ULS_UP_INIT, 0).result)
		slice_log_dump(&s);
}

static unsigned int feed(unsigned int n, unsigned int len)
{
	static u8 bytes[4096];
	unsigned int i;

	for (i = 0; i < n; i++) {
		bytes[0] = (u8)rnd();
		if (slice_rx(&s, bytes, len) < 0)
			break;
	}
	return i;
}

static void test_init(void)
{
	struct slice_config c = slice_default;
	struct outcome o;

	slice_open(&s, &c);
	init_result = 0;
	o = upcall(&s, ULS_UP_INIT, 0);
	is(o.result, 0, "init: accepted");
	is(slice_nic_take(&s), c.fill, "init: the fill ring is full");
	is(slice_audit(&s, 0), 0, "init: every frame in one place");
	is(((struct uls_pool *)s.info->pool_addr)->top, c.frames - c.fill, "init: the rest in the pool");
	o = upcall(&s, ULS_UP_INIT, 0);
	is(o.result, 0, "init: a fill ring that is empty again is set up anew");
	o = upcall(&s, ULS_UP_INIT, 0);
	is(o.result, -SPA_EBUSY, "init: a fill ring in use is refused");
	slice_close(&s);

	slice_open(&s, &c);
	init_result = -SPA_ENOSPC;
	is(upcall(&s, ULS_UP_INIT, 0).result, -SPA_ENOSPC, "init: the SPA's error is the result");
	slice_close(&s);

	slice_open(&s, &c);
	init_result = 0;
	s.info->abi++;
	o = upcall(&s, ULS_UP_INIT, 0);
	ok(o.aborted && o.code == SPA_ABORT_ABI, "init: another ABI aborts");
	slice_close(&s);

	slice_open(&s, &c);
	s.info->chunk_size = 3000;
	is(upcall(&s, ULS_UP_INIT, 0).result, -SPA_EINVAL, "init: a chunk that is no power of two is refused");
	s.info->chunk_size = 4096;
	s.info->pool_len -= 8;
	is(upcall(&s, ULS_UP_INIT, 0).result, -SPA_EINVAL, "init: a pool too small is refused");
	s.info->pool_len = 4;
	is(upcall(&s, ULS_UP_INIT, 0).result, -SPA_EINVAL, "init: a pool smaller than its header is refused");
	s.info->pool_len = 8 + 8 * c.frames;
	s.info->headroom = 4096;
	is(upcall(&s, ULS_UP_INIT, 0).result, -SPA_EINVAL, "init: a headroom as large as a chunk is refused");
	s.info->headroom = c.headroom;
	s.info->umem_len -= 2048;
	is(upcall(&s, ULS_UP_INIT, 0).result, -SPA_EINVAL, "init: a UMEM of half a chunk more is refused");
	s.info->umem_len += 2048;
	s.info->tx.entries = 100;
	is(upcall(&s, ULS_UP_INIT, 0).result, -SPA_EINVAL, "init: a ring that is no power of two is refused");
	s.info->tx.entries = c.tx;
	s.info->comp.addr = 0;
	is(upcall(&s, ULS_UP_INIT, 0).result, -SPA_EINVAL, "init: an absent ring is refused");
	slice_close(&s);

	slice_open(&s, &c);
	s.info->flags = ULS_INFO_TAKEOVER;
	is(upcall(&s, ULS_UP_INIT, 0).result, -SPA_EINVAL, "takeover: refused when the pool was never set up");
	s.info->flags = 0;
	upcall(&s, ULS_UP_INIT, 0);
	s.info->flags = ULS_INFO_TAKEOVER;
	((struct uls_pool *)s.info->pool_addr)->top = c.frames + 1;
	is(upcall(&s, ULS_UP_INIT, 0).result, -SPA_EINVAL, "takeover: refused with more frames than there are");
	slice_close(&s);

	c.no_port = true;
	begin(&c);
	is(upcall(&s, ULS_UP_RX, 5).result, 0, "no port: rx does nothing");
	is(upcall(&s, ULS_UP_TICK, 5).result, 0, "no port: tick");
	is(upcall(&s, ULS_UP_FINI, 0).result, 0, "no port: fini");
	is(upcall(&s, ULS_UP_NOP, 0).result, 0, "nop");
	o = upcall(&s, 6, 0);
	ok(o.aborted && o.code == SPA_ABORT_REASON, "an upcall of unknown reason aborts");
	slice_close(&s);
}

/* One round: frames in, upcall, all sent frames compared with those received, completion. */
static void test_identity(void)
{
	unsigned int round, wrong = 0, sent = 0, i;
	u64 in[64];
	struct xdp_desc d;

	begin(&slice_default);
	for (round = 0; round < 50; round++) {
		unsigned int n = 1 + below(64);

		for (i = 0; i < n; i++)
			in[i] = (u64)slice_rx(&s, "0123456789abcdefghij", 20);
		upcall(&s, ULS_UP_RX, n);
		for (i = 0; slice_tx(&s, &d); i++, sent++)
			wrong += i >= n || d.addr != in[i] || d.len != 20;
		wrong += i != n;
		slice_complete(&s);
		if (below(3))
			slice_nic_take(&s);
	}
	is(wrong, 0, "identity: each frame sent is the frame received, in order");
	is((s64)lib_count(&s, SPA_LIB_tx_frames), sent, "identity: counted");
	is((s64)lib_count(&s, SPA_LIB_rx_bytes), 20 * sent, "identity: bytes counted");
	is((s64)lib_count(&s, SPA_LIB_tx_bytes), 20 * sent, "identity: bytes sent counted");
	is(slice_audit(&s, 0), 0, "identity: every frame in one place");
	is(slice_invalid, 0, "identity: no descriptor refused");
	slice_close(&s);
}

/* Random traffic with all verdicts for long enough that the indices pass 2^32. */
static void test_wrap(void)
{
	struct slice_config c = slice_default;
	unsigned int round, bad = 0, last;
	struct xdp_desc d;

	c.first_index = 0xfffffe00;
	c.frames = 256;
	c.rx = 64;
	c.tx = 32;
	c.fill = 128;
	c.comp = 64;
	begin(&c);
	verdict = by_byte;
	for (round = 0; round < 2000; round++) {
		feed(below(70), 1 + below(1500));
		upcall(&s, ULS_UP_RX, 0);
		bad += slice_audit(&s, kept_n);
		if (below(2))
			while (slice_tx(&s, &d))
				;
		if (below(2))
			slice_complete(&s);
		if (below(2))
			slice_nic_take(&s);
		if (!below(3)) {
			/* Kept frames: some are sent, the others go back. */
			upcall(&s, below(2) ? ULS_UP_FINI : ULS_UP_TICK, 1);
			bad += slice_audit(&s, kept_n);
		}
		if (kept_n > 100)
			upcall(&s, ULS_UP_FINI, 0);
	}
	last = *slice_prod(&s, &s.info->rx);
	ok(last < c.first_index, "wrap: the receive ring's index passed 2^32 (0x%x)", last);
	ok(*slice_prod(&s, &s.info->fill) < c.first_index, "wrap: the fill ring's too");
	ok(*slice_prod(&s, &s.info->tx) < c.first_index, "wrap: the transmit ring's too");
	ok(*slice_prod(&s, &s.info->comp) < c.first_index, "wrap: the completion ring's too");
	is(bad, 0, "wrap: every frame in one place after each of 2000 rounds");
	is(slice_invalid, 0, "wrap: no descriptor refused");
	is((s64)lib_count(&s, SPA_LIB_bad_desc), 0, "wrap: none found bad");
	slice_close(&s);
}

static void test_batches(void)
{
	begin(&slice_default);
	is(feed(128, 60), 128, "batches: a full receive ring");
	upcall(&s, ULS_UP_RX, 1);
	is((s64)slice_counters(&s)->v[SPA__COUNTER_batches], 2, "batches: two of them, whatever the hint says");
	is(biggest_batch, SPA_BATCH, "batches: of SPA_BATCH frames");
	upcall(&s, ULS_UP_RX, 99);
	is((s64)slice_counters(&s)->v[SPA__COUNTER_batches], 2, "batches: none for an empty ring");
	slice_close(&s);
}

static void test_tx_full(void)
{
	struct slice_config c = slice_default;
	struct xdp_desc d;
	unsigned int n = 0;

	c.tx = 32;
	begin(&c);
	feed(50, 60);
	upcall(&s, ULS_UP_RX, 50);
	is((s64)lib_count(&s, SPA_LIB_tx_frames), 32, "tx full: as many sent as the ring holds");
	is((s64)lib_count(&s, SPA_LIB_tx_full), 18, "tx full: the others counted");
	is(slice_audit(&s, 0), 0, "tx full: and given back");
	while (slice_tx(&s, &d))
		n++;
	is(n, 32, "tx full: the card sees 32");
	feed(1, 60);
	upcall(&s, ULS_UP_RX, 1);
	is((s64)lib_count(&s, SPA_LIB_tx_frames), 33, "tx full: room again when the card has taken them");
	slice_close(&s);
}

/* The card takes frames from the transmit ring while the upcall runs. */
static void card_sends_meanwhile(struct spa_batch *b)
{
	struct xdp_desc d;

	(void)b;
	while (slice_tx(&s, &d))
		;
}

static void test_tx_reread(void)
{
	struct slice_config c = slice_default;

	c.tx = 32;
	begin(&c);
	feed(32, 60);
	upcall(&s, ULS_UP_RX, 32);
	feed(20, 60);
	in_rx = card_sends_meanwhile;
	upcall(&s, ULS_UP_RX, 20);
	is((s64)lib_count(&s, SPA_LIB_tx_full), 0, "tx: a ring that seems full is looked at again");
	is(slice_audit(&s, 0), 0, "tx: every frame in one place");
	slice_close(&s);
}

static void test_pool_empty(void)
{
	struct slice_config c = slice_default;
	struct spa_frame f;
	unsigned int n;

	c.frames = 64;	/* fewer than the fill ring holds */
	begin(&c);
	is((s64)lib_count(&s, SPA_LIB_fill_short), 1, "pool empty: counted at init");
	is(((struct uls_pool *)s.info->pool_addr)->top, 0, "pool empty: all frames in the fill ring");
	verdict = keep;
	n = feed(100, 60);
	is(n, 64, "pool empty: the card has no more than 64");
	upcall(&s, ULS_UP_RX, n);
	is(kept_n, 64, "pool empty: the SPA keeps them all");
	ok(!spa_frame_alloc(&f), "pool empty: none to allocate");
	is(feed(1, 60), 0, "pool empty: the card has none");
	is(upcall(&s, ULS_UP_RX, 0).result, 0, "pool empty: an upcall does no harm");
	is(slice_audit(&s, 64), 0, "pool empty: 64 are kept");
	upcall(&s, ULS_UP_FINI, 0);
	is(slice_audit(&s, 0), 0, "pool empty: back after fini");
	is(feed(100, 60), 64, "pool empty: traffic goes on");
	slice_close(&s);
}

static void test_alloc_send(void)
{
	struct slice_config c = slice_default;
	struct spa_frame f, g;
	struct xdp_desc d;
	unsigned int i;

	c.tx = 4;
	begin(&c);
	spa_port_begin();
	ok(spa_frame_alloc(&f), "alloc: a frame");
	is((s64)((u64)(f.data - s.umem) % c.chunk), c.headroom, "alloc: at the headroom");
	is(spa_frame_room(&f), c.chunk - c.headroom, "alloc: room to the chunk's end");
	memset(f.data, 0xab, 100);
	f.len = 100;
	g = f;
	ok(spa_frame_push(&g, c.headroom) && g.len == 100 + c.headroom, "push: all the headroom");
	ok(!spa_frame_push(&g, 1) && g.len == 100 + c.headroom, "push: not a byte more");
	ok(spa_frame_pull(&g, c.headroom) == f.data && g.len == 100, "pull: back");
	ok(!spa_frame_pull(&g, 101) && g.len == 100, "pull: not more than there is");
	ok(spa_send(&f), "send: taken");
	for (i = 0; i < 3; i++) {
		spa_frame_alloc(&f);
		f.len = 60;
		ok(spa_send(&f), "send: number %u", i + 2);
	}
	spa_frame_alloc(&f);
	f.len = 60;
	ok(!spa_send(&f), "send: refused when the ring is full");
	ok(!slice_tx(&s, &d), "send: the card sees nothing before the upcall ends");
	spa_frame_free(&f);
	spa_port_end();
	ok(slice_tx(&s, &d) && d.len == 100 && s.umem[d.addr + 99] == 0xab, "send: it goes out as written");
	is(slice_audit(&s, 0), 0, "send: every frame in one place");
	slice_close(&s);
}

static struct outcome free_wrong(unsigned int how)
{
	struct spa_frame f = { .data = s.umem };

	if (how == 0)
		f.data = s.umem + s.info->umem_len;
	if (how == 1)
		f.data = s.umem - 1;
	if (how == 2) {
		verdict = keep;
		feed(1, 60);
		upcall(&s, ULS_UP_RX, 1);
		kept[0] = f;
		kept[0].data = (u8 *)&f;
		return upcall(&s, ULS_UP_FINI, 0);
	}
	kept[0] = f;
	kept_n = 1;
	return upcall(&s, ULS_UP_FINI, 0);
}

static void test_free_wrong(void)
{
	unsigned int how;

	for (how = 0; how < 3; how++) {
		struct outcome o;

		begin(&slice_default);
		o = free_wrong(how);
		ok(o.aborted && o.code == SPA_ABORT_POOL, "free: of a frame that is none aborts (%u)", how);
		slice_close(&s);
	}
	begin(&slice_default);
	/* All frames in the pool, and one more. */
	((struct uls_pool *)s.info->pool_addr)->top = s.c.frames;
	*slice_prod(&s, &s.info->fill) = *slice_cons(&s, &s.info->fill) + s.c.fill;
	kept[0] = (struct spa_frame){ .data = s.umem };
	kept_n = 1;
	ok(upcall(&s, ULS_UP_FINI, 0).code == SPA_ABORT_POOL, "free: of one frame too many aborts");
	slice_close(&s);
}

/* Indices no honest kernel writes. */
static void test_hostile_indices(void)
{
	struct uls_ring_info *rings[4];
	static const char *const names[] = { "rx", "tx", "fill", "completion" };
	unsigned int i, k;

	for (i = 0; i < 4; i++) {
		for (k = 0; k < 3; k++) {
			u32 size, *word;
			struct outcome o;

			begin(&slice_default);
			rings[0] = &s.info->rx;
			rings[1] = &s.info->tx;
			rings[2] = &s.info->fill;
			rings[3] = &s.info->comp;
			feed(10, 60);
			size = rings[i]->entries;
			/* rx, completion: the kernel's is the producer. tx, fill: the consumer. */
			if (i == 0 || i == 3) {
				word = slice_prod(&s, rings[i]);
				*word = *slice_cons(&s, rings[i]) + (k == 0 ? size + 1 : k == 1 ? 0x80000000u : -1u);
			} else {
				word = slice_cons(&s, rings[i]);
				*word = *slice_prod(&s, rings[i]) - (k == 0 ? size + 1 : k == 1 ? 0x80000000u : -1u);
			}
			o = upcall(&s, ULS_UP_RX, 10);
			ok(o.aborted && o.code == SPA_ABORT_RING, "hostile index: %s ring, kind %u, aborts",
			   names[i], k);
			slice_close(&s);
		}
	}
}

static void hostile_reread(struct spa_batch *b)
{
	(void)b;
	*slice_cons(&s, &s.info->tx) = *slice_prod(&s, &s.info->tx) + 5;
}

static void test_hostile_reread(void)
{
	struct slice_config c = slice_default;
	struct outcome o;

	c.tx = 32;
	begin(&c);
	feed(32, 60);
	upcall(&s, ULS_UP_RX, 32);
	feed(1, 60);
	in_rx = hostile_reread;
	o = upcall(&s, ULS_UP_RX, 1);
	ok(o.aborted && o.code == SPA_ABORT_RING, "hostile index: at the second look aborts");
	slice_close(&s);
}

static void hostile_rx_grows(struct spa_batch *b)
{
	(void)b;
	*slice_prod(&s, &s.info->rx) += 64;
}

/* Descriptors no honest kernel writes: counted, and nothing outside the UMEM touched (ASan looks on). */
static void test_hostile_descriptors(void)
{
	static const struct { u64 addr; u32 len, options; const char *what; } t[] = {
		{ 512ULL * 4096, 60, 0, "just outside the UMEM" },
		{ -1ULL, 60, 0, "at the end of the address space" },
		{ 1ULL << 63, 60, 0, "far outside" },
		{ 4096 + 256, 4096 - 255, 0, "one byte over the chunk's end" },
		{ 4096 + 4095, 2, 0, "two bytes at a chunk's last" },
		{ 4096, 4097, 0, "longer than a chunk" },
		{ 4096, 0xffffffff, 0, "of 4 GiB" },
		{ 4096, 60, 1, "with more buffers to come" },
		{ 4096, 0xffffffff, 0xffffffff, "all ones" },
	};
	struct uls_ring_info *r;
	struct xdp_desc *d;
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		begin(&slice_default);
		r = &s.info->rx;
		d = (void *)(r->addr + r->desc);
		feed(3, 60);
		d[1] = (struct xdp_desc){ t[i].addr, t[i].len, t[i].options };
		upcall(&s, ULS_UP_RX, 3);
		ok(lib_count(&s, SPA_LIB_bad_desc) == 1 && lib_count(&s, SPA_LIB_rx_frames) == 2 &&
		   lib_count(&s, SPA_LIB_tx_frames) == 2, "hostile descriptor: %s is left out", t[i].what);
		slice_close(&s);
	}
	begin(&slice_default);
	r = &s.info->rx;
	d = (void *)(r->addr + r->desc);
	feed(1, 60);
	d[0] = (struct xdp_desc){ 4096, 4096, 0 };
	upcall(&s, ULS_UP_RX, 1);
	is((s64)lib_count(&s, SPA_LIB_bad_desc), 0, "a descriptor of a whole chunk is good");
	slice_close(&s);

	begin(&slice_default);
	feed(10, 60);
	in_rx = hostile_rx_grows;
	upcall(&s, ULS_UP_RX, 10);
	is((s64)lib_count(&s, SPA_LIB_rx_frames), 10, "a receive ring that grows meanwhile does not prolong the upcall");
	slice_close(&s);

	begin(&slice_default);
	r = &s.info->comp;
	for (i = 0; i < r->entries; i++)
		((u64 *)(r->addr + r->desc))[i] = i == 3 ? 1ULL << 40 : i == 5 ? s.info->umem_len : 4096ULL * i;
	*slice_prod(&s, r) += r->entries;
	upcall(&s, ULS_UP_RX, 0);
	is((s64)lib_count(&s, SPA_LIB_bad_desc), 2, "completions outside the UMEM are left out");
	/* The same frames again and again: the pool must not run over. */
	for (i = 0; i < 20; i++) {
		*slice_prod(&s, r) += r->entries;
		upcall(&s, ULS_UP_RX, 0);
	}
	ok(((struct uls_pool *)s.info->pool_addr)->top <= s.c.frames, "frames completed twice do not overrun the pool");
	slice_close(&s);
}

/* A second SPA takes over in the middle of traffic. */
static void test_takeover(void)
{
	struct xdp_desc d;
	unsigned int n = 0;

	begin(&slice_default);
	feed(40, 60);
	upcall(&s, ULS_UP_RX, 40);
	slice_tx(&s, &d);
	feed(20, 60);
	/* The new one's init comes first; then the old one's last upcalls; then its traffic. */
	s.info->flags = ULS_INFO_TAKEOVER;
	is(upcall(&s, ULS_UP_INIT, 0).result, 0, "takeover: accepted");
	is(slice_audit(&s, 0), 0, "takeover: every frame in one place");
	upcall(&s, ULS_UP_RX, 20);
	while (slice_tx(&s, &d))
		n++;
	is(n, 59, "takeover: no frame lost");
	slice_complete(&s);
	upcall(&s, ULS_UP_RX, 0);
	is(slice_audit(&s, 0), 0, "takeover: and all come back");
	slice_close(&s);
}

static struct outcome set(u32 index, u64 value)
{
	struct uls_msg_param m = { .index = index, .value = value };

	return control(&s, &m, ULS_MSG_PARAM, sizeof(m));
}

static void test_control(void)
{
	struct uls_msg_flow m = { .match_dst_port = 1 };
	struct uls_msg *box;

	begin(&slice_default);
	is((s64)SPA_PARAM(number), 7, "param: default");
	is(set(0, 1ULL << 60).result, 0, "param: set");
	is((s64)SPA_PARAM(number), 1LL << 60, "param: has the value");
	is(set(1, 2).result, -SPA_ERANGE, "param: a bool of 2 is refused");
	is((s64)SPA_PARAM(flag), 1, "param: and not set");
	is(set(1, 0).result, 0, "param: a bool of 0");
	is(set(2, 1ULL << 32).result, -SPA_ERANGE, "param: an IPv4 address of 33 bits is refused");
	is(set(2, 0xffffffff).result, 0, "param: one of 32 is not");
	is(set(3, 1ULL << 48).result, -SPA_ERANGE, "param: a MAC address of 49 bits is refused");
	is(set(4, 0).result, -SPA_ENOENT, "param: an index behind the last is refused");
	is(set(0xffffffff, 0).result, -SPA_ENOENT, "param: any such index");
	is((s64)slice_counters(&s)->v[SPA__COUNTER_controls], 0, "param: the SPA is not troubled");
	is(control(&s, &m, ULS_MSG_FLOW_ADD, sizeof(m)).result, 0, "control: reaches the SPA");
	is(control(&s, &m, 77, sizeof(struct uls_msg)).result, -SPA_EBUSY, "control: its answer comes back");
	is(control(&s, &m, ULS_MSG_FLOW_ADD, sizeof(m) - 1).result, -SPA_EPROTO, "control: a short message is refused");
	is(control(&s, &m, ULS_MSG_PARAM, 20).result, -SPA_EPROTO, "control: a short parameter is refused");
	is(upcall(&s, ULS_UP_CONTROL, 7).result, -SPA_EPROTO, "control: less than a header is refused");
	is(upcall(&s, ULS_UP_CONTROL, 1ULL << 32).result, -SPA_EPROTO, "control: more than the mailbox is refused");
	box = (void *)(s.base + ULS_OFF_MBOX);
	*box = (struct uls_msg){ .type = 5, .len = 16 };
	is(upcall(&s, ULS_UP_CONTROL, 8).result, -SPA_EPROTO, "control: two lengths that differ are refused");
	is((s64)slice_counters(&s)->v[SPA__COUNTER_controls], 2, "control: two reached the SPA");
	is(upcall(&s, ULS_UP_TICK, 5).result, 0, "tick");
	is((s64)slice_counters(&s)->v[SPA__COUNTER_ticks], 1, "tick: reached the SPA");
	slice_close(&s);
}

int main(void)
{
	seed_from_env(1);
	test_init();
	test_identity();
	test_wrap();
	test_batches();
	test_tx_full();
	test_tx_reread();
	test_pool_empty();
	test_alloc_send();
	test_free_wrong();
	test_hostile_indices();
	test_hostile_reread();
	test_hostile_descriptors();
	test_takeover();
	test_control();

	return done();
}
