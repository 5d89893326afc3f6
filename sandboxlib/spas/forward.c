// SPDX-License-Identifier: Apache-2.0
/*
 * forward - UDP forwarding by a flow table.
 *
 * A datagram over IPv4 whose destination address and port are in the table is
 * rewritten as its flow says (struct uls_msg_flow: addresses, ports, MAC),
 * loses one from its TTL and is sent out again, in place. Everything else is
 * dropped and counted by reason. Checksums are updated incrementally (RFC
 * 1624), so a datagram damaged before stays recognisable as damaged; the IP
 * header's own is verified first, as a router must (RFC 1812, 5.2.2).
 *
 * A batch is done in two rounds: the first reads headers and asks for the
 * flows' cache lines, the second, when they have come, rewrites.
 */
#include "spa.h"

SPA_MANIFEST("forward", "1.0", .heap = 2 << 20);

#define PARAMS(P)								\
	P(BOOL, ttl_decrement, 1, "take one from the TTL, as a router does")	\
	P(BOOL, log_drops, 0, "a log line for each dropped frame, at most 8 in a batch")
SPA_PARAMS(PARAMS);

#define COUNTERS(C)								\
	C(forwarded)								\
	C(no_flow)	/* destination not in the table */			\
	C(short_frame)	/* not even the headers */				\
	C(not_ip4)								\
	C(ip_options)	/* header longer than 20 bytes */			\
	C(fragment)	/* any, the first too */				\
	C(not_udp)								\
	C(bad_length)	/* lengths of frame, IP and UDP disagree */		\
	C(bad_ip_check)								\
	C(ttl_expired)	/* nothing left to take one from */
SPA_COUNTERS(COUNTERS);

#define FLOWS_AT_START 1536	/* the table grows by itself */
#define DROP_LINES 8

/* Offsets in a frame without VLAN tag and IP options, the only kind that is forwarded. */
enum {
	OFF_TYPE = 12,
	OFF_IP = 14,
	OFF_TOT_LEN = 16,
	OFF_FRAG = 20,
	OFF_TTL = 22,
	OFF_PROTO = 23,
	OFF_IP_CHECK = 24,
	OFF_ADDRS = 26,		/* source, destination: 8 bytes */
	OFF_DST = 30,
	OFF_PORTS = 34,		/* source, destination: 4 bytes */
	OFF_DST_PORT = 36,
	OFF_UDP_LEN = 38,
	OFF_UDP_CHECK = 40,
	HEADERS = 42,
};

/*
 * The rewrite as masks: new = (old & keep) | set, without a branch. Addresses
 * and ports in the order and width in which they stand in the frame.
 */
struct flow {
	u64 key;
	u64 addrs_keep, addrs_set;
	u32 ports_keep, ports_set;
	u64 mac0;		/* destination, first 2 bytes of source */
	u32 mac8;		/* rest of source */
	u32 pad[5];
};
_Static_assert(sizeof(struct flow) == SPA_CACHELINE, "a flow is one cache line");

static struct spa_table flows;
static u32 wild;		/* flows that take any address or port */

/* Never 0. An address or port of 0 in a key means any. */
static inline u64 flow_key(be32 ip, be16 port)
{
	return 1ULL << 63 | (u64)ip << 16 | port;
}

/* ---- Drops: off the path, so they may take their time ------------------ */

static u32 drop_lines;

static SPA_COLD void log_drop(const struct spa_frame *f, const char *why)
{
	if (!SPA_PARAM(log_drops) || !drop_lines)
		return;
	drop_lines--;
	if (f->len >= HEADERS)
		spa_log("drop %s: %u bytes, %pI4:%u > %pI4:%u", why, f->len,
			(void *)(f->data + OFF_ADDRS), spa_ntohs(spa_get16(f->data + OFF_PORTS)),
			(void *)(f->data + OFF_DST), spa_ntohs(spa_get16(f->data + OFF_DST_PORT)));
	else
		spa_log("drop %s: %u bytes", why, f->len);
}

#define DROP(f, reason)				\
	do {					\
		SPA_COUNT(reason, 1);		\
		log_drop(f, #reason);		\
	} while (0)

/* Why a frame is not plain UDP over IPv4, most basic reason first. */
static SPA_COLD void drop_odd(const struct spa_frame *f)
{
	const u8 *d = f->data;

	if (f->len < OFF_IP)
		DROP(f, short_frame);
	else if (spa_get16(d + OFF_TYPE) != spa_htons(SPA_ETH_IP4))
		DROP(f, not_ip4);
	else if (f->len < OFF_ADDRS + 8)
		DROP(f, short_frame);
	else if (d[OFF_IP] >> 4 != 4)
		DROP(f, not_ip4);
	else if (d[OFF_IP] < 0x45)
		DROP(f, bad_length);
	else if (d[OFF_IP] > 0x45)
		DROP(f, ip_options);
	else if (d[OFF_PROTO] != SPA_IP_UDP)
		DROP(f, not_udp);
	else if (f->len < HEADERS)
		DROP(f, short_frame);
	else
		DROP(f, fragment);
}

static SPA_COLD void drop_length(const struct spa_frame *f) { DROP(f, bad_length); }
static SPA_COLD void drop_check(const struct spa_frame *f) { DROP(f, bad_ip_check); }
static SPA_COLD void drop_ttl(const struct spa_frame *f) { DROP(f, ttl_expired); }
static SPA_COLD void drop_no_flow(const struct spa_frame *f) { DROP(f, no_flow); }

/* ---- The path ---------------------------------------------------------- */

/* Version 4, 5 words, EtherType IPv4: one word. TOS, its last byte, may be anything. */
#define TYPE_MASK 0x00ffffffu
#define TYPE_IP4 0x00450008u
/* Fragment bits and offset 0, protocol UDP: one word. DF, the reserved bit and the TTL may be anything. */
#define FRAG_MASK 0xff00ff3fu
#define FRAG_UDP 0x11000000u

/*
 * The whole header's sum, checksum field included, folds to all ones: it is a
 * multiple of 65535, and not 0, since the version is not. Compilers test that
 * with one multiplication.
 */
static inline bool ip_check_ok(const u8 *ip)
{
	u64 s = (u64)spa_get32(ip) + spa_get32(ip + 4) + spa_get32(ip + 8) + spa_get32(ip + 12) +
		spa_get32(ip + 16);

	return s % 0xffff == 0;
}

/* The key of the frame's flow, or 0 when it was dropped. */
static inline u64 classify(const struct spa_frame *f, u32 ttl_min)
{
	const u8 *d = f->data;
	u32 total, udp;

	if (spa_unlikely(f->len < HEADERS ||
			 (spa_get32(d + OFF_TYPE) & TYPE_MASK) != TYPE_IP4 ||
			 (spa_get32(d + OFF_FRAG) & FRAG_MASK) != FRAG_UDP)) {
		drop_odd(f);
		return 0;
	}
	total = spa_ntohs(spa_get16(d + OFF_TOT_LEN));
	udp = spa_ntohs(spa_get16(d + OFF_UDP_LEN));
	if (spa_unlikely(total > f->len - OFF_IP || udp < 8 || udp + 20 > total)) {
		drop_length(f);
		return 0;
	}
	if (spa_unlikely(!ip_check_ok(d + OFF_IP))) {
		drop_check(f);
		return 0;
	}
	if (spa_unlikely(d[OFF_TTL] <= ttl_min)) {
		drop_ttl(f);
		return 0;
	}
	return flow_key(spa_get32(d + OFF_DST), spa_get16(d + OFF_DST_PORT));
}

static inline void rewrite(u8 *d, const struct flow *fl, u32 ttl_dec)
{
	u64 addrs = spa_get64(d + OFF_ADDRS);
	u64 new_addrs = (addrs & fl->addrs_keep) | fl->addrs_set;
	u32 ports = spa_get32(d + OFF_PORTS);
	u32 new_ports = (ports & fl->ports_keep) | fl->ports_set;
	u16 check = spa_get16(d + OFF_UDP_CHECK);
	u64 delta = spa_csum_delta64(addrs, new_addrs);

	/* TTL is the low byte of its word: ~m + (m - 1) = 0xfffe, whatever it was. */
	spa_put16(d + OFF_IP_CHECK,
		  spa_csum_apply(spa_get16(d + OFF_IP_CHECK), delta + (ttl_dec ? 0xfffe : 0)));
	d[OFF_TTL] -= (u8)ttl_dec;
	spa_put64(d + OFF_ADDRS, new_addrs);
	spa_put32(d + OFF_PORTS, new_ports);
	if (check)
		spa_put16(d + OFF_UDP_CHECK,
			  spa_udp_csum_apply(check, delta + spa_csum_delta32(ports, new_ports)));
	spa_put64(d, fl->mac0);
	spa_put32(d + 8, fl->mac8);
}

/* Flows that take anything, the more special first. */
static SPA_COLD const struct flow *find_wild(u64 key)
{
	be32 ip = (be32)(key >> 16);
	be16 port = (be16)key;
	const struct flow *fl;

	fl = spa_table_find(&flows, flow_key(ip, 0));
	if (!fl)
		fl = spa_table_find(&flows, flow_key(0, port));
	if (!fl)
		fl = spa_table_find(&flows, flow_key(0, 0));
	return fl;
}

void spa_rx(struct spa_batch *b)
{
	struct spa_frame *f = b->f, *end = f + b->n;
	const struct spa_table t = flows;	/* a copy stays in registers: frames may alias the original */
	u32 ttl_dec = (u32)SPA_PARAM(ttl_decrement), forwarded = 0;
	struct {
		u64 key;
		void *home;
	} find[SPA_BATCH], *k = find;

	drop_lines = DROP_LINES;
	/* A TTL of 0 must not be sent on, whether we take one or not. */
	for (; f != end; f++, k++) {
		k->key = classify(f, ttl_dec);
		k->home = spa_table_home(&t, k->key);
		__builtin_prefetch(k->home);
	}
	for (f = b->f, k = find; f != end; f++, k++) {
		const struct flow *fl;

		if (spa_unlikely(!k->key))
			continue;
		fl = spa_table_find_from(&t, k->home, k->key);
		if (spa_unlikely(!fl) && wild)
			fl = find_wild(k->key);
		if (spa_unlikely(!fl)) {
			drop_no_flow(f);
			continue;
		}
		rewrite(f->data, fl, ttl_dec);
		f->verdict = SPA_TX;
		forwarded++;
	}
	SPA_COUNT(forwarded, forwarded);
}

/* ---- Control ----------------------------------------------------------- */

static inline bool is_wild(const struct uls_msg_flow *m)
{
	return !m->match_dst_ip || !m->match_dst_port;
}

static void flow_fill(struct flow *fl, const struct uls_msg_flow *m)
{
	const u8 *src = spa_mac_is_zero(m->new_src_mac) ? spa_port_mac() : m->new_src_mac;
	u8 mac[12];

	spa_mac_copy(mac, m->new_dst_mac);
	spa_mac_copy(mac + 6, src);
	fl->mac0 = spa_get64(mac);
	fl->mac8 = spa_get32(mac + 8);
	fl->addrs_keep = (m->new_src_ip ? 0 : 0xffffffffULL) |
			 (m->new_dst_ip ? 0 : 0xffffffffULL << 32);
	fl->addrs_set = (u64)m->new_dst_ip << 32 | m->new_src_ip;
	fl->ports_keep = (m->new_src_port ? 0 : 0xffffu) | (m->new_dst_port ? 0 : 0xffffu << 16);
	fl->ports_set = (u32)m->new_dst_port << 16 | m->new_src_port;
}

/* A flow that is there already is replaced. */
static int flow_add(const struct uls_msg_flow *m)
{
	u32 before = flows.used;
	struct flow *fl;

	if (spa_mac_is_zero(m->new_dst_mac)) {
		spa_log("flow refused: the new destination MAC address is missing");
		return -SPA_EINVAL;
	}
	if (spa_mac_is_group(m->new_src_mac)) {
		spa_log("flow refused: %pM cannot be a source address", m->new_src_mac);
		return -SPA_EINVAL;
	}
	fl = spa_table_insert(&flows, flow_key(m->match_dst_ip, m->match_dst_port));
	if (!fl) {
		spa_log("flow refused: no room beside %u flows", flows.used);
		return -SPA_ENOMEM;
	}
	flow_fill(fl, m);
	if (flows.used != before && is_wild(m))
		wild++;
	return 0;
}

static int flow_del(const struct uls_msg_flow *m)
{
	if (!spa_table_delete(&flows, flow_key(m->match_dst_ip, m->match_dst_port)))
		return -SPA_ENOENT;
	if (is_wild(m))
		wild--;
	return 0;
}

int spa_init(void)
{
	int err = spa_table_init(&flows, sizeof(struct flow), FLOWS_AT_START, spa_clock());

	if (err)
		spa_log("no memory for the flow table");
	return err;
}

int spa_control(const struct uls_msg *msg)
{
	switch (msg->type) {
	case ULS_MSG_FLOW_ADD:
		return flow_add((const struct uls_msg_flow *)msg);
	case ULS_MSG_FLOW_DEL:
		return flow_del((const struct uls_msg_flow *)msg);
	default:
		return -SPA_EOPNOTSUPP;
	}
}
