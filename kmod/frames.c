// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counting frames by the producers of a port's rings.
 *
 * Owns nothing: rx_seen and tx_seen, which it moves on, are the port's, and
 * whoever calls holds the port's lock.  The NIC's driver and the SPA write the
 * producers.
 */
#include <linux/compiler.h>

#include "frames.h"
#include "record.h"

/* Frames new since the last look; a wild producer of an SPA counts as none. */
static u32 producer_delta(const u32 *producer, u32 *seen, u32 entries)
{
	u32 now, delta;

	if (!producer)
		return 0;
	now = READ_ONCE(*producer);
	delta = now - *seen;
	*seen = now;
	return delta <= entries ? delta : 0;
}

u32 uls_port_rx_frames(struct uls_port *port)
{
	return producer_delta(port->rx_producer, &port->rx_seen,
			      port->info.ring[XSK_UPCALL_RX].entries);
}

u32 uls_port_tx_frames(struct uls_port *port)
{
	return producer_delta(port->tx_producer, &port->tx_seen,
			      port->info.ring[XSK_UPCALL_TX].entries);
}
