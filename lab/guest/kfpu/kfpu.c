// SPDX-License-Identifier: GPL-2.0-only
/*
 * kfpu.ko: a kernel user of the FPU, for tests.
 *
 * "echo MS >/sys/module/kfpu/parameters/run" has the writer's CPU hold values
 * in XMM registers for that many milliseconds, as code between
 * kernel_fpu_begin() and kernel_fpu_end() does that encrypts or sums up; "bad"
 * is how often they were not there any more when looked at, "rounds" how often
 * they were looked at.  Interrupts and their softirqs come meanwhile.
 */
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <asm/fpu/api.h>

static unsigned long bad, rounds;
module_param(bad, ulong, 0444);
MODULE_PARM_DESC(bad, "looks that found other values");
module_param(rounds, ulong, 0444);
MODULE_PARM_DESC(rounds, "looks at the registers");

/* The compiler keeps out of the FPU: nobody has to be told what is clobbered. */
static void fill(const u64 *v)
{
	asm volatile("movdqu %0, %%xmm0\n\t"
		     "movdqu %0, %%xmm5\n\t"
		     "movdqu %0, %%xmm15" : : "m" (*(const u64 (*)[2])v));
}

static bool same(const u64 *v)
{
	u64 now[3][2];

	asm volatile("movdqu %%xmm0, %0\n\t"
		     "movdqu %%xmm5, %1\n\t"
		     "movdqu %%xmm15, %2"
		     : "=m" (now[0]), "=m" (now[1]), "=m" (now[2]));
	return !memcmp(now[0], v, 16) && !memcmp(now[1], v, 16) &&
	       !memcmp(now[2], v, 16);
}

/* A millisecond at a time: preemption is off meanwhile. */
static void hold(u64 seed)
{
	const u64 v[2] = { seed * 0x9e3779b97f4a7c15, ~seed };
	u64 end = ktime_get_ns() + NSEC_PER_MSEC;

	kernel_fpu_begin();
	fill(v);
	while (ktime_get_ns() < end) {
		rounds++;
		if (same(v))
			continue;
		bad++;
		fill(v);
	}
	kernel_fpu_end();
}

static int run(const char *arg, const struct kernel_param *param)
{
	unsigned int ms, i;
	int err = kstrtouint(arg, 0, &ms);

	if (err)
		return err;
	for (i = 0; i < ms; i++) {
		hold(i + 1);
		cond_resched();
	}
	return 0;
}

static const struct kernel_param_ops run_ops = { .set = run };
module_param_cb(run, &run_ops, NULL, 0200);
MODULE_PARM_DESC(run, "hold registers for so many milliseconds");

MODULE_DESCRIPTION("Test: a kernel user of the FPU");
MODULE_LICENSE("GPL");
