/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Test Anything Protocol: one line for each check, the plan at the end.
 */
#ifndef _ULS_TESTS_TAP_H
#define _ULS_TESTS_TAP_H

#include <stdbool.h>

bool ok(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void bail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int tap_end(void);

#endif /* _ULS_TESTS_TAP_H */
