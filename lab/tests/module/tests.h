/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ULS_TESTS_TESTS_H
#define _ULS_TESTS_TESTS_H

#include <linux/uls_netlink.h>

#include "nl.h"
#include "raw.h"

/*
 * With the largest budget: it is wall-clock time, of which an emulator on a
 * busy host loses milliseconds at once.
 */
#define CODE(n) .name = #n, .code = code_##n, .end = code_##n##_end, \
	.budget_ns = ULS_BUDGET_MAX_NS
#define DECLARE_CODE(n) extern const char code_##n[], code_##n##_end[]

DECLARE_CODE(good);
DECLARE_CODE(answer);
DECLARE_CODE(refuse);

/* What the module says it holds. */
struct held {
	uint64_t pages, allocations, sockets, slices;
};

struct held held_now(struct nl *nl);
/* Checks that it comes to that in a while; "when" is said in the result. */
void held_same(struct nl *nl, const struct held *before, const char *when);

void test_refuse(struct nl *nl);
void test_life(struct nl *nl);
void test_abort(struct nl *nl);
void test_harmless(struct nl *nl);
void test_contexts(struct nl *nl);
void test_account(struct nl *nl);
void test_leak(struct nl *nl);
void test_race(struct nl *nl);
void test_close(struct nl *nl);
void test_audience(struct nl *nl);

#endif /* _ULS_TESTS_TESTS_H */
