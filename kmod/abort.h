/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Taking an SPA out of service.
 */
#ifndef _ULS_ABORT_H
#define _ULS_ABORT_H

struct uls_abort;
struct uls_spa;

void uls_spa_abort(struct uls_spa *spa, const struct uls_abort *why);
int uls_abort_init(void);
void uls_abort_exit(void);

#endif /* _ULS_ABORT_H */
