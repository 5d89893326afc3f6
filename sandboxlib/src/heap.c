// SPDX-License-Identifier: Apache-2.0
/*
 * The allocator (spa/heap.h).
 *
 * A block is a 16-byte header and the bytes behind it, sized in cache lines;
 * headers sit at the end of a cache line, so that the bytes begin one. Sizes
 * come in four steps for each doubling. New blocks are cut from the untouched
 * end of the heap.
 */
#include "lib.h"

#define UNIT SPA_CACHELINE
#define CLASSES 128
#define LIVE 0x4556494cu	/* "LIVE" */
#define FREE 0x45455246u	/* "FREE" */

struct block {
	u32 magic;
	u32 class;
	struct block *next;	/* in its free list */
};
#define HEADER 16
_Static_assert(sizeof(struct block) <= HEADER, "header");

static u8 *next_block;		/* address = UNIT - HEADER (mod UNIT) */
static u8 *heap_start, *heap_end;
static struct block *free_list[CLASSES];

void spa_heap_init(void *heap, size_t len)
{
	u8 *p = heap;

	memset(free_list, 0, sizeof(free_list));
	heap_start = p;
	heap_end = p + len;
	next_block = p;
	if (len < 2 * UNIT)
		heap_end = p;
	else
		next_block = p + (UNIT - ((uintptr_t)p & (UNIT - 1))) + UNIT - HEADER;
}

/* Units of a class: 1 2 3 4 | 5 6 7 8 | 10 12 14 16 | 20 24 28 32 | ... */
static size_t class_units(u32 class)
{
	if (class < 4)
		return class + 1;
	return (size_t)(class % 4 + 5) << (class / 4 - 1);
}

/* The smallest class of at least `units`. */
static u32 class_of(size_t units)
{
	u32 log, step;

	if (units <= 4)
		return units ? (u32)units - 1 : 0;
	/* units - 1 lies in [4 << log, 8 << log). */
	log = 61 - (u32)__builtin_clzll((u64)units - 1);
	step = (u32)((units - 1) >> log) - 4;
	return 4 * (log + 1) + step;
}

/* *fresh: the block was never used before, so its bytes are 0, as the kernel gave them. */
static void *alloc(size_t size, bool *fresh)
{
	struct block *b;
	u32 class;
	size_t bytes;

	if (size > (size_t)(heap_end - heap_start))
		return NULL;
	class = class_of((size + HEADER + UNIT - 1) / UNIT);
	b = free_list[class];
	*fresh = !b;
	if (b) {
		free_list[class] = b->next;
	} else {
		bytes = class_units(class) * UNIT;
		if (next_block > heap_end || bytes > (size_t)(heap_end - next_block))
			return NULL;
		b = (void *)next_block;
		next_block += bytes;
		b->class = class;
	}
	b->magic = LIVE;
	b->next = NULL;
	return (u8 *)b + HEADER;
}

void *spa_alloc(size_t size)
{
	bool fresh;

	return alloc(size, &fresh);
}

void *spa_calloc(size_t n, size_t size)
{
	size_t bytes;
	bool fresh;
	void *p;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	p = alloc(bytes, &fresh);
	/* A table made in spa_init() should not cost its budget. */
	if (p && !fresh)
		memset(p, 0, bytes);
	return p;
}

void spa_free(void *p)
{
	u8 *q = p;
	struct block *b;

	if (!p)
		return;
	if (q < heap_start + HEADER || q >= heap_end || (uintptr_t)q & (UNIT - 1))
		spa_abort(SPA_ABORT_HEAP);
	b = (void *)(q - HEADER);
	if (b->magic != LIVE || b->class >= CLASSES)
		spa_abort(SPA_ABORT_HEAP);
	b->magic = FREE;
	b->next = free_list[b->class];
	free_list[b->class] = b;
}

size_t spa_heap_left(void)
{
	return next_block < heap_end ? (size_t)(heap_end - next_block) : 0;
}
