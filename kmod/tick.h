/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TICK upcalls.
 */
#ifndef _ULS_TICK_H
#define _ULS_TICK_H

struct uls_spa;

void uls_tick_init(struct uls_spa *spa);
void uls_tick_start(struct uls_spa *spa);
void uls_tick_stop(struct uls_spa *spa);
void uls_tick_setup(void);
void uls_tick_exit(void);

#endif /* _ULS_TICK_H */
