// SPDX-License-Identifier: Apache-2.0
/* Upcalls into a library linked with the test (upcall.h). */
#include <setjmp.h>

#include "../src/lib.h"
#include "upcall.h"

uint64_t fake_now = 1000000;

static jmp_buf out;
static u64 abort_code;

u64 spa_sys_clock(void) { return fake_now; }
u64 spa_sys_budget(void) { return 50000; }
u64 spa_sys_cpu(void) { return 0; }

_Noreturn void spa_sys_abort(u64 code)
{
	abort_code = code;
	longjmp(out, 1);
}

struct outcome upcall(struct slice *s, uint64_t reason, uint64_t arg)
{
	struct outcome o = { .bad_service = -1 };

	if (setjmp(out)) {
		o = (struct outcome){ .aborted = true, .code = abort_code, .bad_service = -1 };
		return o;
	}
	o.result = spa_upcall(reason, arg, s->info);
	return o;
}
