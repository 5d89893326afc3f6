// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shots and stamps, both in NMI context. A shot that comes late offers everything
 * that was due, so the offered rate is the nominal one or the run shows why not
 * (burst_max).
 *
 * QEMU's NIC model does not drop: when the receiving port has no descriptor it
 * holds up to 10,000 frames back, a buffer that no NIC has. So a frame for which
 * the ring has no room is dropped here, and counted, as the port's own
 * missed-packets counter would.
 */
#include <linux/bottom_half.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#include <asm/nmi.h>
#include <asm/tsc.h>

#include "internal.h"

static struct gen *nmi_gen;

/* Time of shot k, in HPET ticks after the start of the run. */
static u64 shot_time(struct gen *g, u64 k)
{
	g->random ^= g->random << 13;
	g->random ^= g->random >> 7;
	g->random ^= g->random << 17;
	return k * g->period + ((g->random >> 32) * g->spread >> 32);
}

/* Offers frames seq..seq+n-1 at once. */
static void offer(struct gen *g, u32 seq, u32 n)
{
	u32 room = min(gen_port_room(g), n), i;
	u64 now;

	gen_nic_number(g, seq, room);
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

static void shot(struct gen *g)
{
	struct ulsgen_stats *s = &g->stats;
	u32 passed = gen_pace_now(g) - g->start, n;

	s->shots++;
	s->late_max = max(s->late_max, g->start + passed - g->pace.next);
	while (g->shots_due * g->period <= passed)
		g->shots_due++;
	n = min_t(u64, g->shots_due * g->run.burst, g->run.count) - s->offered;
	s->burst_max = max(s->burst_max, n);
	while (n) {
		u32 part = min_t(u32, n, GEN_TX_SLOTS - 1);

		offer(g, s->offered, part);
		n -= part;
	}
	if (g->run.flood)
		gen_nic_flood(g, g->run.flood);
	if (s->offered < g->run.count) {
		gen_pace_next(g, g->start + shot_time(g, g->shots_due));
	} else {
		gen_pace_off(g);
		WRITE_ONCE(s->running, 0);
	}
}

static int gen_nmi(unsigned int cmd, struct pt_regs *regs)
{
	struct gen *g = nmi_gen;
	u64 now = rdtsc();
	bool stamp = gen_nic_collect(g, now), due = gen_pace_due(g);

	if (due)
		shot(g);
	if (!stamp && !due)
		return NMI_DONE;
	g->stats.stamps += stamp;
	g->nmi_ticks = rdtsc() - now;
	g->stats.spent += g->nmi_ticks + g->cost.nmi_entry;
	/*
	 * Two causes may have raised one NMI each, the second while the first was
	 * handled: by the number the kernel knows that one may come for nothing.
	 */
	return stamp + due;
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
	g->period = (u32)g->run.period_ns / g->pace.tick_ns;
	g->spread = g->run.spread_ns / g->pace.tick_ns;
	g->random = ((u64)g->run.seed << 32 | 0x9e3779b9) ^ 0x2545f4914f6cdd1dull;
	g->shots_due = 0;
	gen_nic_interrupt(g, true);
	gen_pace_wire(g, true);
	g->start = gen_pace_now(g) + 100 * 1000 / g->pace.tick_ns;
	gen_pace_next(g, g->start + shot_time(g, 0));
	gen_pace_on(g);
	return 0;
}

void gen_shot_stop(struct gen *g)
{
	gen_pace_off(g);
	gen_nic_interrupt(g, false);
	gen_pace_wire(g, false);
	WRITE_ONCE(g->stats.running, 0);
}

#define CALIBRATE	32

static int by_value(const void *a, const void *b)
{
	return *(const u32 *)a < *(const u32 *)b ? -1 : *(const u32 *)a > *(const u32 *)b;
}

/*
 * What an NMI costs besides the handler's own ticks: the device interrupts
 * itself, and the next instruction is that much later.
 */
int gen_shot_calibrate(struct gen *g)
{
	u32 gaps[CALIBRATE];
	u64 begin;
	int i;

	g->cost.tsc_khz = tsc_khz;
	gen_nic_interrupt(g, true);
	gen_pace_wire(g, true);
	for (i = 0; i < CALIBRATE; i++) {
		g->nmi_ticks = 0;
		local_bh_disable();
		begin = rdtsc();
		gen_nic_self_interrupt(g);
		gaps[i] = rdtsc() - begin;
		local_bh_enable();
		gaps[i] = g->nmi_ticks ? gaps[i] - g->nmi_ticks : 0;
	}
	gen_shot_stop(g);
	sort(gaps, CALIBRATE, sizeof(*gaps), by_value, NULL);
	g->cost.nmi_entry = gaps[CALIBRATE / 2];
	if (g->cost.nmi_entry)
		return 0;
	pci_err(g->nic.pdev, "its interrupt does not arrive (pin %d)\n", g->pace.nic_pin);
	return -EIO;
}

int gen_shot_open(struct gen *g)
{
	nmi_gen = g;
	return register_nmi_handler(NMI_LOCAL, gen_nmi, 0, KBUILD_MODNAME);
}

void gen_shot_close(struct gen *g)
{
	gen_shot_stop(g);
	unregister_nmi_handler(NMI_LOCAL, KBUILD_MODNAME);
	vfree(g->stamps);
	g->stamps = NULL;
}
