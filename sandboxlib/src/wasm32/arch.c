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

/*
 * What the notes of an ELF file tell a loader stands in memory here, and this
 * table says where: no section of a WebAssembly module would keep it together.
 */
struct about {
	const struct spa_note_manifest *manifest;
	const struct spa_note_param *params;
	const struct spa_note_counter *lib_counters, *counters;
	u32 param_count, lib_counter_count, counter_count;
};
_Static_assert(sizeof(struct about) == 28, "seven words of 32 bits");

__attribute__((export_name("about"), visibility("default")))
const struct about *uls_about(void);

const struct about *uls_about(void)
{
	static struct about a;

	a = (struct about){
		.manifest = &spa_manifest, .params = spa_param_notes,
		.lib_counters = spa_lib_counter_notes, .counters = spa_counter_notes,
		.param_count = spa_param_count, .lib_counter_count = SPA_LIB_COUNTER_END,
		.counter_count = spa_counter_count,
	};
	return &a;
}

__attribute__((export_name("upcall"), visibility("default")))
s64 uls_upcall(u64 reason, u64 arg, u64 info);

s64 uls_upcall(u64 reason, u64 arg, u64 info)
{
	return spa_upcall(reason, arg, spa_ptr(info));
}
