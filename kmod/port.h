/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ports: their life, their lock, and the upcalls a NIC asks for.
 */
#ifndef _ULS_PORT_H
#define _ULS_PORT_H

#include <linux/spinlock.h>
#include <linux/types.h>

#include "record.h"

struct netlink_ext_ack;
struct uls_info;

struct uls_port *uls_port_create(void);
int uls_port_attach(struct uls_port *port, u32 fd,
		    struct netlink_ext_ack *extack);
void uls_port_detach(struct uls_port *port);
void uls_port_put(struct uls_port *port);
bool uls_port_has_frames(const struct uls_port *port);
int uls_port_map(const struct uls_port *port, struct uls_sandbox *sandbox);
void uls_port_describe(const struct uls_port *port, struct uls_info *info);

void uls_port_lock(struct uls_port *port) __acquires(&port->lock);
void uls_port_unlock(struct uls_port *port) __releases(&port->lock);
#define uls_port_trylock(port) raw_spin_trylock(&(port)->lock)
void uls_port_unlock_softirq(struct uls_port *port) __releases(&port->lock);
int uls_port_request(struct uls_port *port, u64 *start)
	__acquires(&port->lock);
void uls_port_request_end(struct uls_port *port, u64 start)
	__releases(&port->lock);

#endif /* _ULS_PORT_H */
