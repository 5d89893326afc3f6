/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tap.h - test results as TAP (Test Anything Protocol) on stdout.
 *
 * The plan comes last ("1..N", from done()): a program that dies half-way has
 * none, and tests/run counts that as a failure.
 */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 2, 3))) static inline int ok(int good, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %d - ", good ? "" : "not ", ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	puts("");
	fflush(stdout);
	tap_failed += !good;
	return good;
}

/* Numbers that should be equal; both are shown when they are not. */
static inline int is(long long got, long long want, const char *what)
{
	if (ok(got == want, "%s", what))
		return 1;
	printf("#   got %lld (0x%llx), want %lld (0x%llx)\n", got, got, want, want);
	return 0;
}

static inline __attribute__((unused)) void skip(const char *what, const char *why)
{
	printf("ok %d - %s # SKIP %s\n", ++tap_count, what, why);
}

static inline int done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed ? 1 : 0;
}

/* A small generator of our own, so that a seed means the same everywhere (xorshift64*). */
static unsigned long long rng_state = 88172645463325252ULL;

static inline unsigned long long rnd(void)
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return rng_state * 2685821657736338717ULL;
}

static inline unsigned int below(unsigned int n) { return (unsigned int)(rnd() >> 33) % n; }

/* SEED=n in the environment; always printed, to run a failure again. */
static inline void seed_from_env(unsigned long long def)
{
	const char *s = getenv("SEED");

	rng_state = s ? strtoull(s, NULL, 0) : def;
	if (!rng_state)
		rng_state = 1;
	printf("# SEED=%llu\n", rng_state);
}

#endif /* TAP_H */
