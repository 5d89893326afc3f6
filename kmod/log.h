/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading an SPA's log.
 */
#ifndef _ULS_LOG_H
#define _ULS_LOG_H

#include <linux/types.h>

struct uls_spa;

size_t uls_log_read(const struct uls_spa *spa, u64 *cursor, u64 *lost,
		    void *to, size_t max);

#endif /* _ULS_LOG_H */
