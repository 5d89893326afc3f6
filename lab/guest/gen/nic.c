// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generator's NIC: an 82540EM (QEMU's "e1000" with mitigation=off), driven
 * with masked interrupts, one transmit ring whose frames are written once, and
 * one receive ring.
 *
 * Why this model: QEMU's NICs of the 8254x family move a frame to the other end
 * of a hub inside the very instruction that writes the tail register, so a
 * frame's time on the wire is known exactly; and only this one can be told not
 * to throttle its interrupt, which stamps what comes back.
 *
 * Its interrupt is an NMI (pace.c): the next instruction after the forwarder's
 * write to its own tail register is then the stamp, even where interrupts are
 * off, and none of the kernel's interrupt exit work (softirqs, rescheduling) runs
 * on the generator's account.
 */
#include <linux/etherdevice.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/io.h>
#include <linux/ip.h>
#include <linux/netdevice.h>
#include <linux/udp.h>
#include <net/checksum.h>
#include <net/ip.h>
#include <net/net_namespace.h>

#include "internal.h"

/* Registers of the 8254x family (Intel's software developer's manual). */
#define REG_CTRL	0x0000
#define REG_ICR		0x00c0
#define REG_ICS		0x00c8
#define REG_IMS		0x00d0
#define REG_IMC		0x00d8
#define REG_RCTL	0x0100
#define REG_TCTL	0x0400
#define REG_RDBAL	0x2800
#define REG_RDBAH	0x2804
#define REG_RDLEN	0x2808
#define REG_RDH		0x2810
#define REG_RDT		0x2818
#define REG_RDTR	0x2820
#define REG_TDBAL	0x3800
#define REG_TDBAH	0x3804
#define REG_TDLEN	0x3808
#define REG_TDH		0x3810
#define REG_TDT		0x3818
#define REG_RAL0	0x5400
#define REG_RAH0	0x5404

#define CTRL_SLU	BIT(6)
#define INT_RXT0	BIT(7)
#define RCTL_EN		BIT(1)
#define RCTL_SECRC	BIT(26)
#define TCTL_EN		BIT(1)
#define TCTL_PSP	BIT(3)
#define TXD_EOP		BIT(0)
#define TXD_IFCS	BIT(1)
#define RXD_DD		BIT(0)

struct gen_tx_desc {
	__le64 addr;
	__le16 len;
	u8 cso;
	u8 cmd;
	u8 status;
	u8 css;
	__le16 special;
};

struct gen_rx_desc {
	__le64 addr;
	__le16 len;
	__le16 csum;
	u8 status;
	u8 errors;
	__le16 special;
};

static u32 rd(struct gen_nic *n, u32 reg)
{
	return readl(n->regs + reg);
}

static void wr(struct gen_nic *n, u32 reg, u32 value)
{
	writel(value, n->regs + reg);
}

static void set_ring(struct gen_nic *n, u32 base, dma_addr_t dma, u32 bytes)
{
	wr(n, base, lower_32_bits(dma));
	wr(n, base + 4, upper_32_bits(dma));
	wr(n, base + 8, bytes);
}

static void nic_start(struct gen_nic *n)
{
	u32 low, high;
	int i;

	wr(n, REG_IMC, ~0u);
	wr(n, REG_RCTL, 0);
	wr(n, REG_TCTL, 0);
	low = rd(n, REG_RAL0);
	high = rd(n, REG_RAH0);
	for (i = 0; i < 4; i++)
		n->mac[i] = low >> (8 * i);
	n->mac[4] = high;
	n->mac[5] = high >> 8;

	set_ring(n, REG_TDBAL, n->tx_dma, GEN_TX_SLOTS * sizeof(*n->tx));
	wr(n, REG_TDH, 0);
	wr(n, REG_TDT, 0);
	set_ring(n, REG_RDBAL, n->rx_dma, GEN_RX_SLOTS * sizeof(*n->rx));
	for (i = 0; i < GEN_RX_SLOTS; i++)
		n->rx[i].addr = cpu_to_le64(n->buffers_dma + i * GEN_BUFFER);
	wr(n, REG_RDH, 0);
	wr(n, REG_RDT, GEN_RX_SLOTS - 1);
	wr(n, REG_RDTR, 0);
	wr(n, REG_CTRL, rd(n, REG_CTRL) | CTRL_SLU);
	wr(n, REG_TCTL, TCTL_EN | TCTL_PSP);
	wr(n, REG_RCTL, RCTL_EN | RCTL_SECRC);	/* own address only, 2 KiB buffers */
	rd(n, REG_ICR);
}

void gen_nic_interrupt(struct gen *g, bool on)
{
	struct gen_nic *n = &g->nic;

	wr(n, REG_IMC, ~0u);
	rd(n, REG_ICR);
	if (on)
		wr(n, REG_IMS, INT_RXT0);
}

/* The device raises its own interrupt: to measure what one costs. */
void gen_nic_self_interrupt(struct gen *g)
{
	wr(&g->nic, REG_ICS, INT_RXT0);
}

static int nic_alloc(struct gen_nic *n)
{
	struct device *dev = &n->pdev->dev;

	n->tx = dmam_alloc_coherent(dev, GEN_TX_SLOTS * sizeof(*n->tx), &n->tx_dma, GFP_KERNEL);
	n->rx = dmam_alloc_coherent(dev, GEN_RX_SLOTS * sizeof(*n->rx), &n->rx_dma, GFP_KERNEL);
	n->frames = dmam_alloc_coherent(dev, (GEN_TX_SLOTS + 1) * GEN_BUFFER, &n->frames_dma,
					GFP_KERNEL);
	n->buffers = dmam_alloc_coherent(dev, GEN_RX_SLOTS * GEN_BUFFER, &n->buffers_dma,
					 GFP_KERNEL);
	return n->tx && n->rx && n->frames && n->buffers ? 0 : -ENOMEM;
}

int gen_nic_open(struct gen *g, struct pci_dev *pdev)
{
	struct gen_nic *n = &g->nic;
	int err;

	n->pdev = pdev;
	err = pcim_enable_device(pdev);
	if (err)
		return err;
	err = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (err)
		return err;
	n->regs = pcim_iomap_region(pdev, 0, KBUILD_MODNAME);
	if (IS_ERR(n->regs))
		return PTR_ERR(n->regs);
	err = nic_alloc(n);
	if (err)
		return err;
	pci_set_master(pdev);
	nic_start(n);
	return 0;
}

void gen_nic_close(struct gen *g)
{
	struct gen_nic *n = &g->nic;

	gen_nic_interrupt(g, false);
	wr(n, REG_RCTL, 0);
	wr(n, REG_TCTL, 0);
	pci_clear_master(n->pdev);
}

/* A frame as the forwarder gets it. */
static void fill_one(struct gen *g, u8 *p)
{
	struct gen_payload *load = (struct gen_payload *)(p + GEN_PAYLOAD);
	struct ethhdr *eth = (struct ethhdr *)p;
	struct iphdr *ip = (struct iphdr *)(p + ETH_HLEN);
	struct udphdr *udp = (struct udphdr *)(ip + 1);
	u16 ip_len = g->frame.len - ETH_HLEN;
	u16 udp_len = ip_len - sizeof(*ip);

	memset(p, 0, g->frame.len);
	ether_addr_copy(eth->h_dest, g->frame.dst_mac);
	ether_addr_copy(eth->h_source, g->nic.mac);
	eth->h_proto = htons(ETH_P_IP);
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = htons(ip_len);
	ip->frag_off = htons(IP_DF);
	ip->ttl = 64;
	ip->protocol = IPPROTO_UDP;
	ip->saddr = (__force __be32)g->frame.src_ip;
	ip->daddr = (__force __be32)g->frame.dst_ip;
	ip->check = ip_fast_csum(ip, ip->ihl);
	udp->source = (__force __be16)g->frame.src_port;
	udp->dest = (__force __be16)g->frame.dst_port;
	udp->len = htons(udp_len);
	load->magic = htonl(GEN_MAGIC + g->runs);
	load->seq = 0;
	load->not_seq = ~0u;
	udp->check = csum_tcpudp_magic(ip->saddr, ip->daddr, udp_len, IPPROTO_UDP,
				       csum_partial(udp, udp_len, 0));
	if (!udp->check)
		udp->check = CSUM_MANGLED_0;
}

/* The same for another station; its UDP checksum is left out. */
static void fill_flood(struct gen *g, u8 *p)
{
	struct ethhdr *eth = (struct ethhdr *)p;
	struct iphdr *ip = (struct iphdr *)(p + ETH_HLEN);
	struct udphdr *udp = (struct udphdr *)(ip + 1);

	fill_one(g, p);
	ether_addr_copy(eth->h_dest, g->frame.flood_mac);
	ip->daddr = (__force __be32)g->frame.flood_ip;
	ip->check = 0;
	ip->check = ip_fast_csum(ip, ip->ihl);
	udp->dest = (__force __be16)g->frame.flood_port;
	udp->check = 0;
}

/* Writes every frame of the ring; called before a run. */
void gen_nic_fill(struct gen *g)
{
	struct gen_nic *n = &g->nic;
	int i;

	fill_flood(g, n->frames + GEN_TX_SLOTS * GEN_BUFFER);
	for (i = 0; i < GEN_TX_SLOTS; i++) {
		fill_one(g, n->frames + i * GEN_BUFFER);
		n->tx[i].addr = cpu_to_le64(n->frames_dma + i * GEN_BUFFER);
		n->tx[i].len = cpu_to_le16(g->frame.len);
		n->tx[i].cmd = TXD_EOP | TXD_IFCS;
	}
}

/* Numbers the next n frames from seq; gen_nic_kick() then sends them. */
void gen_nic_number(struct gen *g, u32 seq, u32 n)
{
	struct gen_nic *nic = &g->nic;
	u32 i;

	for (i = 0; i < n; i++) {
		u8 *p = nic->frames + nic->tail * GEN_BUFFER + GEN_PAYLOAD;
		struct gen_payload *load = (struct gen_payload *)p;

		load->seq = seq + i;
		load->not_seq = ~(seq + i);
		nic->tail = (nic->tail + 1) % GEN_TX_SLOTS;
	}
}

void gen_nic_kick(struct gen *g)
{
	wr(&g->nic, REG_TDT, g->nic.tail);
}

/*
 * Sends the flood's frame n times. The device is through with the descriptors
 * when the write of the tail is: they get their own frames back.
 */
void gen_nic_flood(struct gen *g, u32 n)
{
	struct gen_nic *nic = &g->nic;
	dma_addr_t flood = nic->frames_dma + GEN_TX_SLOTS * GEN_BUFFER;
	u32 first = nic->tail, i;

	for (i = 0; i < n; i++)
		nic->tx[(first + i) % GEN_TX_SLOTS].addr = cpu_to_le64(flood);
	nic->tail = (first + n) % GEN_TX_SLOTS;
	gen_nic_kick(g);
	for (i = 0; i < n; i++) {
		u32 slot = (first + i) % GEN_TX_SLOTS;

		nic->tx[slot].addr = cpu_to_le64(nic->frames_dma + slot * GEN_BUFFER);
	}
}

static void collect_one(struct gen *g, const u8 *p, u32 len, u64 now)
{
	const struct gen_payload *load = (const struct gen_payload *)(p + GEN_PAYLOAD);
	u32 seq;

	if (len < GEN_PAYLOAD + sizeof(*load) || load->magic != htonl(GEN_MAGIC + g->runs) ||
	    load->seq != ~load->not_seq) {
		g->stats.strange++;
		return;
	}
	seq = load->seq;
	if (!g->stamps || seq >= g->run.count || !g->stamps[seq].sent || g->stamps[seq].returned) {
		g->stats.strange++;
		return;
	}
	g->stamps[seq].returned = now;
	g->stats.returned++;
}

/*
 * Takes what has come back since the last call; in NMI context. Returns false
 * when the interrupt was not this device's.
 */
bool gen_nic_collect(struct gen *g, u64 now)
{
	struct gen_nic *n = &g->nic;
	u32 first = n->next;

	if (!(rd(n, REG_ICR) & INT_RXT0))
		return false;
	while (READ_ONCE(n->rx[n->next].status) & RXD_DD) {
		dma_rmb();
		collect_one(g, n->buffers + n->next * GEN_BUFFER, le16_to_cpu(n->rx[n->next].len),
			    now);
		n->rx[n->next].status = 0;
		n->next = (n->next + 1) % GEN_RX_SLOTS;
	}
	if (n->next != first)
		wr(n, REG_RDT, (n->next + GEN_RX_SLOTS - 1) % GEN_RX_SLOTS);
	return true;
}

/*
 * The forwarder's receiving port, an 82574 with its own driver. Only two of its
 * registers are read, to see how much room its receive ring has.
 */
int gen_port_open(struct gen *g, const char *name)
{
	struct net_device *dev = dev_get_by_name(&init_net, name);
	struct pci_dev *pdev;
	int err = -EOPNOTSUPP;

	if (!dev)
		return -ENODEV;
	if (dev->dev.parent && dev_is_pci(dev->dev.parent)) {
		pdev = to_pci_dev(dev->dev.parent);
		if (pdev->vendor == PCI_VENDOR_ID_INTEL && pdev->device == 0x10d3) {
			g->port = ioremap(pci_resource_start(pdev, 0), 0x4000);
			err = g->port ? 0 : -ENOMEM;
		}
	}
	dev_put(dev);
	return err;
}

void gen_port_close(struct gen *g)
{
	if (g->port)
		iounmap(g->port);
	g->port = NULL;
}

u32 gen_port_room(struct gen *g)
{
	u32 ring = readl(g->port + REG_RDLEN) / 16;
	u32 head = readl(g->port + REG_RDH), tail = readl(g->port + REG_RDT);

	return tail >= head ? tail - head : tail + ring - head;
}
