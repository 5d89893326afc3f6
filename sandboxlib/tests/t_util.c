// SPDX-License-Identifier: Apache-2.0
/*
 * The parts of the library that need no port: memory functions, checksums,
 * parsers, formatting, allocator, hash table, timers, log. Each against libc
 * or a naive model, with random input, under the sanitizers.
 */
#include "../src/lib.h"
#include "model.h"
#include "tap.h"
#include "upcall.h"

#include <linux/if_xdp.h>
#include <string.h>

/* The ABI's assumption about AF_XDP's descriptor. */
_Static_assert(sizeof(struct xdp_desc) == 16 && offsetof(struct xdp_desc, addr) == 0 &&
	       offsetof(struct xdp_desc, len) == 8 && offsetof(struct xdp_desc, options) == 12, "struct xdp_desc");

SPA_MANIFEST("t_util", "1.0");
int spa_init(void) { return 0; }
void spa_rx(struct spa_batch *b) { (void)b; }

/* ---- mem.c, its functions renamed --------------------------------------- */

void *t_memcpy(void *restrict d, const void *restrict s, size_t n);
void *t_memmove(void *d, const void *s, size_t n);
void *t_memset(void *d, int c, size_t n);
int t_memcmp(const void *a, const void *b, size_t n);
size_t t_strlen(const char *s);

static void random_bytes(u8 *p, size_t n)
{
	while (n--)
		*p++ = (u8)rnd();
}

static void test_mem(void)
{
	u8 a[160], b[160], c[160];
	unsigned int i, bad[5] = { 0 };

	for (i = 0; i < 20000; i++) {
		unsigned int n = below(64), from = below(90), to = below(90);

		random_bytes(a, sizeof(a));
		memcpy(b, a, sizeof(a));
		random_bytes(c, sizeof(c));
		t_memcpy(a + to, c + from, n);
		memcpy(b + to, c + from, n);
		bad[0] += !!memcmp(a, b, sizeof(a));
		t_memmove(a + to, a + from, n);
		memmove(b + to, b + from, n);
		bad[1] += !!memcmp(a, b, sizeof(a));
		t_memset(a + from, (int)from + 200, n);
		memset(b + from, (int)from + 200, n);
		bad[2] += !!memcmp(a, b, sizeof(a));
		memcpy(c, a, sizeof(a));
		if (n && below(2))
			c[from + below(n)] ^= (u8)(1 << below(8));
		bad[3] += (t_memcmp(a + from, c + from, n) < 0) != (memcmp(a + from, c + from, n) < 0) ||
			  (t_memcmp(a + from, c + from, n) > 0) != (memcmp(a + from, c + from, n) > 0);
		a[150] = 0;
		bad[4] += t_strlen((char *)a + from) != strlen((char *)a + from);
	}
	is(bad[0], 0, "memcpy as libc's");
	is(bad[1], 0, "memmove as libc's");
	is(bad[2], 0, "memset as libc's");
	is(bad[3], 0, "memcmp as libc's");
	is(bad[4], 0, "strlen as libc's");
}

/* ---- Checksums ------------------------------------------------------------ */

static void test_csum(void)
{
	u8 p[1500];
	unsigned int i, bad_sum = 0, bad_fold = 0, bad_inc = 0, bad_udp4 = 0, bad_udp6 = 0;

	for (i = 0; i < 20000; i++) {
		unsigned int n = below(sizeof(p)), at;
		u32 old, new;
		u16 check;

		random_bytes(p, n);
		if (!below(10))
			memset(p, below(2) ? 0xff : 0, n);
		bad_sum += spa_csum_fold(spa_csum_add(p, n, 0)) != spa_htons((u16)naive_sum(p, n, 0));

		/* Incremental: a word of a region whose checksum stands at its end. */
		n = 8 + below(100) * 4;
		random_bytes(p, n);
		p[0] |= 1;	/* a region of zeros has two right checksums */
		check = spa_htons(naive_check(naive_sum(p, n, 0)));
		at = 4 + below(n / 4 - 1) * 4;
		old = spa_get32(p + at);
		new = below(4) ? (u32)rnd() : below(2) ? 0 : 0xffffffff;
		spa_put32(p + at, new);
		bad_inc += spa_csum_apply(check, spa_csum_delta32(old, new)) !=
			   spa_htons(naive_check(naive_sum(p, n, 0)));
	}
	for (i = 0; i < 20000; i++) {
		u64 a = below(3) ? rnd() : 0ULL - below(2), b = below(3) ? rnd() : 0ULL - below(2);

		bad_inc += spa_csum_delta64(a, b) % 65535 !=
			   (spa_csum_delta32((u32)a, (u32)b) + spa_csum_delta32((u32)(a >> 32), (u32)(b >> 32))) % 65535 ||
			   (!spa_csum_delta64(a, b)) != (!~a && !b) || spa_csum_delta64(a, b) >> 33;
	}
	/* Sums near where carries go wrong. */
	for (i = 0; i < 100000; i++) {
		u64 sum = below(2) ? rnd() >> below(64) : (1ULL << below(64)) - below(3);

		bad_fold += spa_csum_fold(sum) % 65535 != sum % 65535 || (!spa_csum_fold(sum)) != !sum;
	}
	for (i = 0; i < 2000; i++) {
		unsigned int n = 8 + below(200), k;
		u8 pseudo[40] = { 0 };
		u32 want;

		random_bytes(p, n);
		random_bytes(pseudo, 32);
		pseudo[4] = (u8)i;
		k = 8;
		pseudo[8] = 0;
		pseudo[9] = 17;
		pseudo[10] = (u8)(n >> 8);
		pseudo[11] = (u8)n;
		want = naive_check(naive_sum(p, n, naive_sum(pseudo, k + 4, 0)));
		bad_udp4 += spa_udp4_csum(spa_get32(pseudo), spa_get32(pseudo + 4), p, (u16)n) !=
			    spa_htons((u16)(want ? want : 0xffff));
		memset(pseudo + 32, 0, 8);
		pseudo[34] = (u8)(n >> 8);
		pseudo[35] = (u8)n;
		pseudo[39] = 17;
		want = naive_check(naive_sum(p, n, naive_sum(pseudo, 40, 0)));
		bad_udp6 += spa_udp6_csum(pseudo, pseudo + 16, p, (u16)n) != spa_htons((u16)(want ? want : 0xffff));
	}
	is(bad_sum, 0, "checksum: sum of random bytes as the naive one");
	is(bad_fold, 0, "checksum: fold keeps the residue, and 0 for 0 only");
	is(bad_inc, 0, "checksum: incremental is equal to computing it again");
	is(bad_udp4, 0, "checksum: UDP over IPv4");
	is(bad_udp6, 0, "checksum: UDP over IPv6");
	is(spa_udp_csum_apply(0, 12345), 0, "checksum: UDP 0 stays 0");
	/* ~0xfffe + 0xfffe = 0xffff: the sum's complement is 0, which would mean "none". */
	is(spa_udp_csum_apply(0xfffe, 0xfffe), 0xffff, "checksum: a UDP checksum that comes to 0 is sent as 0xffff");
}

/* ---- Parsers --------------------------------------------------------------- */

/*
 * Any bytes at all, in a block of exactly that size: ASan sees a read behind
 * the end. What a parser says yes to is looked at again here.
 */
static void test_parse_fuzz(void)
{
	unsigned int i, bad = 0, ip4 = 0, ip6 = 0, udp = 0, arp = 0;

	for (i = 0; i < 200000; i++) {
		u32 len = below(140);
		u8 *p = malloc(len ? len : 1);
		struct spa_cursor c = spa_cursor(p, len), before;
		be16 type = 0;
		u8 next = 0;

		random_bytes(p, len);
		/* Headers that are nearly right, or few would get past the first check. */
		if (len > 14 && below(8)) {
			static const u16 types[] = { SPA_ETH_IP4, SPA_ETH_IP6, SPA_ETH_ARP, SPA_ETH_VLAN };
			u32 at = 12, n;

			do {
				n = below(4);
				spa_put16(p + at, spa_htons(types[n]));
				at += n == 3 ? 4 : 2;
			} while (n == 3 && at + 2 <= len);
			if (n == 0 && at + 20 <= len) {
				p[at] = (u8)(0x45 + (below(4) ? 0 : below(11)));
				p[at + 2] = 0;
				p[at + 3] = (u8)(len - at + below(4) - 2);
				p[at + 9] = 17;
				if (at + 26 <= len) {
					p[at + 24] = 0;
					p[at + 25] = (u8)(len - at - 20 - below(3));
				}
			} else if (n == 1 && at + 40 <= len) {
				p[at] = 0x60;
				p[at + 4] = 0;
				p[at + 5] = (u8)(len - at - 40 + below(3) - 1);
				p[at + 6] = below(2) ? 17 : (u8)(below(2) ? 0 : 60);
			} else if (n == 2 && at + 8 <= len) {
				memcpy(p + at, "\0\x01\x08\0\x06\x04", 6);
			}
		}
		before = c;
		if (!spa_parse_eth(&c, &type)) {
			bad += c.p != before.p || c.end != before.end;
			free(p);
			continue;
		}
		bad += c.p > c.end || c.end > p + len || (c.p - p) % 4 != 2 || c.p - p > 22;
		if (type == spa_htons(SPA_ETH_ARP))
			arp += !!spa_parse_arp(&c);
		before = c;
		if (type == spa_htons(SPA_ETH_IP4)) {
			struct spa_ip4 *ip = spa_parse_ip4(&c);

			if (ip) {
				ip4++;
				bad += (u8 *)ip != before.p || c.p > c.end || c.end > before.end ||
				       c.end - before.p != spa_ntohs(ip->tot_len) || c.p - before.p < 20;
				(void)spa_ip4_csum(ip);
				before = c;
				if (spa_parse_udp(&c)) {
					udp++;
					bad += c.p - before.p != 8 || c.end > before.end || c.p > c.end;
				} else {
					bad += c.p != before.p || c.end != before.end;
				}
			} else {
				bad += c.p != before.p || c.end != before.end;
			}
		} else if (type == spa_htons(SPA_ETH_IP6)) {
			if (spa_parse_ip6(&c, &next)) {
				ip6++;
				bad += c.p - before.p < 40 || c.p > c.end || c.end > before.end ||
				       next == 0 || next == 43 || next == 60;
			} else {
				bad += c.p != before.p || c.end != before.end;
			}
		}
		free(p);
	}
	is(bad, 0, "parse: pointers and lengths inside the frame");
	ok(ip4 > 1000 && ip6 > 1000 && udp > 1000 && arp > 100, "parse: enough good ones (%u IPv4, %u IPv6, %u UDP, %u ARP)",
	   ip4, ip6, udp, arp);
}

static void test_parse_known(void)
{
	static u8 p[100];
	const u8 a[4] = { 10, 0, 0, 1 };
	struct spa_cursor c;
	struct spa_ip4 *ip;
	be16 type;

	model_build(p, 60, a, a, 1, 2, 64, true);
	c = spa_cursor(p, 80);
	ok(spa_parse_eth(&c, &type) && type == spa_htons(SPA_ETH_IP4), "parse: Ethernet");
	ip = spa_parse_ip4(&c);
	ok(ip && spa_ip4_check_ok(ip) && !spa_ip4_is_fragment(ip), "parse: IPv4, checksum right, no fragment");
	ip->frag_off = spa_htons(SPA_IP4_MF);
	ok(spa_ip4_is_fragment(ip), "parse: a first fragment is one");
	ip->ttl++;
	ok(!spa_ip4_check_ok(ip), "parse: checksum wrong");
	ok(spa_parse_udp(&c) && spa_left(&c) == 18, "parse: UDP, padding cut off");
}

/* ---- Formatting ------------------------------------------------------------ */

static unsigned int fmt_bad, fmt_tried;

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
__attribute__((format(printf, 1, 2))) static void fmt(const char *f, ...)
{
	char a[80], b[80];
	va_list ap, aq;
	size_t n = below(2) ? sizeof(a) : below(sizeof(a)) + 1;
	int x, y;

	memset(a, 'x', sizeof(a));
	memset(b, 'x', sizeof(b));
	va_start(ap, f);
	va_copy(aq, ap);
	x = spa_vsnprintf(a, n, f, ap);
	y = vsnprintf(b, n, f, aq);
	va_end(aq);
	va_end(ap);
	fmt_tried++;
	if (x != y || memcmp(a, b, sizeof(a))) {
		fmt_bad++;
		printf("#   \"%s\": got \"%s\" (%d), want \"%s\" (%d)\n", f, a, x, b, y);
	}
}

static void test_printf(void)
{
	static const long long v[] = { 0, 1, -1, 9, 10, 255, 256, -128, 32767, 65536, 2147483647, -2147483647 - 1,
				       9223372036854775807LL, -9223372036854775807LL - 1, 1234567890123456789LL };
	const u8 ip[4] = { 192, 0, 2, 255 }, mac[6] = { 0, 1, 0xab, 0xcd, 0xef, 9 };
	u8 ip6[16] = { 0xfe, 0x80, [15] = 1 };
	char buf[80];
	unsigned int i;

	for (i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		long long x = v[i];

		fmt("%d|%i|%u|%x|%X|%o", (int)x, (int)x, (unsigned)x, (unsigned)x, (unsigned)x, (unsigned)x);
		fmt("%lld %llu %llx", x, (unsigned long long)x, (unsigned long long)x);
		fmt("%ld %lu %zu %zd %jd", (long)x, (unsigned long)x, (size_t)x, (ssize_t)x, (intmax_t)x);
		fmt("%hd %hu %hhd %hhu %hhx", (short)x, (unsigned short)x, (signed char)x, (unsigned char)x, (unsigned char)x);
		fmt("[%8d] [%-8d] [%08d] [%+d] [% d]", (int)x, (int)x, (int)x, (int)x, (int)x);
		fmt("[%#x] [%#10x] [%#010x] [%-#10x] [%#o]", (unsigned)x, (unsigned)x, (unsigned)x, (unsigned)x, (unsigned)x);
		fmt("[%.3d] [%8.3d] [%-8.3d] [%.0d] [%+.5d]", (int)x, (int)x, (int)x, (int)x, (int)x);
		fmt("[%*d] [%-*d] [%.*d] [%02x]", 6, (int)x, 6, (int)x, 4, (int)x, (unsigned)x);
	}
	fmt("%s|%10s|%-10s|%.2s|%10.1s|%%|%c|%5c|%-3c|", "text", "text", "text", "text", "text", 'a', 'b', 'c');
	fmt("%.*s|%.0s|", 3, "abcdef", "abc");
	fmt("no format at all, only text that is longer than the smallest of the buffers");
	fmt("%p %20p", (void *)0x1234, (void *)buf);
	is(fmt_bad, 0, "printf: as libc's");
	ok(fmt_tried > 100, "printf: %u formats", fmt_tried);
	spa_snprintf(buf, sizeof(buf), "%pI4 %pM %pI6|", (const void *)ip, (const void *)mac, (const void *)ip6);
	ok(!strcmp(buf, "192.0.2.255 00:01:ab:cd:ef:09 fe80:0000:0000:0000:0000:0000:0000:0001|"),
	   "printf: %%pI4 %%pM %%pI6: %s", buf);
	spa_snprintf(buf, sizeof(buf), "[%16pI4] [%-16pI4]", (const void *)ip, (const void *)ip);
	ok(!strcmp(buf, "[     192.0.2.255] [192.0.2.255     ]"), "printf: with a width: %s", buf);
}

/* ---- Allocator --------------------------------------------------------------- */

static struct slice s;

static void begin(uint32_t heap)
{
	struct slice_config c = slice_default;

	c.heap = heap;
	slice_open(&s, &c);
	upcall(&s, ULS_UP_INIT, 0);
}

/* Cleared, whether the block is new or was used before. */
static void test_calloc(void)
{
	unsigned int i, k, bad = 0;
	u8 *p[50];

	begin(1 << 20);
	for (i = 0; i < 2000; i++) {
		unsigned int at = i % 50, n = 1 + below(2000);

		if (i >= 50)
			spa_free(p[at]);
		p[at] = spa_calloc(n, 1);
		if (!p[at]) {
			bad++;
			break;
		}
		for (k = 0; k < n; k++)
			bad += p[at][k] != 0;
		memset(p[at], 0xff, n);
	}
	is(bad, 0, "heap: calloc clears");
	slice_close(&s);
}

static void test_heap(void)
{
	static struct { u8 *p; size_t n; u8 tag; } live[300];
	unsigned int i, k, bad = 0, allocs = 0, refused = 0;
	size_t total = 0;
	u8 *start, *p;

	begin(1 << 20);
	start = (u8 *)s.info->heap_addr;
	for (i = 0; i < 50000; i++) {
		unsigned int at = below(300);

		if (live[at].p) {
			for (k = 0; k < live[at].n; k++)
				bad += live[at].p[k] != live[at].tag;
			spa_free(live[at].p);
			live[at].p = NULL;
			continue;
		}
		live[at].n = below(10) ? below(500) : below(20000);
		live[at].tag = (u8)rnd();
		live[at].p = spa_alloc(live[at].n);
		if (!live[at].p) {
			refused++;
			continue;
		}
		allocs++;
		bad += (uintptr_t)live[at].p % SPA_CACHELINE != 0 || live[at].p < start ||
		       live[at].p + live[at].n > start + (1 << 20);
		memset(live[at].p, live[at].tag, live[at].n);
	}
	is(bad, 0, "heap: blocks apart, aligned, inside the heap, with what was written");
	ok(allocs > 10000, "heap: %u allocations, %u refused", allocs, refused);
	slice_close(&s);

	begin(1 << 20);
	for (i = 0; (p = spa_alloc(1000)); i++)
		total += 1000;
	ok(total > (1 << 20) * 3 / 4, "heap: three quarters of it can be used (%zu bytes)", total);
	ok(spa_heap_left() < 2048, "heap: full");
	/* The smallest blocks, to the very end. */
	for (bad = 0; (p = spa_alloc(48));)
		bad += p + 48 > (u8 *)s.info->heap_addr + (1 << 20);
	is(bad, 0, "heap: the last block ends inside");
	ok(!spa_alloc(1 << 21), "heap: more than there is");
	ok(!spa_alloc((size_t)-1), "heap: far more");
	ok(!spa_calloc((size_t)1 << 33, (size_t)1 << 33), "heap: a product that overflows");
	slice_close(&s);

	/* Each size up to 64 KiB has a class that holds it, at most a quarter larger. */
	begin(8 << 20);
	bad = 0;
	for (i = 1; i < 65536; i += 1 + i / 16) {
		size_t before = spa_heap_left(), used;

		if (!spa_alloc(i))
			break;
		used = before - spa_heap_left();
		bad += used < i + 16 || used > (i + 16 + 63) / 64 * 64 * 5 / 4;
	}
	ok(!bad && i >= 65536, "heap: waste is a quarter at most");
	slice_close(&s);

	begin(0);
	ok(!spa_alloc(1), "heap: none when the manifest asks for none");
	spa_free(NULL);
	slice_close(&s);
}

/* spa_free() of what is no block must abort: run as the SPA's tick. */
static u8 *to_free;
void spa_tick(u64 now)
{
	if (now == 1)
		spa_free(to_free);
}

static void test_heap_abuse(void)
{
	u8 *p;

	begin(1 << 16);
	p = spa_alloc(100);
	to_free = p;
	ok(!upcall(&s, ULS_UP_TICK, 1).aborted, "heap: free");
	ok(upcall(&s, ULS_UP_TICK, 1).code == SPA_ABORT_HEAP, "heap: free twice aborts");
	to_free = (u8 *)&p;
	ok(upcall(&s, ULS_UP_TICK, 1).code == SPA_ABORT_HEAP, "heap: free of a stack address aborts");
	p = spa_alloc(500);
	to_free = p + 64;
	ok(upcall(&s, ULS_UP_TICK, 1).code == SPA_ABORT_HEAP, "heap: free inside a block aborts");
	to_free = p + 1;
	ok(upcall(&s, ULS_UP_TICK, 1).code == SPA_ABORT_HEAP, "heap: free of a crooked address aborts");
	slice_close(&s);
}

/* ---- Hash table ---------------------------------------------------------------- */

struct entry {
	u64 key;
	u64 value;
	u8 more[20];
};

static void test_table(void)
{
	static struct { u64 key, value; } model[600];
	unsigned int n = 0, i, k, bad = 0, peak = 0;
	struct spa_table t;
	struct entry *e;

	begin(2 << 20);
	is(spa_table_init(&t, 4, 10, 0), -SPA_EINVAL, "table: an entry without room for its key is refused");
	is(spa_table_init(&t, sizeof(*e), 1u << 31, 0), -SPA_EINVAL, "table: too many entries are refused");
	is(spa_table_init(&t, sizeof(*e), 1u << 20, 0), -SPA_ENOMEM, "table: too large for the heap");
	is(spa_table_init(&t, sizeof(*e), 5, 42), 0, "table: init");
	ok(!spa_table_insert(&t, 0) && !spa_table_delete(&t, 0), "table: the key 0 is refused");
	for (i = 0; i < 60000; i++) {
		/* Few keys, so that they meet; regular ones, the bad case of a weak hash. */
		u64 key = ((u64)below(700) + 1) << (i & 1 ? 20 : 0);
		bool had;

		for (k = 0; k < n && model[k].key != key; k++)
			;
		had = k < n;
		switch (below(4)) {
		case 0:
			if (n == 600 && !had)
				break;
			/* fall through */
		case 1:
			if (n == 600 && !had)
				break;
			e = spa_table_insert(&t, key);
			if (!e) {
				bad++;
				break;
			}
			bad += e->key != key || e->value != (had ? model[k].value : 0);
			if (!had)
				n++;
			model[k].key = key;
			model[k].value = e->value = rnd();
			memset(e->more, (int)e->value, sizeof(e->more));
			break;
		case 2:
			e = spa_table_find(&t, key);
			bad += !!e != had || (e && (e->value != model[k].value || e->more[19] != (u8)e->value));
			break;
		default:
			bad += spa_table_delete(&t, key) != had;
			if (had)
				model[k] = model[--n];
		}
		bad += t.used != n;
		if (n > peak)
			peak = n;
	}
	is(bad, 0, "table: as the naive model");
	ok(peak > 300, "table: it was full enough (%u at most)", peak);
	for (e = NULL, k = 0; (e = spa_table_next(&t, e)); k++)
		for (i = 0; i < n; i++)
			if (model[i].key == e->key)
				model[i].key = 0;
	is(k, n, "table: the walk meets as many as there are");
	for (i = 0, bad = 0; i < n; i++)
		bad += model[i].key != 0;
	is(bad, 0, "table: and each of them");
	spa_table_destroy(&t);
	spa_table_init(&t, sizeof(*e), 2, 1);
	for (k = 1; spa_table_insert(&t, k); k++)
		;
	n = t.used;
	ok(n > 1000 && spa_table_find(&t, 1) && spa_table_find(&t, n), "table: out of memory at %u, and still whole", n);
	slice_close(&s);
}

/* ---- Timers ----------------------------------------------------------------------- */

static struct spa_timer timers[100];
static u64 fired_at[100], clock_now;
static unsigned int fired, out_of_order;
static u64 last_fired;

static void fire(struct spa_timer *t)
{
	fired++;
	out_of_order += t->at < last_fired;
	last_fired = t->at;
	fired_at[t - timers] = clock_now;
}

static void again(struct spa_timer *t)
{
	fired++;
	spa_timer_start(t, t->at);
}

static void test_timers(void)
{
	u64 want[100] = { 0 };
	unsigned int i, k, bad = 0, total = 0;

	begin(1 << 20);
	for (i = 0; i < 100; i++)
		timers[i].fn = fire;
	for (i = 0; i < 20000; i++) {
		k = below(100);
		switch (below(4)) {
		case 0:
		case 1:
			want[k] = clock_now + 1 + below(1000);
			bad += spa_timer_start(&timers[k], want[k]) != 0;
			break;
		case 2:
			spa_timer_stop(&timers[k]);
			want[k] = 0;
			break;
		default:
			clock_now += below(100);
			fired = 0;
			last_fired = 0;
			upcall(&s, ULS_UP_TICK, clock_now);
			for (k = 0; k < 100; k++) {
				if (!want[k] || want[k] > clock_now)
					continue;
				bad += fired_at[k] != clock_now || spa_timer_running(&timers[k]);
				want[k] = 0;
				fired--;
				total++;
			}
			bad += fired != 0;
		}
		bad += spa_timer_running(&timers[k % 100]) != !!want[k % 100];
	}
	is(bad, 0, "timers: each fires in the first tick after its time, once");
	is(out_of_order, 0, "timers: in order");
	ok(total > 1000, "timers: %u fired", total);
	for (i = 0; i < 100; i++)
		spa_timer_stop(&timers[i]);
	timers[0].fn = again;
	fired = 0;
	spa_timer_start(&timers[0], 5);
	upcall(&s, ULS_UP_TICK, clock_now + 1000);
	is(fired, 1, "timers: one that starts itself again in the past runs once a tick");
	spa_timer_stop(&timers[0]);
	fake_now = 4711;
	is((s64)spa_clock(), 4711, "clock");
	slice_close(&s);
}

/* ---- Log -------------------------------------------------------------------------- */

static void test_log(void)
{
	const struct uls_log *log;
	unsigned int i;
	char want[40];
	const char *text;

	begin(0);
	log = (void *)(s.base + ULS_OFF_LOG);
	spa_log("one %d", 1);
	spa_log("two\n");
	spa_log("%s", "");
	ok(!strcmp(slice_log(&s), "one 1\ntwo\n\n"), "log: lines, each with one newline");
	is((s64)log->head, 11, "log: head counts bytes");
	spa_log("%0300d", 1);
	is((s64)log->head, 11 + SPA_LOG_LINE, "log: a line too long is cut");
	for (i = 0; i < 10000; i++)
		spa_log("line %u", i);
	text = slice_log(&s);
	snprintf(want, sizeof(want), "line %u\n", 9999);
	ok(strlen(text) == log->size && !strcmp(text + strlen(text) - strlen(want), want), "log: the ring goes round");
	ok(log->head > log->size, "log: and head goes on");
	slice_close(&s);
}

int main(void)
{
	seed_from_env(3);
	test_mem();
	test_csum();
	test_parse_fuzz();
	test_parse_known();
	test_printf();
	test_heap();
	test_calloc();
	test_heap_abuse();
	test_table();
	test_timers();
	test_log();
	return done();
}
