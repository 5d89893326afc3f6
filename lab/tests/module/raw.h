/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SPAs made of a few instructions, loaded without any library.
 */
#ifndef _ULS_TESTS_RAW_H
#define _ULS_TESTS_RAW_H

#include <stddef.h>
#include <stdint.h>

#include "nl.h"

#define RAW_TEXT	0x00100000ULL	/* one page r-x, the entry point at its start */
#define RAW_DATA	0x00101000ULL	/* one page rw- */
#define RAW_STACK	4096

struct raw {
	const char *name;
	const char *code, *end;
	const char *fault;	/* the instruction expected to fault */
	uint32_t flags, tick_us;
	uint64_t heap, budget_ns;
	uint32_t replace_id;
};

struct raw_spa {
	uint32_t id;
	uint64_t base;
};

/* Requests as they should be, for those who then spoil them. */
void raw_begin(struct msg *m, const struct raw *raw);
void raw_segment(struct msg *m, uint64_t offset, uint64_t size, uint32_t prot);
void raw_commit(struct msg *m, uint32_t id, const struct raw *raw);

/* All in one; a positive errno on failure. */
int raw_load(struct nl *nl, const struct raw *raw, struct raw_spa *spa);
int raw_start(struct nl *nl, const struct raw *raw, struct raw_spa *spa);
int raw_bench(struct nl *nl, uint32_t id, uint32_t count, uint32_t batch);
int raw_delete(struct nl *nl, uint32_t id);
int raw_control(struct nl *nl, uint32_t id, uint64_t value);
int raw_get(struct nl *nl, uint32_t id);
int raw_stats(struct nl *nl, uint32_t id);

#endif /* _ULS_TESTS_RAW_H */
