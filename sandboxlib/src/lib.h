/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib.h - what the library's own files share.
 */
#ifndef SPA_LIB_H
#define SPA_LIB_H

#include "spa.h"

/*
 * The architecture: services of the kernel (enum uls_service). In x86_64/ by
 * `syscall`, in wasm32/ by imports of the host, in tests/ by the harness.
 */
u64 spa_sys_clock(void);
u64 spa_sys_budget(void);
u64 spa_sys_cpu(void);
_Noreturn void spa_sys_abort(u64 code);

/* The upcall behind the entry code; the result goes to the RETURN service. */
s64 spa_upcall(u64 reason, u64 arg, const struct uls_info *info);

/* port.c: rings, pool and frames. */
int spa_port_init(const struct uls_info *info);
void spa_port_begin(void);	/* reads every shared index, once */
void spa_port_end(void);	/* publishes what is to be sent, fills the fill ring */
void spa_port_rx(void);

/* heap.c, log.c, timer.c */
void spa_heap_init(void *heap, size_t len);
void spa_log_init(struct uls_log *log, u64 len);
bool spa_timers_any(void);
void spa_now_set(u64 now);	/* 0: not known yet in this upcall */

/* param.c */
int spa_param_set(const struct uls_msg_param *m);

/* A pointer from an address the kernel wrote (64 bits also for wasm32). */
static inline void *spa_ptr(u64 addr) { return (void *)(uintptr_t)addr; }

#endif /* SPA_LIB_H */
