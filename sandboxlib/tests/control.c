// SPDX-License-Identifier: Apache-2.0
#include "upcall.h"

#include <string.h>

struct outcome control(struct slice *s, const void *msg, uint16_t type, uint16_t len)
{
	struct uls_msg *m = (void *)(s->base + ULS_OFF_MBOX);

	memset(m, 0xee, ULS_MBOX_SIZE);
	memcpy(m, msg, len);
	m->type = type;
	m->len = len;
	return upcall(s, ULS_UP_CONTROL, len);
}
