/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of SPAs.
 */
#ifndef _ULS_TABLE_H
#define _ULS_TABLE_H

#include <linux/mutex.h>
#include <linux/types.h>

struct uls_spa;

/*
 * Lock order: uls_spa_lock, RTNL, an SPA's control mutex, a port's lock.
 *
 * uls_spa_lock guards the table of SPAs and every change of their state but
 * one: whoever holds the port's lock may turn live into aborted.  It may be
 * held while an SPA is torn down, which waits for RCU.
 */
extern struct mutex uls_spa_lock;

struct uls_spa *uls_table_find(u32 id);
struct uls_spa *uls_table_find_name(const char *name);
struct uls_spa *uls_table_next(unsigned long *id);
int uls_table_add(struct uls_spa *spa);
void uls_table_remove(const struct uls_spa *spa);
void uls_table_exit(void);

#endif /* _ULS_TABLE_H */
