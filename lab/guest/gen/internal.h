/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The generator's parts: the NIC it drives itself (nic.c), its interrupts
 * (pace.c), shots and stamps (shot.c), the device file (main.c). There is one generator, and its
 * interrupts are those of CPU 0; what an interrupt touches is written by interrupts
 * only, and read with READ_ONCE elsewhere. Another CPU that reads while a run goes on may
 * find figures of two instants.
 */
#ifndef ULSGEN_INTERNAL_H
#define ULSGEN_INTERNAL_H

#include <linux/pci.h>
#include <linux/types.h>

#include "ulsgen.h"

#define GEN_TX_SLOTS	256
#define GEN_RX_SLOTS	1024
#define GEN_BUFFER	2048

/* What a frame carries after Ethernet, IPv4 and UDP headers. */
#define GEN_PAYLOAD	42
#define GEN_MAGIC	0x554c0000	/* plus the number of the run */

/*
 * The number and its complement: their sum in one's complement never changes,
 * so a frame is renumbered by two stores and its UDP checksum stays right.
 */
struct gen_payload {
	__be32 magic;
	u32 seq;
	u32 not_seq;
} __packed __aligned(2);

struct gen_nic {
	struct pci_dev *pdev;
	void __iomem *regs;
	struct gen_tx_desc *tx;
	struct gen_rx_desc *rx;
	dma_addr_t tx_dma, rx_dma, frames_dma, buffers_dma;
	u8 *frames;			/* GEN_TX_SLOTS of GEN_BUFFER bytes, and the flood's */
	u8 *buffers;			/* GEN_RX_SLOTS */
	u32 tail;			/* next slot to send */
	u32 next;			/* next slot to look at for a return */
	u8 mac[6];
};

struct gen_pace {
	void __iomem *hpet, *ioapic;
	int timer_pin, nic_pin;		/* of the I/O APIC */
	u32 tick_ns;
	u32 next;			/* HPET counter at which the next shot is due */
	bool on;
};

struct gen {
	struct gen_nic nic;
	struct ulsgen_frame frame;
	struct ulsgen_run run;
	struct ulsgen_stats stats;
	struct ulsgen_cost cost;
	struct ulsgen_stamp *stamps;	/* run.count */
	struct gen_pace pace;
	u32 start;			/* HPET counter when the run began */
	u32 period, spread;		/* of the run, in ticks of the HPET */
	u64 shots_due;			/* shots whose time has come */
	u32 runs;
	u64 random;			/* state of a xorshift generator, never 0 */
	u64 nmi_ticks;			/* inside the last NMI's handler */

	void __iomem *port;		/* registers of the forwarder's receiving port */
	u32 port_ring;			/* its descriptors */
};

/* nic.c */
int gen_nic_open(struct gen *g, struct pci_dev *pdev);
void gen_nic_close(struct gen *g);
void gen_nic_fill(struct gen *g);
void gen_nic_number(struct gen *g, u32 seq, u32 n);
void gen_nic_kick(struct gen *g);
void gen_nic_flood(struct gen *g, u32 n);
void gen_nic_interrupt(struct gen *g, bool on);
void gen_nic_self_interrupt(struct gen *g);
bool gen_nic_collect(struct gen *g, u64 now);
int gen_port_open(struct gen *g, const char *name);
void gen_port_close(struct gen *g);
u32 gen_port_room(struct gen *g);

/* pace.c */
int gen_pace_open(struct gen *g);
void gen_pace_close(struct gen *g);
void gen_pace_wire(struct gen *g, bool on);
void gen_pace_on(struct gen *g);
void gen_pace_off(struct gen *g);
u32 gen_pace_now(struct gen *g);
void gen_pace_next(struct gen *g, u32 at);
bool gen_pace_due(struct gen *g);

/* shot.c */
int gen_shot_open(struct gen *g);
void gen_shot_close(struct gen *g);
int gen_shot_calibrate(struct gen *g);
int gen_shot_start(struct gen *g);
void gen_shot_stop(struct gen *g);

#endif /* ULSGEN_INTERNAL_H */
