// SPDX-License-Identifier: Apache-2.0
/*
 * The library's part for streams: data header, window of numbers, LZ4 blocks.
 * Each against a naive model, under the sanitizers; every buffer is exactly as
 * long as it claims to be, so a byte too far is seen.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "../src/lib.h"
#include "model.h"
#include "spa/lz.h"
#include "spa/stream.h"
#include "tap.h"

/* No SPA here: what the library wants to be there. */
SPA_MANIFEST("t_stream", "1.0");
int spa_init(void) { return 0; }
void spa_rx(struct spa_batch *b) { (void)b; }

/* ---- LZ4 blocks -------------------------------------------------------- */

static struct spa_lz_table table;

/* Bytes of some structure: repeats near and far, runs, noise. */
static u32 some_bytes(u8 *b, u32 max)
{
	u32 n = below(8) ? below(max + 1) : below(20), i = 0, len, from;

	while (i < n) {
		len = below(4) ? below(20) : below(400);
		from = below(i + 1);
		switch (below(4)) {
		case 0:
			for (; len && i < n; len--)
				b[i++] = (u8)rnd();
			break;
		case 1:
			for (from = (u32)rnd() % 256; len && i < n; len--)
				b[i++] = (u8)from;
			break;
		default:
			for (; len && i < n && from < i; len--)
				b[i++] = b[from++];
			if (!i)
				b[i++] = 'x';
			break;
		}
	}
	return n;
}

static u8 *exact(const u8 *b, u32 n)
{
	u8 *p = malloc(n ? n : 1);

	memcpy(p, b, n);
	return p;
}

typedef int (*lz4_fn)(const char *, char *, int, int);

static void test_lz(void)
{
	void *lib = dlopen("liblz4.so.1", RTLD_NOW);
	lz4_fn their_unpack = lib ? (lz4_fn)dlsym(lib, "LZ4_decompress_safe") : NULL;
	lz4_fn their_pack = lib ? (lz4_fn)dlsym(lib, "LZ4_compress_default") : NULL;
	u32 round, wrong = 0, theirs = 0, shrunk = 0, short_room = 0, from_them = 0;
	static u8 in[3000], back[3000];

	for (round = 0; round < 20000; round++) {
		u32 n = some_bytes(in, round % 10 ? 1424 : sizeof(in)), len, room = n + n / 255 + 16;
		u8 *src = exact(in, n), *out = malloc(room), *dst = malloc(n ? n : 1), *packed;

		len = spa_lz_pack(src, n, out, room, &table);
		shrunk += len < n;
		packed = exact(out, len);
		wrong += !len || spa_lz_unpack(packed, len, dst, n) != (s32)n || memcmp(dst, in, n);
		/* With a byte less of room on either side. */
		if (n && spa_lz_unpack(packed, len, dst, n - 1) != -SPA_EPROTO)
			wrong++;
		free(out);
		out = malloc(len);
		wrong += spa_lz_pack(src, n, out, len, &table) != len;
		/* Room that is too short, and not a byte more behind it. */
		free(out);
		room = below(4) ? len - 1 : below(len);
		out = malloc(room ? room : 1);
		short_room += spa_lz_pack(src, n, out, room, &table) != 0;
		room = n + n / 255 + 16;
		if (their_unpack)
			theirs += their_unpack((char *)packed, (char *)back, (int)len, sizeof(back)) != (int)n ||
				  memcmp(back, in, n);
		if (their_pack && n) {
			u8 *o2 = malloc(room);
			int l2 = their_pack((char *)src, (char *)o2, (int)n, (int)room);
			u8 *p2 = exact(o2, (u32)l2);

			from_them += spa_lz_unpack(p2, (u32)l2, dst, n) != (s32)n || memcmp(dst, in, n);
			free(o2);
			free(p2);
		}
		free(packed);
		free(src);
		free(out);
		free(dst);
	}
	is(wrong, 0, "lz: 20000 blocks there and back");
	is(short_room, 0, "lz: a block that does not fit is none");
	ok(shrunk > 15000, "lz: most became shorter (%u)", shrunk);
	if (!lib) {
		skip("lz: liblz4 reads our blocks", "liblz4.so.1 is not installed");
		skip("lz: and we read its blocks", "liblz4.so.1 is not installed");
		return;
	}
	is(theirs, 0, "lz: liblz4 reads our blocks");
	is(from_them, 0, "lz: and we read its blocks");
	dlclose(lib);
}

/* An unpacker without a thought for speed: the format's text, line by line. -1: malformed. */
static int naive_unpack(const u8 *p, u32 n, u8 *out, u32 room)
{
	u32 at = 0, o = 0, i, off, k;
	u64 lit, len;

	for (;;) {
		if (at >= n)
			return -1;
		k = p[at++];
		lit = k >> 4;
		if (lit == 15)
			do {
				if (at >= n)
					return -1;
				lit += p[at];
			} while (p[at++] == 255);
		if (lit > n - at || lit > room - o)
			return -1;
		for (i = 0; i < lit; i++)
			out[o++] = p[at++];
		if (at == n)
			return k & 15 ? -1 : (int)o;
		if (n - at < 2)
			return -1;
		off = p[at] + 256u * p[at + 1];
		at += 2;
		len = k & 15;
		if (len == 15)
			do {
				if (at >= n)
					return -1;
				len += p[at];
			} while (p[at++] == 255);
		len += 4;
		if (!off || off > o || len > room - o)
			return -1;
		for (; len; len--, o++)
			out[o] = out[o - off];
	}
}

static void test_lz_garbage(void)
{
	static u8 in[1500], want[1500];
	u32 round, wrong = 0, good = 0;

	for (round = 0; round < 100000; round++) {
		u32 n = 0, room = below(1425), i;
		u8 *src, *dst = malloc(room ? room : 1);
		int r, w;

		if (below(2)) {	/* damaged */
			static u8 raw[1424];
			u32 len = some_bytes(raw, sizeof(raw));

			n = spa_lz_pack(raw, len, in, sizeof(in), &table);
			for (i = below(3); i && n; i--)
				in[below(n)] = (u8)rnd();
			room = len;
			free(dst);
			dst = malloc(room ? room : 1);
		} else {	/* noise, of small numbers mostly */
			n = below(200);
			for (i = 0; i < n; i++)
				in[i] = below(3) ? (u8)(below(5) << 4 | below(5)) : (u8)rnd();
		}
		src = exact(in, n);
		r = spa_lz_unpack(src, n, dst, room);
		w = naive_unpack(src, n, want, room);
		wrong += (r < 0) != (w < 0) || (r >= 0 && (r != w || memcmp(dst, want, (size_t)r)));
		good += r > 0;
		free(src);
		free(dst);
	}
	is(wrong, 0, "lz: 100000 damaged blocks and noise: as the naive unpacker has it");
	ok(good > 1000 && good < 90000, "lz: some were blocks all the same (%u)", good);
}

/* ---- The window of numbers --------------------------------------------- */

static void test_see(void)
{
	enum { N = 60000 };
	static u8 seen[N];
	u32 round, wrong = 0, kinds[5] = { 0 };
	u64 gap;

	for (round = 0; round < 300; round++) {
		struct stream_seen s = { 0 };
		u64 base = below(3) ? 1 : rnd() >> 4, top = 0, first = 0;
		u32 i, at = below(100);

		memset(seen, 0, sizeof(seen));
		for (i = 0; i < 2000; i++) {
			u32 n = at;
			enum stream_order r, want;

			switch (below(10)) {
			case 0:
				n = at > 1100 ? at - below(1100) : below(at + 1);
				break;
			case 1:
				n = at + below(round % 3 ? 30 : 2000);
				break;
			case 2:
				n = at > 64 ? at - below(64) : at;
				break;
			default:
				n = at + 1;
				break;
			}
			if (n >= N)
				break;
			if (n > at)
				at = n;
			r = stream_see(&s, base + n, &gap);
			if (!top)
				want = STREAM_NEXT;
			else if (base + n > top)
				want = base + n == top + 1 ? STREAM_NEXT : STREAM_AHEAD;
			else if (top - (base + n) >= STREAM_WINDOW)
				want = STREAM_OLD;
			else
				want = seen[n] ? STREAM_AGAIN : STREAM_BEHIND;
			wrong += r != want;
			wrong += gap != (want == STREAM_AHEAD ? base + n - top - 1 : 0);
			kinds[want]++;
			if (!top)
				first = base + n;
			if (base + n > top)
				top = base + n;
			if (want != STREAM_OLD)
				seen[n] = 1;
		}
		wrong += s.first != first || s.top != top;
	}
	is(wrong, 0, "see: every number as the naive model has it");
	wrong = 0;
	{
		struct stream_seen s = { 0 };
		u64 far = 1ULL << 60, i;

		for (i = 1; i < 3000; i++)
			stream_see(&s, i, &gap);
		wrong += stream_see(&s, far, &gap) != STREAM_AHEAD || gap != far - 3000;
		for (i = 1; i < STREAM_WINDOW; i++)
			wrong += stream_see(&s, far - i, &gap) != STREAM_BEHIND;
		wrong += stream_see(&s, far - STREAM_WINDOW, &gap) != STREAM_OLD;
	}
	is(wrong, 0, "see: the longest jump forgets all, at once");
	ok(kinds[0] > 1000 && kinds[1] > 1000 && kinds[2] > 1000 && kinds[3] > 1000 && kinds[4] > 1000,
	   "see: each kind was tried (%u %u %u %u %u)", kinds[0], kinds[1], kinds[2], kinds[3], kinds[4]);
}

/* ---- The table of streams ---------------------------------------------- */

struct mine {
	struct stream_state s;
	u64 count;
};

static u32 dropped;
static void on_drop(void *p) { dropped += ((struct mine *)p)->count != 0; }

/* Asks for a stream by the two halves of its id, at the time `now`. */
static struct mine *get(struct stream_states *s, u64 lo, u64 hi, u64 now)
{
	struct stream_hdr h = { 0 };
	struct mine *m;

	spa_put64(h.id, lo);
	spa_put64(h.id + 8, hi);
	spa_now_set(now);
	m = stream_states_get(s, &h);
	if (m)
		m->count++;
	return m;
}

static void test_states(void)
{
	static u64 heap[1 << 13];
	struct stream_states s = { .drop = on_drop };
	u64 now = 1000000000, i, twin;
	u32 wrong = 0;

	spa_heap_init(heap, sizeof(heap));
	is(stream_states_init(&s, sizeof(struct mine), 32), 0, "states: made");
	for (i = 0; i < 32; i++)
		wrong += !get(&s, i, 7, now) || get(&s, i, 7, now)->count != 2;
	is(wrong, 0, "states: 32 streams, each found again");
	ok(!get(&s, 99, 7, now + 1), "states: no room for another");
	/* Another id with the key of the first: a table by key alone would mix them up. */
	twin = spa_hash64(0, s.seed) ^ 7 ^ spa_hash64(1ULL << 50, s.seed);
	ok(!get(&s, 1ULL << 50, twin, now + 2), "states: another stream with the same key is not taken for it");
	now += STREAM_IDLE_NS / 2;
	for (i = 0; i < 16; i++)
		get(&s, i, 7, now);
	ok(!get(&s, 99, 7, now), "states: none is idle yet");
	now += STREAM_IDLE_NS / 2;
	ok(get(&s, 99, 7, now) != NULL, "states: idle ones make room");
	is(dropped, 16, "states: all 16, and each was announced");
	for (i = 0, wrong = 0; i < 16; i++)
		wrong += !get(&s, i, 7, now) || get(&s, i, 7, now)->count < 4;
	is(wrong, 0, "states: the others are there");
	now += STREAM_IDLE_NS;
	is((long long)get(&s, 3, 7, now)->count, 1, "states: after a silence a stream is new");
	is(dropped, 17, "states: which is announced, too");
	is(stream_states_sweep(&s, now), 1, "states: a sweep finds the idle");
	is(s.t.used, 1, "states: and only those");
	is(stream_states_sweep(&s, now), 0, "states: then there are none");
}

/* ---- The data header --------------------------------------------------- */

/* Which error a frame deserves, byte by byte. */
static enum stream_err naive_parse(const u8 *f, u32 len)
{
	u32 total, udp, i, seq = 0;

	if (len < 42 || f[12] != 8 || f[13] || f[14] != 0x45 || f[23] != 17 || (f[20] & 0x3f) || f[21])
		return STREAM_FOREIGN;
	total = f[16] * 256u + f[17];
	udp = f[38] * 256u + f[39];
	if (total + 14 > len || udp + 20 != total || udp < 72 || naive_sum(f + 14, 20, 0) != 0xffff)
		return STREAM_BROKEN;
	if ((f[40] | f[41]) && model_udp_error(f))
		return STREAM_BROKEN;
	for (i = 0; i < 8; i++)
		seq |= f[42 + 24 + i];
	if (f[42] != 2 || !seq || f[42 + 3] || f[42 + 6] || f[42 + 7] || f[42 + 4] > f[42 + 5] || f[42 + 55] > 1)
		return STREAM_UNKNOWN;
	return f[42 + 55] && udp != 72 ? STREAM_UNKNOWN : STREAM_OK;
}

static void fix_ip(u8 *f)
{
	u16 c;

	f[24] = f[25] = 0;
	c = naive_check(naive_sum(f + 14, 20, 0));
	f[24] = (u8)(c >> 8);
	f[25] = (u8)c;
}

/* The same bytes as in internal/live/frame's TestKnownAnswer. */
static void test_known(void)
{
	static const u8 a[4] = { 10, 0, 0, 1 }, b[4] = { 10, 0, 0, 2 };
	static const u8 known[] = {
		0x02, 0x05, 0x03, 0x00, 0x02, 0x07, 0x00, 0x00, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
		0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02,
		0x17, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x07, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
		0x00, 0x00, 0x00, 0x2a, 0x00, 0x03, 0x07, 0x00, 0x00, 0x01, 0x86, 0xa0, 0x00, 0x00, 0x0b, 0xb8,
		0xca, 0xfe,
	};
	static u8 f[42 + sizeof(known)];
	struct spa_frame fr = { .data = f, .len = sizeof(f) };
	struct stream_pkt p;

	memcpy(f + 42, known, sizeof(known));
	model_build(f, sizeof(f), a, b, 5000, 5001, 64, true);
	ok(!stream_parse(&p, &fr) && p.len == 2 && p.data[0] == 0xca && p.data[1] == 0xfe, "known answer: payload");
	ok(p.h->flags == (STREAM_KEY | STREAM_COMPRESSED) && p.h->drop_class == STREAM_DISPOSABLE && p.h->part == 2 &&
	   p.h->last_part == 7 && stream_seq(p.h) == 258 && stream_sent_ns(p.h) == 0x17a1b2c3d4e5f607 &&
	   stream_sealer(p.h) == 0x8877665544332211 && stream_epoch(p.h) == 42, "known answer: what is the sealer's");
	ok(spa_ntohs(p.h->path) == 3 && p.h->hops == 7 && !p.h->marks && stream_budget_us(p.h) == 100000 &&
	   stream_elapsed_us(p.h) == 3000, "known answer: what is the hops'");
}

static void test_header(void)
{
	static const u8 a[4] = { 10, 0, 0, 1 }, b[4] = { 10, 0, 0, 2 };
	u32 round, wrong = 0, changed = 0, kinds[4] = { 0 }, i;
	static u8 f[1600];

	for (round = 0; round < 100000; round++) {
		u32 len = below(10) ? 106 + below(600) : 42 + below(64), n = len, at;
		struct stream_pkt p;
		struct spa_frame fr;
		enum stream_err want;
		u8 *mem;

		for (i = 42; i < len; i++)
			f[i] = (u8)rnd();
		f[42] = 2;
		f[45] = f[48] = f[49] = 0;
		f[46] = (u8)below(f[47] + 1u);
		f[97] = 0;
		model_build(f, len, a, b, 5000, 5001, 64, below(2));
		switch (below(8)) {
		case 0:
			at = below(108);
			f[at] ^= (u8)(1u << below(8));
			if (at >= 14 && at < 34 && below(2))
				fix_ip(f);
			break;
		case 1:
			n = below(len + 1);
			break;
		case 2:
			n = len + below(20);
			break;
		case 3:
			memset(f + 42 + 24, 0, 8);
			f[40] = f[41] = 0;
			break;
		case 4:
			f[39] = (u8)rnd();
			break;
		default:
			break;
		}
		mem = exact(f, n);
		fr = (struct spa_frame){ .data = mem, .len = n };
		want = naive_parse(mem, n);
		kinds[want]++;
		if (stream_parse(&p, &fr) != want) {
			wrong++;
		} else if (!want) {
			u32 shorter = below(p.len + 1);
			struct stream_link l = { .dst_ip = (u32)rnd(), .src_port = (u16)rnd(),
						 .src_ip = below(2) ? (u32)rnd() : 0, .dst_mac = { 2, 3 } };
			u64 us = below(2) ? below(1000) : rnd() >> (1 + below(40));
			u32 el = stream_elapsed_us(p.h), bu = stream_budget_us(p.h);

			wrong += p.len != fr.len - 106 || fr.len > n || p.data != mem + 106;
			/* Every change leaves both checksums right. */
			stream_set_path(&p, (u16)rnd());
			stream_spend(&p, us);
			stream_redirect(mem, &l);
			changed += (mem[40] | mem[41]) && model_udp_error(mem);
			changed += naive_sum(mem + 14, 20, 0) != 0xffff;
			changed += stream_elapsed_us(p.h) != (el + us > 0xffffffff ? 0xffffffff : el + us);
			changed += bu == STREAM_NO_BUDGET ? stream_budget_us(p.h) != bu
							  : stream_budget_us(p.h) != (us > bu ? 0 : bu - us);
			stream_set_len(&p, &fr, shorter);
			stream_seal(&p);
			changed += (mem[40] | mem[41]) && model_udp_error(mem);
			changed += naive_sum(mem + 14, 20, 0) != 0xffff || fr.len != 106 + shorter;
			changed += naive_parse(mem, fr.len) != STREAM_OK;
		}
		free(mem);
	}
	test_known();
	is(wrong, 0, "header: 100000 frames taken or refused as the naive parser has it");
	is(changed, 0, "header: every change leaves lengths and checksums right");
	ok(kinds[0] > 1000 && kinds[1] > 1000 && kinds[2] > 1000 && kinds[3] > 1000,
	   "header: each kind was tried (%u %u %u %u)", kinds[0], kinds[1], kinds[2], kinds[3]);
}

int main(void)
{
	seed_from_env(7);
	test_lz();
	test_lz_garbage();
	test_see();
	test_states();
	test_header();
	return done();
}
