// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's services as imports of a WebAssembly host, and the upcall as an
 * export. Addresses in struct uls_info are offsets into linear memory.
 */
#include "../lib.h"

#define IMPORT(name) __attribute__((import_module("uls"), import_name(name)))

IMPORT("clock") u64 uls_clock(void);
IMPORT("budget") u64 uls_budget(void);
IMPORT("cpu") u64 uls_cpu(void);
IMPORT("abort") _Noreturn void uls_abort(u64 code);

u64 spa_sys_clock(void) { return uls_clock(); }
u64 spa_sys_budget(void) { return uls_budget(); }
u64 spa_sys_cpu(void) { return uls_cpu(); }
_Noreturn void spa_sys_abort(u64 code) { uls_abort(code); }

__attribute__((export_name("upcall"), visibility("default")))
s64 uls_upcall(u64 reason, u64 arg, u64 info);

s64 uls_upcall(u64 reason, u64 arg, u64 info)
{
	return spa_upcall(reason, arg, spa_ptr(info));
}
