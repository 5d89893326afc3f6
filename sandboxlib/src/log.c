// SPDX-License-Identifier: Apache-2.0
/*
 * The log ring (spa/log.h; layout: struct uls_log in uapi/uls_shm.h).
 */
#include "lib.h"

static struct uls_log *ring;
static u32 size;

void spa_log_init(struct uls_log *log, u64 len)
{
	ring = NULL;
	if (!log || len <= sizeof(*log))
		return;
	size = log->size;
	/* The kernel sets it; a size past the mapping would be a fault at the first wrap. */
	if (!size || size > len - sizeof(*log))
		return;
	ring = log;
}

void spa_log(const char *fmt, ...)
{
	char line[SPA_LOG_LINE];
	u64 head, at;
	va_list ap;
	u32 n, i;

	if (!ring)
		return;
	va_start(ap, fmt);
	n = (u32)spa_vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n > sizeof(line) - 1)
		n = sizeof(line) - 1;
	/* The NUL's byte is free for the newline. */
	if (!n || line[n - 1] != '\n')
		line[n++] = '\n';
	head = ring->head;
	at = head % size;
	for (i = 0; i < n; i++) {
		ring->data[at++] = (u8)line[i];
		if (at == size)
			at = 0;
	}
	/* The reader takes head with acquire: the bytes must be there first. */
	__atomic_store_n(&ring->head, head + n, __ATOMIC_RELEASE);
}
