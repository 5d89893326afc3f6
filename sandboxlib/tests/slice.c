// SPDX-License-Identifier: Apache-2.0
/* The kernel's side of an SPA (slice.h). */
#include "slice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define poison(p, n) __asan_poison_memory_region(p, n)
#define unpoison(p, n) __asan_unpoison_memory_region(p, n)
#else
#define poison(p, n) ((void)(p), (void)(n))
#define unpoison(p, n) ((void)(p), (void)(n))
#endif

/* In a ring's memory: offsets as AF_XDP's are on x86-64, cache lines apart. */
#define OFF_PROD 0
#define OFF_CONS 128
#define OFF_FLAGS 192
#define OFF_DESC 320

const struct slice_config slice_default = {
	.frames = 512, .chunk = 4096, .headroom = 256,
	.rx = 128, .tx = 128, .fill = 256, .comp = 128, .heap = 4 << 20,
};

unsigned int slice_invalid;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t pages(uint64_t n)
{
	return (n + 4095) & ~4095ULL;
}

static void *map(struct slice *s, uint64_t off, uint64_t len)
{
	if (mprotect(s->base + off, pages(len), PROT_READ | PROT_WRITE))
		die("mprotect");
	return s->base + off;
}

static void ring_make(struct slice *s, struct uls_ring_info *r, int i, uint32_t entries, uint32_t esize)
{
	uint64_t off = ULS_OFF_RINGS + (uint64_t)i * ULS_RING_STRIDE;

	map(s, off, OFF_DESC + (uint64_t)entries * esize);
	*r = (struct uls_ring_info){
		.addr = (uint64_t)(s->base + off), .entries = entries, .producer = OFF_PROD,
		.consumer = OFF_CONS, .flags = OFF_FLAGS, .desc = OFF_DESC,
	};
	*slice_prod(s, r) = s->c.first_index;
	*slice_cons(s, r) = s->c.first_index;
}

void slice_open(struct slice *s, const struct slice_config *c)
{
	struct uls_info *i;
	struct uls_log *log;
	uint64_t cpus = 2;

	memset(s, 0, sizeof(*s));
	s->c = *c;
	s->base = mmap((void *)SLICE_BASE, ULS_SLICE_SIZE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (s->base != (void *)SLICE_BASE)
		die("mmap of the slice");
	s->info = i = map(s, ULS_OFF_INFO, sizeof(*i));
	*i = (struct uls_info){
		.magic = ULS_INFO_MAGIC, .abi = ULS_ABI_VERSION, .base = SLICE_BASE, .cpus = (uint32_t)cpus,
		.mac = { 0x02, 0, 0, 0, 0, 0x01 }, .mtu = 1500, .budget_ns = 50000, .tick_ns = 1000000,
		.counters_addr = (uint64_t)map(s, ULS_OFF_COUNTERS, sizeof(struct uls_counters)),
		.mbox_addr = (uint64_t)map(s, ULS_OFF_MBOX, ULS_MBOX_SIZE), .mbox_len = ULS_MBOX_SIZE,
		.log_addr = (uint64_t)map(s, ULS_OFF_LOG, ULS_LOG_SIZE), .log_len = ULS_LOG_SIZE,
		.heap_len = c->heap,
	};
	if (c->heap)
		i->heap_addr = (uint64_t)map(s, ULS_OFF_HEAP, c->heap);
	log = (void *)(s->base + ULS_OFF_LOG);
	log->size = ULS_LOG_SIZE - 4096;
	/* Stack of CPU 0; what lies below stays closed. */
	map(s, ULS_OFF_STACKS + ULS_STACK_STRIDE - 16384, 16384);
	if (c->no_port)
		return;
	i->ifindex = 2;
	i->chunk_size = c->chunk;
	i->headroom = c->headroom;
	i->umem_len = (uint64_t)c->frames * c->chunk;
	i->umem_addr = (uint64_t)map(s, ULS_OFF_UMEM, i->umem_len);
	i->pool_len = sizeof(struct uls_pool) + 8ULL * c->frames;
	i->pool_addr = (uint64_t)map(s, ULS_OFF_POOL, i->pool_len);
	ring_make(s, &i->rx, 0, c->rx, sizeof(struct xdp_desc));
	ring_make(s, &i->tx, 1, c->tx, sizeof(struct xdp_desc));
	ring_make(s, &i->fill, 2, c->fill, 8);
	ring_make(s, &i->comp, 3, c->comp, 8);
	s->umem = (uint8_t *)i->umem_addr;
	s->nic = calloc(c->frames * 4, sizeof(*s->nic));
	s->flying = calloc(c->frames * 4, sizeof(*s->flying));
	slice_invalid = 0;
	if (c->poison)
		poison(s->umem, i->umem_len);
}

void slice_close(struct slice *s)
{
	if (s->c.poison)
		unpoison(s->umem, s->info->umem_len);
	free(s->nic);
	free(s->flying);
	munmap(s->base, ULS_SLICE_SIZE);
}

struct uls_counters *slice_counters(struct slice *s)
{
	return (void *)(s->base + ULS_OFF_COUNTERS);
}

const char *slice_log(struct slice *s)
{
	static char text[ULS_LOG_SIZE];
	const struct uls_log *log = (void *)(s->base + ULS_OFF_LOG);
	uint64_t i = log->head > log->size ? log->head - log->size : 0, n = 0;

	for (; i < log->head; i++)
		text[n++] = (char)log->data[i % log->size];
	text[n] = 0;
	return text;
}

void slice_log_dump(struct slice *s)
{
	char *line, *copy = strdup(slice_log(s)), *rest = copy;

	while ((line = strsep(&rest, "\n")))
		if (*line)
			printf("# log: %s\n", line);
	free(copy);
}

uint32_t *slice_prod(struct slice *s, const struct uls_ring_info *r)
{
	(void)s;
	return (void *)(r->addr + r->producer);
}

uint32_t *slice_cons(struct slice *s, const struct uls_ring_info *r)
{
	(void)s;
	return (void *)(r->addr + r->consumer);
}

uint32_t slice_nic_take(struct slice *s)
{
	struct uls_ring_info *r = &s->info->fill;
	uint64_t *d = (void *)(r->addr + r->desc);
	uint32_t n = 0;

	while (*slice_cons(s, r) != *slice_prod(s, r)) {
		uint64_t a = d[*slice_cons(s, r) % r->entries];

		++*slice_cons(s, r);
		n++;
		if (a >= s->info->umem_len || s->nic_n >= s->c.frames * 4) {
			slice_invalid++;
			continue;
		}
		s->nic[s->nic_n++] = a & ~(uint64_t)(s->c.chunk - 1);
	}
	return n;
}

int64_t slice_rx(struct slice *s, const void *bytes, uint32_t len)
{
	struct uls_ring_info *r = &s->info->rx;
	struct xdp_desc *d = (void *)(r->addr + r->desc);
	uint64_t addr;

	if (*slice_prod(s, r) - *slice_cons(s, r) == r->entries)
		return -1;
	if (!s->nic_n && !slice_nic_take(s))
		return -1;
	/* First taken, first used. */
	addr = s->nic[0] + s->c.headroom;
	memmove(s->nic, s->nic + 1, --s->nic_n * sizeof(*s->nic));
	if (s->c.poison)
		unpoison(s->umem + addr, len);
	memcpy(s->umem + addr, bytes, len);
	d[*slice_prod(s, r) % r->entries] = (struct xdp_desc){ .addr = addr, .len = len };
	++*slice_prod(s, r);
	return (int64_t)addr;
}

bool slice_tx(struct slice *s, struct xdp_desc *d)
{
	struct uls_ring_info *r = &s->info->tx;
	struct xdp_desc *ring = (void *)(r->addr + r->desc);

	while (*slice_cons(s, r) != *slice_prod(s, r)) {
		uint64_t chunk;

		*d = ring[*slice_cons(s, r) % r->entries];
		++*slice_cons(s, r);
		chunk = d->addr & ~(uint64_t)(s->c.chunk - 1);
		if (d->addr >= s->info->umem_len || d->options || !d->len ||
		    d->addr + d->len > chunk + s->c.chunk) {
			slice_invalid++;
			continue;
		}
		s->flying[s->flying_n++] = d->addr;
		return true;
	}
	return false;
}

void slice_complete(struct slice *s)
{
	struct uls_ring_info *r = &s->info->comp;
	uint64_t *d = (void *)(r->addr + r->desc);
	uint32_t i, done = 0;

	for (i = 0; i < s->flying_n; i++) {
		if (*slice_prod(s, r) - *slice_cons(s, r) == r->entries)
			break;
		d[*slice_prod(s, r) % r->entries] = s->flying[i];
		++*slice_prod(s, r);
		if (s->c.poison)
			poison(s->umem + (s->flying[i] & ~(uint64_t)(s->c.chunk - 1)), s->c.chunk);
		done++;
	}
	s->flying_n -= done;
	memmove(s->flying, s->flying + done, s->flying_n * sizeof(*s->flying));
}

struct audit {
	struct slice *s;
	unsigned char *seen;
	unsigned int bad;
};

static void saw(struct audit *a, uint64_t addr, const char *where)
{
	uint64_t i = addr / a->s->c.chunk;

	if (i < a->s->c.frames && !a->seen[i]++)
		return;
	if (a->bad++ < 3)
		printf("#   frame at 0x%llx, in %s: %s\n", (unsigned long long)addr, where,
		       i < a->s->c.frames ? "for the second time" : "outside the UMEM");
}

static void audit_ring(struct audit *a, struct uls_ring_info *r, int is_desc, const char *where)
{
	uint32_t i;

	for (i = *slice_cons(a->s, r); i != *slice_prod(a->s, r); i++) {
		uint8_t *d = (uint8_t *)(r->addr + r->desc);

		saw(a, is_desc ? ((struct xdp_desc *)d)[i % r->entries].addr
			       : ((uint64_t *)d)[i % r->entries], where);
	}
}

/* The number of frames in a wrong place; *missing: in none. */
static unsigned int audit(struct slice *s, unsigned int *missing)
{
	struct audit a = { .s = s, .seen = calloc(s->c.frames, 1) };
	struct uls_pool *p = (void *)s->info->pool_addr;
	unsigned int i;

	for (i = 0; i < p->top; i++) {
		saw(&a, p->frame[i], "the pool");
		/* Elsewhere an address inside the frame will do; here its start is asked for. */
		a.bad += p->frame[i] % s->c.chunk != 0;
	}
	audit_ring(&a, &s->info->fill, 0, "the fill ring");
	audit_ring(&a, &s->info->rx, 1, "the rx ring");
	audit_ring(&a, &s->info->tx, 1, "the tx ring");
	audit_ring(&a, &s->info->comp, 0, "the completion ring");
	for (i = 0; i < s->nic_n; i++)
		saw(&a, s->nic[i], "the card");
	for (i = 0; i < s->flying_n; i++)
		saw(&a, s->flying[i], "the card's transmit queue");
	for (i = 0, *missing = 0; i < s->c.frames; i++)
		*missing += !a.seen[i];
	free(a.seen);
	return a.bad;
}

unsigned int slice_audit(struct slice *s, unsigned int held)
{
	unsigned int missing, bad = audit(s, &missing);

	if (missing != held)
		printf("#   %u frames in no place, %u expected\n", missing, held);
	return bad + (missing > held ? missing - held : held - missing);
}

unsigned int slice_doubled(struct slice *s)
{
	unsigned int missing;

	return audit(s, &missing);
}
