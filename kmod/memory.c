// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of SPAs, taken, given back and counted.
 *
 * Owns the counts; what was taken belongs to whoever took it.
 *
 * Page tables are not here: they are the kernel's own and go with a sandbox,
 * which is counted as a slice.
 */
#include <linux/atomic.h>
#include <linux/file.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/slab.h>
#include <net/xsk_upcall.h>

#include "memory.h"

static atomic_long_t held[ULS_HELD_KINDS];

unsigned long uls_held(enum uls_held kind)
{
	return atomic_long_read(&held[kind]);
}

/* A zeroed page, charged to the caller's memory cgroup, or NULL. */
struct page *uls_page_alloc(void)
{
	struct page *page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO |
				       __GFP_NOWARN | __GFP_RETRY_MAYFAIL);

	if (page)
		atomic_long_inc(&held[ULS_HELD_PAGES]);
	return page;
}

/**
 * uls_page_free() - give a page back
 * @page: mapped nowhere any more
 *
 * Each mapping refers to the page.  One that was forgotten keeps it from going
 * away, and it goes on counting.
 */
void uls_page_free(struct page *page)
{
	if (page_ref_count(page) == 1)
		atomic_long_dec(&held[ULS_HELD_PAGES]);
	__free_page(page);
}

void *uls_alloc(size_t nr, size_t size)
{
	void *p = kvcalloc(nr, size, GFP_KERNEL_ACCOUNT);

	if (p)
		atomic_long_inc(&held[ULS_HELD_ALLOCATIONS]);
	return p;
}

void uls_free(const void *p)
{
	if (p)
		atomic_long_dec(&held[ULS_HELD_ALLOCATIONS]);
	kvfree(p);
}

void __percpu *uls_percpu_alloc(size_t size, size_t align)
{
	void __percpu *p = __alloc_percpu_gfp(size, align, GFP_KERNEL_ACCOUNT);

	if (p)
		atomic_long_inc(&held[ULS_HELD_ALLOCATIONS]);
	return p;
}

void uls_percpu_free(void __percpu *p)
{
	if (p)
		atomic_long_dec(&held[ULS_HELD_ALLOCATIONS]);
	free_percpu(p);
}

/**
 * uls_socket_attach() - take over a socket, which stays until it is detached
 * @fd: in the caller's file table; may be closed afterwards
 * @up: see xsk_upcall_attach()
 * @info: see there
 *
 * Return: 0, -EBADF if there is no such file, or what xsk_upcall_attach()
 * returns.
 */
int uls_socket_attach(unsigned int fd, struct xsk_upcall *up,
		      struct xsk_upcall_info *info)
{
	struct file *file = fget(fd);
	int err;

	if (!file)
		return -EBADF;
	err = xsk_upcall_attach(file, up, info);
	if (!err)
		atomic_long_inc(&held[ULS_HELD_SOCKETS]);
	fput(file);
	return err;
}

void uls_socket_detach(struct xsk_upcall *up)
{
	xsk_upcall_detach(up);
	atomic_long_dec(&held[ULS_HELD_SOCKETS]);
}
