/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What SPAs and loads in progress hold: all that the module takes for them is
 * taken and given back here, and counted, so that it can be told exactly
 * whether anything was left behind.  Nothing of this is on the path of a frame.
 */
#ifndef _ULS_MEMORY_H
#define _ULS_MEMORY_H

#include <linux/percpu.h>
#include <linux/types.h>

struct page;
struct xsk_upcall;
struct xsk_upcall_info;

enum uls_held {
	ULS_HELD_PAGES,		/* of images, heaps, stacks, frame pools ... */
	ULS_HELD_ALLOCATIONS,	/* records, lists of pages, per-CPU counters */
	ULS_HELD_SOCKETS,	/* references to AF_XDP sockets */
	ULS_HELD_KINDS
};

unsigned long uls_held(enum uls_held kind);

struct page *uls_page_alloc(void);
void uls_page_free(struct page *page);

/* Zeroed; NULL without memory. */
void *uls_alloc(size_t nr, size_t size);
void uls_free(const void *p);
void __percpu *uls_percpu_alloc(size_t size, size_t align);
void uls_percpu_free(void __percpu *p);

int uls_socket_attach(unsigned int fd, struct xsk_upcall *up,
		      struct xsk_upcall_info *info);
void uls_socket_detach(struct xsk_upcall *up);

#endif /* _ULS_MEMORY_H */
