// SPDX-License-Identifier: Apache-2.0
/*
 * echo - sends every UDP datagram over IPv4 back where it came from: MAC
 * addresses, IP addresses and ports change places. No checksum changes: each
 * is a sum, and a sum does not care for order.
 */
#include "spa.h"

SPA_MANIFEST("echo", "1.0");

#define COUNTERS(C)						\
	C(echoed)						\
	C(not_udp4)	/* another protocol, or malformed */	\
	C(fragment)	/* ports unknown */			\
	C(group)	/* broadcast or multicast: an answer could loop */
SPA_COUNTERS(COUNTERS);

int spa_init(void)
{
	return 0;
}

static inline void swap_mac(struct spa_eth *eth)
{
	u8 mac[SPA_ETH_ALEN];

	spa_mac_copy(mac, eth->dst);
	spa_mac_copy(eth->dst, eth->src);
	spa_mac_copy(eth->src, mac);
}

static inline enum spa_verdict echo(struct spa_frame *f)
{
	struct spa_cursor c = spa_cursor(f->data, f->len);
	struct spa_eth *eth = spa_pull(&c, sizeof(*eth));
	struct spa_ip4 *ip = NULL;
	struct spa_udp *udp;
	be32 addr;
	be16 port;

	if (eth && eth->type == spa_htons(SPA_ETH_IP4))
		ip = spa_parse_ip4(&c);
	if (spa_unlikely(!ip || ip->proto != SPA_IP_UDP)) {
		SPA_COUNT(not_udp4, 1);
		return SPA_DROP;
	}
	if (spa_unlikely(spa_ip4_is_fragment(ip))) {
		SPA_COUNT(fragment, 1);
		return SPA_DROP;
	}
	udp = spa_parse_udp(&c);
	if (spa_unlikely(!udp)) {
		SPA_COUNT(not_udp4, 1);
		return SPA_DROP;
	}
	if (spa_unlikely(spa_mac_is_group(eth->dst) || spa_mac_is_group(eth->src))) {
		SPA_COUNT(group, 1);
		return SPA_DROP;
	}
	swap_mac(eth);
	addr = ip->src;
	ip->src = ip->dst;
	ip->dst = addr;
	port = udp->src;
	udp->src = udp->dst;
	udp->dst = port;
	SPA_COUNT(echoed, 1);
	return SPA_TX;
}
SPA_PER_FRAME(echo)
