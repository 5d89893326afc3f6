// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading the log an SPA writes, while it writes.
 *
 * Owns nothing.  Every word of the log is the SPA's: head may jump, the size is
 * therefore never read back from the page.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "log.h"
#include "record.h"

#define LOG_DATA_SIZE	(ULS_LOG_SIZE - PAGE_SIZE)

static u64 log_head(const struct uls_spa *spa)
{
	const struct uls_log *log = uls_area_address(&spa->log, 0);

	/* Pairs with the SPA's release: it writes data, then head. */
	return smp_load_acquire(&log->head);
}

/**
 * uls_log_read() - copy log bytes
 * @spa: has its log pages, so is not half made
 * @cursor: number of the first byte wanted; moved behind the last one copied
 * @lost: number of bytes skipped because they were overwritten
 * @to: where to
 * @max: at most so many bytes
 *
 * A cursor beyond the head, as after a restart, starts again with what the
 * ring holds.
 *
 * Return: number of bytes copied.
 */
size_t uls_log_read(const struct uls_spa *spa, u64 *cursor, u64 *lost,
		    void *to, size_t max)
{
	u64 head = log_head(spa), at = *cursor, oldest;
	size_t len, done = 0;

	*lost = 0;
	oldest = head > LOG_DATA_SIZE ? head - LOG_DATA_SIZE : 0;
	if (at > head)
		at = oldest;
	if (at < oldest) {
		*lost = oldest - at;
		at = oldest;
	}
	len = min_t(u64, head - at, max);
	while (done < len) {
		u32 pos;
		size_t n;

		div_u64_rem(at + done, LOG_DATA_SIZE, &pos);
		n = min_t(size_t, len - done, PAGE_SIZE - offset_in_page(pos));
		memcpy(to + done, uls_area_address(&spa->log, PAGE_SIZE + pos),
		       n);
		done += n;
	}

	/* What was overwritten during the copy is lost, not data. */
	head = log_head(spa);
	oldest = head > LOG_DATA_SIZE ? head - LOG_DATA_SIZE : 0;
	if (oldest > at) {
		size_t gone = min_t(u64, oldest - at, len);

		memmove(to, to + gone, len - gone);
		*lost += gone;
		at += gone;
		len -= gone;
	}
	*cursor = at + len;
	return len;
}
