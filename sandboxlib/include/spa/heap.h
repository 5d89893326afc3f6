/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spa/heap.h - a small allocator over the heap the manifest asked for.
 *
 * Every block is aligned to a cache line. Freed blocks wait in a list for
 * their size class and are not merged: an allocator for tables made at start
 * and records of a few sizes. A quarter of a block, at most, is waste.
 * Allocation and release take constant time.
 */
#ifndef SPA_HEAP_H
#define SPA_HEAP_H

#include "spa/base.h"

/* NULL when the heap has no room; the bytes are not cleared. */
void *spa_alloc(size_t size);

/* As spa_alloc(), cleared; NULL also when n * size overflows. */
void *spa_calloc(size_t n, size_t size);

/* NULL is ignored. A pointer that is no live block aborts the SPA (SPA_ABORT_HEAP). */
void spa_free(void *p);

/* Bytes of the heap never handed out so far (free lists not counted). */
size_t spa_heap_left(void);

#endif /* SPA_HEAP_H */
