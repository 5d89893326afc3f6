/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spa/table.h - a hash table: open addressing, linear probing, entries stored
 * in the table itself, so that a hit costs one cache line.
 *
 * An entry is any structure whose first member is `u64 key`; the key 0 marks
 * an empty place and cannot be stored. Entry sizes are rounded up to a power
 * of two. Insert and delete move entries: pointers to entries hold until the
 * next insert or delete.
 *
 *	struct peer { u64 key; u64 seen; };
 *	struct spa_table t;
 *
 *	if (spa_table_init(&t, sizeof(struct peer), 1024, spa_clock()))
 *		return -SPA_ENOMEM;
 *	struct peer *p = spa_table_insert(&t, key);	// found or made, rest zeroed
 */
#ifndef SPA_TABLE_H
#define SPA_TABLE_H

#include "spa/base.h"

struct spa_table {
	u8 *slots;
	u64 seed;
	u64 mask;	/* of byte offsets: (places - 1) * entry size */
	u32 used;
	u8 shift;	/* hash >> shift & mask: byte offset of the home place */
	u8 log2size;	/* of an entry */
};

/*
 * Room for `entries` entries before the first growth. A seed that senders of
 * traffic do not know keeps them from choosing colliding keys. 0, -SPA_EINVAL
 * (entry too small or table too large) or -SPA_ENOMEM.
 */
int spa_table_init(struct spa_table *t, size_t entry_size, u32 entries, u64 seed);
void spa_table_destroy(struct spa_table *t);

/* The entry of the key, made if need be (everything but the key zero). NULL: no memory, or key 0. */
void *spa_table_insert(struct spa_table *t, u64 key);

/* True when the key was there. */
bool spa_table_delete(struct spa_table *t, u64 key);

/* All entries, in no order: for (e = NULL; (e = spa_table_next(t, e));). No insert or delete meanwhile. */
void *spa_table_next(const struct spa_table *t, const void *entry);

static inline u64 spa_hash64(u64 key, u64 seed)
{
	/* Multiply-xorshift twice: linear probing needs high bits that depend on every key bit. */
	key ^= seed;
	key *= 0x9e3779b97f4a7c15ULL;
	key ^= key >> 32;
	return key * 0xd6e8feb86659fd93ULL;
}

/* Where the search for a key begins: to prefetch, one batch ahead of the lookup. */
static inline void *spa_table_home(const struct spa_table *t, u64 key)
{
	return t->slots + (spa_hash64(key, t->seed) >> t->shift & t->mask);
}

/* As spa_table_find(), from a known home place. */
static inline void *spa_table_find_from(const struct spa_table *t, void *home, u64 key)
{
	u8 *e = home;

	for (;;) {
		u64 k = *(const u64 *)(const void *)e;

		if (spa_likely(k == key))
			return e;
		if (!k)
			return NULL;
		e = t->slots + (((u64)(e - t->slots) + (1ULL << t->log2size)) & t->mask);
	}
}

/* NULL when absent. The key must not be 0. */
static inline void *spa_table_find(const struct spa_table *t, u64 key)
{
	return spa_table_find_from(t, spa_table_home(t, key), key);
}

#endif /* SPA_TABLE_H */
