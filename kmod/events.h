/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Notifications to the multicast group "events".
 */
#ifndef _ULS_EVENTS_H
#define _ULS_EVENTS_H

#include <linux/types.h>

struct uls_spa;

void uls_event_send(u8 cmd, const struct uls_spa *spa, u32 replaced);
void uls_events_stop(void);

#endif /* _ULS_EVENTS_H */
