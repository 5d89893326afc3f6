// SPDX-License-Identifier: Apache-2.0
/*
 * Parsing and full checksums (spa/net.h).
 */
#include "lib.h"

#define MAX_VLAN 2
#define MAX_EXT 8

struct spa_eth *spa_parse_eth(struct spa_cursor *c, be16 *type)
{
	struct spa_cursor k = *c;
	struct spa_eth *eth = spa_pull(&k, sizeof(*eth));
	struct spa_vlan *tag;
	be16 t;
	int i;

	if (!eth)
		return NULL;
	t = eth->type;
	for (i = 0; i < MAX_VLAN; i++) {
		if (t != spa_htons(SPA_ETH_VLAN) && t != spa_htons(SPA_ETH_QINQ))
			break;
		tag = spa_pull(&k, sizeof(*tag));
		if (!tag)
			return NULL;
		t = tag->type;
	}
	*type = t;
	*c = k;
	return eth;
}

struct spa_arp *spa_parse_arp(struct spa_cursor *c)
{
	struct spa_cursor k = *c;
	struct spa_arp *arp = spa_pull(&k, sizeof(*arp));

	if (!arp || arp->htype != spa_htons(1) || arp->ptype != spa_htons(SPA_ETH_IP4) ||
	    arp->hlen != SPA_ETH_ALEN || arp->plen != 4)
		return NULL;
	*c = k;
	return arp;
}

struct spa_ip4 *spa_parse_ip4(struct spa_cursor *c)
{
	struct spa_ip4 *ip = (void *)c->p;
	u32 left = spa_left(c), hlen, total;

	if (left < sizeof(*ip) || ip->ver_ihl >> 4 != 4)
		return NULL;
	hlen = spa_ip4_hlen(ip);
	total = spa_ntohs(ip->tot_len);
	if (hlen < sizeof(*ip) || total < hlen || total > left)
		return NULL;
	c->end = c->p + total;
	c->p += hlen;
	return ip;
}

static bool is_ext(u8 next)
{
	return next == 0 || next == 43 || next == 60;	/* hop-by-hop, routing, destination options */
}

struct spa_ip6 *spa_parse_ip6(struct spa_cursor *c, u8 *next)
{
	struct spa_cursor k = *c;
	struct spa_ip6 *ip = spa_pull(&k, sizeof(*ip));
	u32 len;
	u8 n, *ext;
	int i;

	if (!ip || (*(u8 *)ip >> 4) != 6)
		return NULL;
	len = spa_ntohs(ip->payload_len);
	if (len > spa_left(&k))
		return NULL;
	k.end = k.p + len;
	n = ip->next;
	for (i = 0; is_ext(n); i++) {
		if (i == MAX_EXT || spa_left(&k) < 8)
			return NULL;
		ext = spa_pull(&k, (k.p[1] + 1u) * 8);
		if (!ext)
			return NULL;
		n = ext[0];
	}
	*next = n;
	*c = k;
	return ip;
}

struct spa_udp *spa_parse_udp(struct spa_cursor *c)
{
	struct spa_udp *udp = (void *)c->p;
	u32 left = spa_left(c), len;

	if (left < sizeof(*udp))
		return NULL;
	len = spa_ntohs(udp->len);
	if (len < sizeof(*udp) || len > left)
		return NULL;
	c->end = c->p + len;
	c->p += sizeof(*udp);
	return udp;
}

u64 spa_csum_add(const void *data, size_t n, u64 sum)
{
	const u8 *p = data;

	for (; n >= 16; n -= 16, p += 16)
		sum += (u64)spa_get32(p) + spa_get32(p + 4) + spa_get32(p + 8) + spa_get32(p + 12);
	for (; n >= 4; n -= 4, p += 4)
		sum += spa_get32(p);
	if (n >= 2) {
		sum += spa_get16(p);
		p += 2;
		n -= 2;
	}
	if (n)
		sum += *p;	/* little-endian: the low byte of a word is the first */
	return sum;
}

u16 spa_ip4_csum(const struct spa_ip4 *ip)
{
	return (u16)~spa_csum_fold(spa_csum_add(ip, spa_ip4_hlen(ip), 0));
}

bool spa_ip4_check_ok(const struct spa_ip4 *ip)
{
	return spa_ip4_csum(ip) == 0;
}

static u16 udp_finish(u64 sum, const void *udp, u16 n)
{
	u16 v;

	sum += spa_htons(SPA_IP_UDP) + spa_htons(n);
	v = (u16)~spa_csum_fold(spa_csum_add(udp, n, sum));
	return v ? v : 0xffff;
}

u16 spa_udp4_csum(be32 src, be32 dst, const void *udp, u16 n)
{
	return udp_finish((u64)src + dst, udp, n);
}

u16 spa_udp6_csum(const u8 src[16], const u8 dst[16], const void *udp, u16 n)
{
	return udp_finish(spa_csum_add(dst, 16, spa_csum_add(src, 16, 0)), udp, n);
}
