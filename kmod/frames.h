/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How many frames went through a port's rings.
 */
#ifndef _ULS_FRAMES_H
#define _ULS_FRAMES_H

#include <linux/types.h>

struct uls_port;

u32 uls_port_rx_frames(struct uls_port *port);
u32 uls_port_tx_frames(struct uls_port *port);

#endif /* _ULS_FRAMES_H */
