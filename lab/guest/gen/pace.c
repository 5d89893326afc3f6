// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the generator's interrupts come from: timer 2 of the HPET for the pace,
 * the NIC's line for what comes back, both wired to the CPU as NMIs in the I/O
 * APIC. Linux uses neither: its tick is the local APIC's timer.
 *
 * Why not an hrtimer: the end of every ordinary interrupt runs pending softirqs.
 * With some ten thousand shots a second the generator would push the forwarders'
 * receive work on at interrupt time where, without it, ksoftirqd would have to
 * wait its turn among the processes: the very effect that is to be measured.
 */
#include <linux/io.h>
#include <asm/apic.h>
#include <asm/hpet.h>
#include <asm/io_apic.h>

#include "internal.h"

#define TIMER		2
#define HPET_BASE	0xfed00000
#define HPET_BYTES	0x400

/* I/O APIC redirection entry: NMI, edge, physical destination 0. */
#define IOAPIC_VERSION	1
#define IOAPIC_RTE(pin)	(0x10 + 2 * (pin))
#define RTE_NMI		(4 << 8)
#define RTE_MASKED	BIT(16)

static void ioapic_write(struct gen_pace *p, u32 index, u32 value)
{
	writel(index, p->ioapic);
	writel(value, p->ioapic + 0x10);
}

static u32 ioapic_read(struct gen_pace *p, u32 index)
{
	writel(index, p->ioapic);
	return readl(p->ioapic + 0x10);
}

u32 gen_pace_now(struct gen *g)
{
	return readl(g->pace.hpet + HPET_COUNTER);
}

/* The next shot comes when the counter reaches `at`, at once if that is past. */
void gen_pace_next(struct gen *g, u32 at)
{
	g->pace.next = at;
	writel(at, g->pace.hpet + HPET_Tn_CMP(TIMER));
}

bool gen_pace_due(struct gen *g)
{
	return g->pace.on && (s32)(gen_pace_now(g) - g->pace.next) >= 0;
}

void gen_pace_on(struct gen *g)
{
	struct gen_pace *p = &g->pace;

	p->on = true;
	writel(HPET_TN_ENABLE | HPET_TN_32BIT | p->timer_pin << 9, p->hpet + HPET_Tn_CFG(TIMER));
}

void gen_pace_off(struct gen *g)
{
	struct gen_pace *p = &g->pace;

	p->on = false;
	writel(HPET_TN_32BIT, p->hpet + HPET_Tn_CFG(TIMER));
}

static void wire(struct gen_pace *p, int pin, bool on)
{
	ioapic_write(p, IOAPIC_RTE(pin) + 1, 0);
	ioapic_write(p, IOAPIC_RTE(pin), on ? RTE_NMI : RTE_MASKED);
}

/* Both lines become NMIs, or are masked as the kernel left them. */
void gen_pace_wire(struct gen *g, bool on)
{
	wire(&g->pace, g->pace.nic_pin, on);
	wire(&g->pace, g->pace.timer_pin, on);
}

/* A pin that the timer can reach and no one uses. */
static int find_pin(struct gen_pace *p, int last)
{
	u32 able = readl(p->hpet + HPET_Tn_CFG(TIMER) + 4);
	int pin;

	for (pin = 16; pin <= last && pin < 32; pin++)
		if (able & BIT(pin) && pin != p->nic_pin &&
		    ioapic_read(p, IOAPIC_RTE(pin)) & RTE_MASKED)
			return pin;
	return -1;
}

int gen_pace_open(struct gen *g)
{
	struct gen_pace *p = &g->pace;
	int last;

	p->ioapic = ioremap(IO_APIC_DEFAULT_PHYS_BASE, PAGE_SIZE);
	p->hpet = ioremap(HPET_BASE, HPET_BYTES);
	if (!p->ioapic || !p->hpet) {
		gen_pace_close(g);
		return -ENOMEM;
	}
	last = ioapic_read(p, IOAPIC_VERSION) >> 16 & 0xff;
	/* The kernel numbers interrupts of the first I/O APIC by its pins. */
	p->nic_pin = g->nic.pdev->irq;
	p->timer_pin = find_pin(p, last);
	/* Nanoseconds from femtoseconds. */
	p->tick_ns = readl(p->hpet + HPET_PERIOD) / 1000000;
	if (p->nic_pin < 16 || p->nic_pin > last || p->timer_pin < 0 || p->tick_ns != 10) {
		pci_err(g->nic.pdev, "no HPET timer or interrupt pin as machine q35 has them (NIC on %d, timer on %d, tick %u ns)\n",
			p->nic_pin, p->timer_pin, p->tick_ns);
		gen_pace_close(g);
		return -ENODEV;
	}
	if (!(readl(p->hpet + HPET_CFG) & HPET_CFG_ENABLE))
		writel(readl(p->hpet + HPET_CFG) | HPET_CFG_ENABLE, p->hpet + HPET_CFG);
	gen_pace_off(g);
	return 0;
}

void gen_pace_close(struct gen *g)
{
	if (g->pace.ioapic)
		iounmap(g->pace.ioapic);
	if (g->pace.hpet)
		iounmap(g->pace.hpet);
	g->pace.ioapic = NULL;
	g->pace.hpet = NULL;
}
