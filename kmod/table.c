// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which SPAs there are, by number and by name.
 *
 * Owns the table and its lock.  An SPA stands in it from spa-begin until spa.c
 * forgets it, and the table's reference to the record goes with it.
 */
#include <linux/gfp.h>
#include <linux/lockdep.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include "record.h"
#include "table.h"

DEFINE_MUTEX(uls_spa_lock);	/* what it guards is said in table.h */

static DEFINE_XARRAY_ALLOC1(spas);	/* uls_spa_lock */
static u32 spas_next;			/* uls_spa_lock */

struct uls_spa *uls_table_find(u32 id)
{
	lockdep_assert_held(&uls_spa_lock);
	return xa_load(&spas, id);
}

/* The newest of that name: ids grow. */
struct uls_spa *uls_table_find_name(const char *name)
{
	struct uls_spa *spa, *found = NULL;
	unsigned long id;

	lockdep_assert_held(&uls_spa_lock);
	xa_for_each(&spas, id, spa)
		if (!strcmp(spa->config.name, name))
			found = spa;
	return found;
}

/* The SPA with the smallest number from *id on, which it is set to. */
struct uls_spa *uls_table_next(unsigned long *id)
{
	lockdep_assert_held(&uls_spa_lock);
	return xa_find(&spas, id, ULONG_MAX, XA_PRESENT);
}

/* Gives the SPA its number. */
int uls_table_add(struct uls_spa *spa)
{
	lockdep_assert_held(&uls_spa_lock);
	return xa_alloc_cyclic(&spas, &spa->id, spa, xa_limit_31b, &spas_next,
			       GFP_KERNEL);
}

void uls_table_remove(const struct uls_spa *spa)
{
	lockdep_assert_held(&uls_spa_lock);
	xa_erase(&spas, spa->id);
}

/* It is empty. */
void uls_table_exit(void)
{
	xa_destroy(&spas);
}
