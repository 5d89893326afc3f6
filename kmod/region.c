// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a sandbox: allocation, filling and mapping of page arrays.
 *
 * The kernel reaches every page by the direct map, never by its address in
 * the region: an SPA cannot make the kernel fault.
 *
 * Owns nothing: an area, with its pages, belongs to the record it stands in.
 * The pages of a port's rings are the socket's.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/string.h>

#include "memory.h"
#include "region.h"
#include "uls_shm.h"

/**
 * uls_area_alloc() - allocate zeroed pages for a place in a slice
 * @area: to fill in; unchanged but for zeroes on error
 * @offset: from the base of the slice, a multiple of the page size
 * @size: bytes, a multiple of the page size; 0 gives an area without pages
 * @prot: ULS_PROT_*
 *
 * The pages are charged to the caller's memory cgroup.
 *
 * Return: 0, -ENOMEM, or -EINTR if the caller is being killed.
 */
int uls_area_alloc(struct uls_area *area, u64 offset, u64 size,
		   unsigned int prot)
{
	unsigned long nr = size >> PAGE_SHIFT;
	struct uls_area new = { .offset = offset, .prot = prot };

	*area = (struct uls_area){};
	if (!nr)
		return 0;
	new.pages = uls_alloc(nr, sizeof(*new.pages));
	if (!new.pages)
		return -ENOMEM;

	while (new.nr < nr) {
		struct page *page;

		if (fatal_signal_pending(current)) {
			uls_area_free(&new);
			return -EINTR;
		}
		page = uls_page_alloc();
		if (!page) {
			uls_area_free(&new);
			return -ENOMEM;
		}
		new.pages[new.nr++] = page;
		cond_resched();
	}
	*area = new;
	return 0;
}

/* It is mapped nowhere any more. */
void uls_area_free(struct uls_area *area)
{
	while (area->nr)
		uls_page_free(area->pages[--area->nr]);
	uls_free(area->pages);
	area->pages = NULL;
}

int uls_area_map(const struct uls_area *area, struct uls_sandbox *sandbox)
{
	if (!area->nr)
		return 0;
	return uls_sandbox_map(sandbox,
			       uls_sandbox_base(sandbox) + area->offset,
			       area->pages, area->nr, area->prot);
}

bool uls_area_contains(const struct uls_area *area, u64 offset, u64 len)
{
	u64 size = (u64)area->nr << PAGE_SHIFT;

	return offset >= area->offset && offset - area->offset <= size &&
	       len <= size - (offset - area->offset);
}

void *uls_area_address(const struct uls_area *area, u64 at)
{
	return page_address(area->pages[at >> PAGE_SHIFT]) + offset_in_page(at);
}

/* The caller has checked that the bytes lie in the area. */
void uls_area_write(const struct uls_area *area, u64 offset, const void *from,
		    size_t len)
{
	u64 at = offset - area->offset;

	while (len) {
		size_t n = min_t(size_t, len, PAGE_SIZE - offset_in_page(at));

		memcpy(uls_area_address(area, at), from, n);
		at += n;
		from += n;
		len -= n;
	}
}

unsigned long uls_region_stack(unsigned long base, unsigned int cpu)
{
	return base + ULS_OFF_STACKS + (cpu + 1UL) * ULS_STACK_STRIDE;
}
