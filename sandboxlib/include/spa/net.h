/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spa/net.h - Ethernet, ARP, IPv4, IPv6 and UDP: layouts and checked parsing.
 *
 * Parsing works on a cursor over the bytes of one frame. A parse function
 * either returns a pointer to a header that lies wholly inside the frame, and
 * moves the cursor behind it, or returns NULL and leaves the cursor alone. No
 * function reads a byte outside [p, end).
 *
 *	struct spa_cursor c = spa_cursor(f->data, f->len);
 *	be16 proto;
 *	struct spa_eth *eth = spa_parse_eth(&c, &proto);
 *	struct spa_ip4 *ip = eth && proto == spa_htons(SPA_ETH_IP4) ? spa_parse_ip4(&c) : NULL;
 *	struct spa_udp *udp = ip && ip->proto == SPA_IP_UDP ? spa_parse_udp(&c) : NULL;
 *	// now [c.p, c.end) is the payload, padding cut off
 *
 * All header structures are packed: their fields may be read at any address.
 */
#ifndef SPA_NET_H
#define SPA_NET_H

#include "spa/base.h"

#define SPA_ETH_ALEN 6
#define SPA_ETH_IP4 0x0800
#define SPA_ETH_ARP 0x0806
#define SPA_ETH_VLAN 0x8100
#define SPA_ETH_QINQ 0x88a8
#define SPA_ETH_IP6 0x86dd

#define SPA_IP_ICMP 1
#define SPA_IP_TCP 6
#define SPA_IP_UDP 17
#define SPA_IP_ICMP6 58

#define SPA_IP4_DF 0x4000	/* of frag_off, host order */
#define SPA_IP4_MF 0x2000
#define SPA_IP4_OFFSET 0x1fff

struct spa_eth {
	u8 dst[SPA_ETH_ALEN];
	u8 src[SPA_ETH_ALEN];
	be16 type;
} SPA_PACKED;

struct spa_vlan {
	be16 tci;
	be16 type;
} SPA_PACKED;

struct spa_arp {	/* for IPv4 over Ethernet */
	be16 htype;	/* 1 */
	be16 ptype;	/* SPA_ETH_IP4 */
	u8 hlen;	/* 6 */
	u8 plen;	/* 4 */
	be16 op;	/* 1 request, 2 reply */
	u8 sha[SPA_ETH_ALEN];
	be32 spa;
	u8 tha[SPA_ETH_ALEN];
	be32 tpa;
} SPA_PACKED;

struct spa_ip4 {
	u8 ver_ihl;
	u8 tos;
	be16 tot_len;
	be16 id;
	be16 frag_off;
	u8 ttl;
	u8 proto;
	be16 check;
	be32 src;
	be32 dst;
} SPA_PACKED;

struct spa_ip6 {
	be32 ver_tc_flow;
	be16 payload_len;
	u8 next;
	u8 hop_limit;
	u8 src[16];
	u8 dst[16];
} SPA_PACKED;

struct spa_udp {
	be16 src;
	be16 dst;
	be16 len;
	be16 check;
} SPA_PACKED;

_Static_assert(sizeof(struct spa_eth) == 14, "Ethernet header");
_Static_assert(sizeof(struct spa_arp) == 28, "ARP");
_Static_assert(sizeof(struct spa_ip4) == 20, "IPv4 header");
_Static_assert(sizeof(struct spa_ip6) == 40, "IPv6 header");
_Static_assert(sizeof(struct spa_udp) == 8, "UDP header");

/* The part of a frame not parsed yet. */
struct spa_cursor {
	u8 *p;
	u8 *end;
};

static inline struct spa_cursor spa_cursor(void *data, u32 len)
{
	return (struct spa_cursor){ .p = data, .end = (u8 *)data + len };
}

/* Bytes left. */
static inline u32 spa_left(const struct spa_cursor *c) { return (u32)(c->end - c->p); }

/* The next n bytes, or NULL when fewer are left. */
static inline void *spa_pull(struct spa_cursor *c, u32 n)
{
	u8 *p = c->p;

	if (spa_unlikely(spa_left(c) < n))
		return NULL;
	c->p = p + n;
	return p;
}

/* Ethernet header and up to two VLAN tags; *type is the EtherType behind them (network order). */
struct spa_eth *spa_parse_eth(struct spa_cursor *c, be16 *type);

/* ARP for IPv4 over Ethernet; NULL for any other kind. */
struct spa_arp *spa_parse_arp(struct spa_cursor *c);

/*
 * IPv4 header with its options. Checks version, header length and total
 * length, and cuts the cursor's end to the datagram (Ethernet padding goes).
 * Does not verify the checksum: spa_ip4_check_ok().
 */
struct spa_ip4 *spa_parse_ip4(struct spa_cursor *c);

static inline u32 spa_ip4_hlen(const struct spa_ip4 *ip) { return (ip->ver_ihl & 15u) * 4; }

/* True for any fragment, the first included. */
static inline bool spa_ip4_is_fragment(const struct spa_ip4 *ip)
{
	return ip->frag_off & spa_htons(SPA_IP4_MF | SPA_IP4_OFFSET);
}

/*
 * IPv6 header; *next is the protocol behind the hop-by-hop, routing and
 * destination options headers (at most eight). A fragment header ends the
 * walk: *next is then 44. Cuts the cursor's end to the datagram.
 */
struct spa_ip6 *spa_parse_ip6(struct spa_cursor *c, u8 *next);

/* UDP header; checks its length against what is left and cuts the end to it. */
struct spa_udp *spa_parse_udp(struct spa_cursor *c);

/* MAC addresses. */
static inline bool spa_mac_is_group(const u8 *mac) { return mac[0] & 1; }
static inline bool spa_mac_is_zero(const u8 *mac) { return !(spa_get32(mac) | spa_get16(mac + 4)); }

static inline void spa_mac_copy(u8 *dst, const u8 *src)
{
	spa_put32(dst, spa_get32(src));
	spa_put16(dst + 4, spa_get16(src + 4));
}

/* Internet checksum (RFC 1071). */

/*
 * Sums are kept in 64 bits and folded once: 2^16 = 1 (mod 65535), so 32-bit
 * words may be added as they stand, and 2^32 of them fit.
 */
static inline u16 spa_csum_fold(u64 sum)
{
	u32 s;

	/* x + rotated x: the upper half is the sum of the halves with its carry added back in. */
	sum += sum << 32 | sum >> 32;
	s = (u32)(sum >> 32);
	s += s << 16 | s >> 16;
	return (u16)(s >> 16);
}

/* Adds n bytes to a sum. An odd n counts as if a zero byte followed, so only the last piece may be odd. */
u64 spa_csum_add(const void *data, size_t n, u64 sum);

/*
 * Incremental update (RFC 1624, eqn. 3): what to add to ~checksum when the
 * 32-bit word `from` becomes `to`. Deltas of several words add up; the same
 * delta serves the IP header and the UDP pseudo-header.
 *
 *	d = spa_csum_delta32(ip->dst, new_dst);
 *	ip->check = spa_csum_apply(ip->check, d);
 */
static inline u64 spa_csum_delta32(u32 from, u32 to) { return (u64)(u32)~from + to; }
static inline u64 spa_csum_delta16(u16 from, u16 to) { return (u64)(u16)~from + to; }

/* Of 64 bits: the carry out of the top goes back in at the bottom (2^64 = 1, too), then halved to 33 bits. */
static inline u64 spa_csum_delta64(u64 from, u64 to)
{
	u64 d;

	d = ~from + to;
	d += d < to;
	return (d & 0xffffffff) + (d >> 32);
}

static inline u16 spa_csum_apply(u16 check, u64 delta)
{
	return (u16)~spa_csum_fold((u16)~check + delta);
}

/* For UDP: 0 means "no checksum" and stays; a computed 0 is sent as 0xffff. */
static inline u16 spa_udp_csum_apply(u16 check, u64 delta)
{
	u16 v = spa_csum_apply(check, delta);

	if (spa_unlikely(!check))
		return 0;
	return spa_likely(v) ? v : 0xffff;
}

/* Full computations. Checksum fields count as they stand: set them to 0 before computing. */
u16 spa_ip4_csum(const struct spa_ip4 *ip);
bool spa_ip4_check_ok(const struct spa_ip4 *ip);

/* `n` is the UDP length, header included; never 0. */
u16 spa_udp4_csum(be32 src, be32 dst, const void *udp, u16 n);
u16 spa_udp6_csum(const u8 src[16], const u8 dst[16], const void *udp, u16 n);

#endif /* SPA_NET_H */
