// SPDX-License-Identifier: Apache-2.0
/*
 * The hash table (spa/table.h): insert, delete and growth. A place's key is
 * never moved past an empty place, so a search may stop at the first one;
 * delete closes gaps by moving entries back (no tombstones).
 */
#include "lib.h"

#define MIN_PLACES 8u
#define MAX_PLACES (1u << 30)

static size_t entry_size_of(const struct spa_table *t)
{
	return (size_t)1 << t->log2size;
}

static u32 last_place(const struct spa_table *t)
{
	return (u32)(t->mask >> t->log2size);
}

static u8 *place(const struct spa_table *t, u32 i)
{
	return t->slots + ((size_t)i << t->log2size);
}

static u64 *key_at(const struct spa_table *t, u32 i)
{
	return (void *)place(t, i);
}

static u32 home(const struct spa_table *t, u64 key)
{
	return (u32)((size_t)((u8 *)spa_table_home(t, key) - t->slots) >> t->log2size);
}

static u32 next_place(const struct spa_table *t, u32 i)
{
	return (i + 1) & last_place(t);
}

static int alloc_places(struct spa_table *t, u32 places)
{
	t->slots = spa_calloc(places, entry_size_of(t));
	if (!t->slots)
		return -SPA_ENOMEM;
	t->mask = (u64)(places - 1) << t->log2size;
	t->shift = (u8)(64 - __builtin_ctz(places) - t->log2size);
	return 0;
}

int spa_table_init(struct spa_table *t, size_t entry_size, u32 entries, u64 seed)
{
	u32 places = MIN_PLACES;

	*t = (struct spa_table){ .seed = seed };
	if (entry_size < sizeof(u64) || entry_size > 1u << 20 || entries > MAX_PLACES / 4 * 3)
		return -SPA_EINVAL;
	while (entry_size_of(t) < entry_size)
		t->log2size++;
	/* At most three quarters full. */
	while (places / 4 * 3 < entries)
		places *= 2;
	return alloc_places(t, places);
}

void spa_table_destroy(struct spa_table *t)
{
	spa_free(t->slots);
	*t = (struct spa_table){ 0 };
}

/* The place of the key, or the empty one where it belongs. */
static u32 probe(const struct spa_table *t, u64 key)
{
	u32 i = home(t, key);
	u64 k;

	while ((k = *key_at(t, i)) && k != key)
		i = next_place(t, i);
	return i;
}

static int grow(struct spa_table *t)
{
	struct spa_table old = *t;
	u32 i, places = last_place(t) + 1;

	if (places >= MAX_PLACES || alloc_places(t, places * 2)) {
		*t = old;
		return -SPA_ENOMEM;
	}
	for (i = 0; i < places; i++)
		if (*key_at(&old, i))
			memcpy(place(t, probe(t, *key_at(&old, i))), place(&old, i),
			       entry_size_of(t));
	spa_free(old.slots);
	return 0;
}

void *spa_table_insert(struct spa_table *t, u64 key)
{
	u32 i;

	if (!key)
		return NULL;
	i = probe(t, key);
	if (*key_at(t, i))
		return place(t, i);
	if (t->used >= (last_place(t) + 1) / 4 * 3) {
		if (grow(t))
			return NULL;
		i = probe(t, key);
	}
	t->used++;
	*key_at(t, i) = key;
	return place(t, i);
}

bool spa_table_delete(struct spa_table *t, u64 key)
{
	u32 hole, i;

	if (!key)
		return false;
	hole = probe(t, key);
	if (!*key_at(t, hole))
		return false;
	/*
	 * An entry behind the hole may fill it unless its home lies behind the
	 * hole too: it would then stand before its home.
	 */
	for (i = next_place(t, hole); *key_at(t, i); i = next_place(t, i)) {
		u32 from_home = (i - home(t, *key_at(t, i))) & last_place(t);
		u32 from_hole = (i - hole) & last_place(t);

		if (from_home < from_hole)
			continue;
		memcpy(place(t, hole), place(t, i), entry_size_of(t));
		hole = i;
	}
	memset(place(t, hole), 0, entry_size_of(t));
	t->used--;
	return true;
}

void *spa_table_next(const struct spa_table *t, const void *entry)
{
	u32 i = entry ? (u32)((size_t)((const u8 *)entry - t->slots) >> t->log2size) + 1 : 0;

	for (; i <= last_place(t); i++)
		if (*key_at(t, i))
			return place(t, i);
	return NULL;
}
