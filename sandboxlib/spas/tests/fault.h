/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.h - what the SPAs of this folder have in common. Each does one thing
 * an SPA must not do, or must not be able to; the file's name is the case.
 *
 * When: the parameter `when` is the reason of the upcall that does it (enum
 * uls_reason): 0 INIT, 1 RX (the default), 2 TICK, 3 CONTROL, 4 FINI; 255
 * never. In CONTROL it is done at any message but a parameter. Until then the
 * SPA sends every frame back as it came.
 *
 * `arg` is an address or a number some of the cases take.
 *
 * A case that is not stopped counts in `survived`: a test can see that the
 * fault did not happen rather than wait for an event.
 *
 * Inline assembly is right here: these are tests of one architecture, not SPAs
 * to learn from.
 */
#ifndef FAULT_H
#define FAULT_H

#include "spa.h"

#ifndef FAULT_WHEN
#define FAULT_WHEN ULS_UP_RX
#endif
#ifndef FAULT_ARG
#define FAULT_ARG 0
#endif

#define PARAMS(P)							\
	P(U64, when, FAULT_WHEN, "reason of the upcall that does it")	\
	P(U64, arg, FAULT_ARG, "address or number, where the case takes one")
#define COUNTERS(C) C(survived) C(ticks)

#define FAULT(name_)						\
	SPA_MANIFEST(name_, "1.0", .tick_us = 10000);		\
	SPA_PARAMS(PARAMS);					\
	SPA_COUNTERS(COUNTERS);					\
								\
	static void fault(void);				\
								\
	static void maybe(u64 reason)				\
	{							\
		if (SPA_PARAM(when) != reason)			\
			return;					\
		fault();					\
		SPA_COUNT(survived, 1);				\
	}							\
								\
	int spa_init(void)					\
	{							\
		maybe(ULS_UP_INIT);				\
		return 0;					\
	}							\
								\
	void spa_rx(struct spa_batch *b)			\
	{							\
		u32 i;						\
								\
		maybe(ULS_UP_RX);				\
		for (i = 0; i < b->n; i++)			\
			b->f[i].verdict = SPA_TX;		\
	}							\
								\
	void spa_tick(u64 now)					\
	{							\
		(void)now;					\
		SPA_COUNT(ticks, 1);				\
		maybe(ULS_UP_TICK);				\
	}							\
								\
	int spa_control(const struct uls_msg *msg)		\
	{							\
		(void)msg;					\
		maybe(ULS_UP_CONTROL);				\
		return 0;					\
	}							\
								\
	void spa_fini(void) { maybe(ULS_UP_FINI); }		\
								\
	static __attribute__((noinline)) void fault(void)

/* Memory at an address the compiler knows nothing of. */
static inline SPA_UNUSED u64 peek(u64 addr)
{
#ifdef __wasm__
	return *(volatile u64 *)(uintptr_t)addr;
#else
	u64 v;

	__asm__ volatile("mov (%1), %0" : "=r"(v) : "r"(addr) : "memory");
	return v;
#endif
}

static inline SPA_UNUSED void poke(u64 addr, u64 v)
{
#ifdef __wasm__
	*(volatile u64 *)(uintptr_t)addr = v;
#else
	__asm__ volatile("mov %0, (%1)" : : "r"(v), "r"(addr) : "memory");
#endif
}

static inline SPA_UNUSED void pause_cpu(void)
{
#ifndef __wasm__
	__asm__ volatile("pause");
#else
	__asm__ volatile("");
#endif
}

#endif /* FAULT_H */
