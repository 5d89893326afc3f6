/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that stand at a fixed place in a sandbox's slice.
 */
#ifndef _ULS_REGION_H
#define _ULS_REGION_H

#include <linux/types.h>
#include <linux/uls.h>

struct page;

struct uls_area {
	u64 offset;		/* from the base of the slice */
	unsigned long nr;	/* pages; 0: the area does not exist */
	unsigned int prot;	/* ULS_PROT_* */
	struct page **pages;
};

int uls_area_alloc(struct uls_area *area, u64 offset, u64 size,
		   unsigned int prot);
void uls_area_free(struct uls_area *area);
int uls_area_map(const struct uls_area *area, struct uls_sandbox *sandbox);
bool uls_area_contains(const struct uls_area *area, u64 offset, u64 len);
void uls_area_write(const struct uls_area *area, u64 offset, const void *from,
		    size_t len);

/* Kernel address of the area's byte at @at, for accesses within one page. */
void *uls_area_address(const struct uls_area *area, u64 at);

/* Where the stack of @cpu begins, to grow downwards, in the slice at @base. */
unsigned long uls_region_stack(unsigned long base, unsigned int cpu);

#endif /* _ULS_REGION_H */
