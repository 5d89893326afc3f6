/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading and checking spa-begin.
 */
#ifndef _ULS_LOAD_H
#define _ULS_LOAD_H

struct genl_info;
struct uls_spa_config;

int uls_load_config(struct genl_info *info, struct uls_spa_config *config);

#endif /* _ULS_LOAD_H */
