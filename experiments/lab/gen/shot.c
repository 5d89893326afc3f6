// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pace and stamps. A pinned hard hrtimer offers the frames: hard, because a soft
 * one would run behind the forwarder's own softirq and the stimulus would slow
 * down with the load. A shot that comes late offers everything that was due, so
 * the offered rate is the nominal one or the run shows why not (burst_max).
 *
 * QEMU's NIC model does not drop: when the receiving port has no descriptor it
 * holds up to 10,000 frames back, a buffer that no NIC has. So a frame for which
 * the ring has no room is dropped here, and counted, as the port's own
 * missed-packets counter would.
 */
#include <linux/delay.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#include <asm/nmi.h>
#include <asm/tsc.h>

#include "internal.h"

static struct gen *nmi_gen;

static int gen_nmi(unsigned int cmd, struct pt_regs *regs)
{
	struct gen *g = nmi_gen;
	u64 now = rdtsc();

	if (!g || !gen_nic_collect(g, now))
		return NMI_DONE;
	g->stats.stamps++;
	g->stamp_ticks = rdtsc() - now;
	g->stats.spent += g->stamp_ticks + g->cost.stamp_entry;
	return NMI_HANDLED;
}

/* Offers frames seq..seq+n-1 at once. */
static void offer(struct gen *g, u32 seq, u32 n)
{
	u32 room = min(gen_port_room(g), n), i;
	u64 now;

	if (room)
		gen_nic_send(g, seq, room);
	now = rdtsc();
	for (i = 0; i < room; i++)
		g->stamps[seq + i].sent = now;
	if (room)
		gen_nic_kick(g);
	if (!seq)
		g->stats.first = now;
	g->stats.last = now;
	g->stats.missed += n - room;
	g->stats.offered += n;
}

static enum hrtimer_restart gen_shot(struct hrtimer *timer)
{
	struct gen *g = container_of(timer, struct gen, timer);
	struct ulsgen_stats *s = &g->stats;
	u64 begin = rdtsc();
	ktime_t now = hrtimer_cb_get_time(timer);
	u64 late = ktime_to_ns(ktime_sub(now, hrtimer_get_expires(timer)));
	u64 due = (div64_u64(ktime_to_ns(ktime_sub(now, g->start)), g->run.period_ns) + 1) *
		  g->run.burst;
	u32 n = min_t(u64, due, g->run.count) - s->offered;

	s->shots++;
	s->late_max = max_t(u64, s->late_max, late);
	s->burst_max = max(s->burst_max, n);
	while (n) {
		u32 part = min_t(u32, n, GEN_TX_SLOTS - 1);

		offer(g, s->offered, part);
		n -= part;
	}
	hrtimer_forward(timer, now, ns_to_ktime(g->run.period_ns));
	if (s->offered == g->run.count) {
		WRITE_ONCE(s->running, 0);
		wake_up(&g->done);
	}
	g->shot_ticks = rdtsc() - begin;
	s->spent += g->shot_ticks + g->cost.shot_entry;
	return s->running ? HRTIMER_RESTART : HRTIMER_NORESTART;
}

int gen_shot_start(struct gen *g)
{
	struct ulsgen_stamp *stamps = vzalloc(array_size(g->run.count, sizeof(*stamps)));

	if (!stamps)
		return -ENOMEM;
	vfree(g->stamps);
	g->stamps = stamps;
	memset(&g->stats, 0, sizeof(g->stats));
	g->stats.running = 1;
	g->runs++;	/* a frame left over from the run before is a stranger */
	gen_nic_fill(g);
	gen_nic_nmi_on(g);
	g->start = ktime_add_us(ktime_get(), 100);
	hrtimer_start(&g->timer, g->start, HRTIMER_MODE_ABS_PINNED_HARD);
	return 0;
}

void gen_shot_stop(struct gen *g)
{
	hrtimer_cancel(&g->timer);
	gen_nic_nmi_off(g);
	WRITE_ONCE(g->stats.running, 0);
	wake_up(&g->done);
}

/* Calibration: a shot that offers nothing. */
static enum hrtimer_restart gen_blank(struct hrtimer *timer)
{
	struct gen *g = container_of(timer, struct gen, timer);
	u64 begin = rdtsc();

	g->stats.shots++;
	g->shot_ticks = rdtsc() - begin;
	return HRTIMER_NORESTART;
}

#define CALIBRATE	32

static int by_value(const void *a, const void *b)
{
	return *(const u32 *)a < *(const u32 *)b ? -1 : *(const u32 *)a > *(const u32 *)b;
}

/*
 * The largest gap between two readings of a loop that does nothing else is the
 * timer interrupt; what is left after the callback's own ticks is the price of
 * entering and leaving.
 */
static u32 measure_shot(struct gen *g)
{
	u32 gaps[CALIBRATE];
	int i;

	g->timer.function = gen_blank;
	for (i = 0; i < CALIBRATE; i++) {
		u64 last, now, gap = 0, plain = ~0ull;
		u32 shots = g->stats.shots;

		preempt_disable();
		hrtimer_start(&g->timer, ns_to_ktime(20 * NSEC_PER_USEC), HRTIMER_MODE_REL_PINNED_HARD);
		last = rdtsc();
		while (READ_ONCE(g->stats.shots) == shots) {
			now = rdtsc();
			gap = now - last;
			plain = min(plain, gap);
			last = now;
		}
		gap = rdtsc() - last;
		preempt_enable();
		gaps[i] = gap > g->shot_ticks + plain ? gap - g->shot_ticks - plain : 0;
	}
	sort(gaps, CALIBRATE, sizeof(*gaps), by_value, NULL);
	return gaps[CALIBRATE / 2];
}

static u32 measure_stamp(struct gen *g)
{
	u32 gaps[CALIBRATE];
	int i;

	gen_nic_nmi_on(g);
	for (i = 0; i < CALIBRATE; i++) {
		u64 begin, gap;

		g->stamp_ticks = 0;
		local_bh_disable();
		begin = rdtsc();
		gen_nic_self_interrupt(g);
		gap = rdtsc() - begin;
		local_bh_enable();
		gaps[i] = gap > g->stamp_ticks && g->stamp_ticks ? gap - g->stamp_ticks : 0;
	}
	gen_nic_nmi_off(g);
	sort(gaps, CALIBRATE, sizeof(*gaps), by_value, NULL);
	return gaps[CALIBRATE / 2];
}

/*
 * Measured when a port is chosen, not at load: early in a boot timers are still
 * served by the periodic tick.
 */
int gen_shot_calibrate(struct gen *g)
{
	g->cost.tsc_khz = tsc_khz;
	g->cost.shot_entry = measure_shot(g);
	g->cost.stamp_entry = measure_stamp(g);
	g->timer.function = gen_shot;
	if (g->cost.stamp_entry && g->cost.shot_entry)
		return 0;
	pci_err(g->nic.pdev, "its interrupt does not arrive (pin %d)\n", g->nic.pin);
	return -EIO;
}

int gen_shot_open(struct gen *g)
{
	init_waitqueue_head(&g->done);
	hrtimer_init(&g->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_PINNED_HARD);
	nmi_gen = g;
	return register_nmi_handler(NMI_LOCAL, gen_nmi, 0, KBUILD_MODNAME);
}

void gen_shot_close(struct gen *g)
{
	gen_shot_stop(g);
	unregister_nmi_handler(NMI_LOCAL, KBUILD_MODNAME);
	nmi_gen = NULL;
	vfree(g->stamps);
	g->stamps = NULL;
}
