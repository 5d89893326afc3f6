/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A port: the AF_XDP socket an SPA serves, and the lock its upcalls run under.
 * It outlives the SPA when another one takes over.
 */
#ifndef _ULS_PORT_H
#define _ULS_PORT_H

#include <linux/etherdevice.h>
#include <linux/hrtimer.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include <net/xsk_upcall.h>

#include "region.h"

struct netlink_ext_ack;
struct uls_info;
struct uls_spa;

struct uls_port {
	/*
	 * Held over every upcall of the port's SPA, so that they never
	 * overlap; taken with bottom halves off, interrupts stay on.  Inside it
	 * only a workqueue's own lock is taken, by uls_spa_abort().  Receiving
	 * never waits for it: see uls_port_drain().
	 */
	raw_spinlock_t lock;
	struct uls_spa *spa;	/* lock: the live one; NULL: no upcalls */
	struct file *file;	/* lock: NULL without a socket */
	bool kick;		/* lock: the driver should look at its rings */
	u32 rx_seen, tx_seen;	/* lock: ring producers at the last look */
	u64 rest_ns;		/* lock: see uls_upcall_rest() */

	unsigned int pending;	/* RX upcall wanted; set by anyone */
	struct hrtimer retry;	/* makes up for RX upcalls that were not made */
	struct work_struct elsewhere; /* the same, on any CPU */
	bool gone;		/* set under RTNL: the device went away */
	refcount_t refs;	/* SPAs that refer to it */

	u32 *rx_producer, *tx_producer;	/* the SPA may write them too */
	struct uls_area pool;
	struct uls_area ring[XSK_UPCALL_RINGS];	/* pages are the socket's */
	struct xsk_upcall up;
	struct xsk_upcall_info info;
	u32 ifindex, mtu;
	u8 mac[ETH_ALEN];
};

struct uls_port *uls_port_create(void);
int uls_port_attach(struct uls_port *port, u32 fd, u64 runtime_ns,
		    u64 period_ns, struct netlink_ext_ack *extack);
void uls_port_reserve(struct uls_port *port, u64 runtime_ns, u64 period_ns);
void uls_port_detach(struct uls_port *port);
void uls_port_put(struct uls_port *port);
bool uls_port_has_frames(const struct uls_port *port);
int uls_port_map(const struct uls_port *port, struct uls_sandbox *sandbox);
void uls_port_describe(const struct uls_port *port, struct uls_info *info);

void uls_port_lock(struct uls_port *port) __acquires(&port->lock);
void uls_port_unlock(struct uls_port *port) __releases(&port->lock);
#define uls_port_trylock(port) raw_spin_trylock(&(port)->lock)
void uls_port_unlock_softirq(struct uls_port *port) __releases(&port->lock);
void uls_port_poll(struct uls_port *port);

u32 uls_port_rx_frames(struct uls_port *port);
u32 uls_port_tx_frames(struct uls_port *port);

#endif /* _ULS_PORT_H */
