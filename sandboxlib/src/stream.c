// SPDX-License-Identifier: Apache-2.0
/*
 * The overlay's data header (spa/stream.h).
 */
#include "lib.h"
#include "spa/stream.h"

/* EtherType, version and header length as one word; flags and offset, TTL (any) and protocol as another. */
#define TYPE_IP4 (0x0008u | 0x45u << 16)
#define TYPE_MASK 0x00ffffffu
#define FRAG_UDP ((u32)SPA_IP_UDP << 24)
#define FRAG_MASK 0xff00ff3fu	/* all but "don't fragment" and the reserved bit */

enum {
	OFF_TYPE = 12,
	OFF_IP = 14,
	OFF_FRAG = 20,
	OFF_UDP = 34,
};

enum stream_err stream_parse(struct stream_pkt *p, struct spa_frame *f)
{
	u8 *d = f->data;
	struct spa_ip4 *ip = (void *)(d + OFF_IP);
	struct spa_udp *udp = (void *)(d + OFF_UDP);
	struct stream_hdr *h = (void *)(d + STREAM_FRONT);
	u32 total, n;

	if (f->len < STREAM_FRONT || (spa_get32(d + OFF_TYPE) & TYPE_MASK) != TYPE_IP4 ||
	    (spa_get32(d + OFF_FRAG) & FRAG_MASK) != FRAG_UDP)
		return STREAM_FOREIGN;
	total = spa_ntohs(ip->tot_len);
	n = spa_ntohs(udp->len);
	if (total > f->len - OFF_IP || n + 20 != total || n < 8 + STREAM_HDR || !spa_ip4_check_ok(ip))
		return STREAM_BROKEN;
	if (udp->check) {
		u64 pseudo = (u64)ip->src + ip->dst + ((u32)SPA_IP_UDP << 8) + udp->len;

		if (spa_csum_fold(spa_csum_add(udp, n, pseudo)) != 0xffff)
			return STREAM_BROKEN;
	}
	if (h->version != STREAM_VERSION || !h->seq_be || h->reserved | h->reserved2 | (h->marks & ~STREAM_THINNED) ||
	    h->part > h->last_part || (h->marks && n != 8 + STREAM_HDR))
		return STREAM_UNKNOWN;
	f->len = OFF_IP + total;
	p->ip = ip;
	p->udp = udp;
	p->h = h;
	p->data = (u8 *)(h + 1);
	p->len = n - 8 - STREAM_HDR;
	return STREAM_OK;
}

void stream_set_len(struct stream_pkt *p, struct spa_frame *f, u32 len)
{
	u32 n = 8 + STREAM_HDR + len;
	be16 total = spa_htons((u16)(n + 20));

	p->ip->check = spa_csum_apply(p->ip->check, spa_csum_delta16(p->ip->tot_len, total));
	p->ip->tot_len = total;
	p->udp->len = spa_htons((u16)n);
	p->len = len;
	f->len = STREAM_FRONT + STREAM_HDR + len;
}

void stream_seal(struct stream_pkt *p)
{
	if (!p->udp->check)
		return;
	p->udp->check = 0;
	p->udp->check = spa_udp4_csum(p->ip->src, p->ip->dst, p->udp, spa_ntohs(p->udp->len));
}

void stream_redirect(u8 *d, const struct stream_link *to)
{
	struct spa_ip4 *ip = (void *)(d + OFF_IP);
	struct spa_udp *udp = (void *)(d + OFF_UDP);
	be32 src = to->src_ip ? to->src_ip : ip->src, dst = to->dst_ip ? to->dst_ip : ip->dst;
	be16 sport = to->src_port ? to->src_port : udp->src, dport = to->dst_port ? to->dst_port : udp->dst;
	u64 addrs = spa_csum_delta32(ip->src, src) + spa_csum_delta32(ip->dst, dst);

	ip->check = spa_csum_apply(ip->check, addrs);
	udp->check = spa_udp_csum_apply(udp->check, addrs + spa_csum_delta16(udp->src, sport) +
					spa_csum_delta16(udp->dst, dport));
	ip->src = src;
	ip->dst = dst;
	udp->src = sport;
	udp->dst = dport;
	if (!spa_mac_is_zero(to->dst_mac))
		spa_mac_copy(d, to->dst_mac);
	if (!spa_mac_is_zero(to->src_mac))
		spa_mac_copy(d + SPA_ETH_ALEN, to->src_mac);
}

void stream_spend(struct stream_pkt *p, u64 us)
{
	u32 add = us > 0xffffffffu ? 0xffffffffu : (u32)us;
	u32 elapsed = stream_elapsed_us(p->h), budget = stream_budget_us(p->h);
	be32 e = spa_htonl(elapsed + add < elapsed ? 0xffffffffu : elapsed + add), b = p->h->budget_us;

	if (budget != STREAM_NO_BUDGET)
		b = spa_htonl(budget < add ? 0 : budget - add);
	p->udp->check = spa_udp_csum_apply(p->udp->check, spa_csum_delta32(p->h->elapsed_us, e) +
					   spa_csum_delta32(p->h->budget_us, b));
	p->h->elapsed_us = e;
	p->h->budget_us = b;
}

struct stream_link stream_next(u64 src_ip, u64 ip, u64 port, u64 mac)
{
	struct stream_link l = { .src_ip = (be32)src_ip, .dst_ip = (be32)ip, .dst_port = spa_htons((u16)port) };
	u32 i;

	for (i = 0; i < SPA_ETH_ALEN; i++)
		l.dst_mac[i] = (u8)(mac >> 8 * i);
	if (mac)
		spa_mac_copy(l.src_mac, spa_port_mac());
	return l;
}

int stream_states_init(struct stream_states *s, size_t size, u32 max)
{
	s->seed = spa_clock();
	s->max = max;
	s->swept_ns = 0;
	return spa_table_init(&s->t, size, max, s->seed);
}

bool stream_states_sweep(struct stream_states *s, u64 now)
{
	struct stream_state *e;
	u64 keys[16];
	u32 n = 0, i;

	for (e = NULL; n < spa_array_size(keys) && (e = spa_table_next(&s->t, e));)
		if (now > e->used_ns && now - e->used_ns >= STREAM_IDLE_NS)
			keys[n++] = e->key;
	for (i = 0; i < n; i++) {
		if (s->drop)
			s->drop(spa_table_find(&s->t, keys[i]));
		spa_table_delete(&s->t, keys[i]);
	}
	return n;
}

/* The same when the table is full, but at most once a second: it looks at every stream. */
static SPA_COLD bool make_room(struct stream_states *s, u64 now)
{
	if (s->swept_ns && now - s->swept_ns < 1000000000)
		return false;
	s->swept_ns = now;
	return stream_states_sweep(s, now);
}

void *stream_states_get(struct stream_states *s, const struct stream_hdr *h)
{
	u64 key = stream_key(h, s->seed), now = spa_now();
	struct stream_state *e = spa_table_find(&s->t, key);

	if (spa_unlikely(!e)) {
		if (s->t.used >= s->max && !make_room(s, now))
			return NULL;
		e = spa_table_insert(&s->t, key);
		if (!e)
			return NULL;
		memcpy(e->id, h->id, sizeof(e->id));
	} else if (spa_unlikely(!stream_same(e->id, h->id))) {
		return NULL;	/* another stream with the same key: one in 2^64 */
	} else if (spa_unlikely(now > e->used_ns && now - e->used_ns >= STREAM_IDLE_NS)) {
		/* After so long a silence it is as new, swept or not. */
		if (s->drop)
			s->drop(e);
		memset(e + 1, 0, ((size_t)1 << s->t.log2size) - sizeof(*e));
	}
	e->used_ns = now;
	return e;
}

/* Clears the places of the numbers in (top, seq); the window is longer than that, or all of it goes. */
static void forget(struct stream_seen *s, u64 seq)
{
	u64 i = s->top + 1;

	if (seq - s->top >= STREAM_WINDOW) {
		memset(s->bits, 0, sizeof(s->bits));
		return;
	}
	for (; i < seq && i % 64; i++)
		s->bits[i % STREAM_WINDOW / 64] &= ~(1ULL << i % 64);
	for (; i + 64 <= seq; i += 64)
		s->bits[i % STREAM_WINDOW / 64] = 0;
	for (; i < seq; i++)
		s->bits[i % STREAM_WINDOW / 64] &= ~(1ULL << i % 64);
}

enum stream_order stream_see(struct stream_seen *s, u64 seq, u64 *gap)
{
	u64 *word = &s->bits[seq % STREAM_WINDOW / 64], bit = 1ULL << seq % 64;
	enum stream_order r = STREAM_NEXT;

	*gap = 0;
	if (!s->top) {
		s->first = seq;
		s->top = seq;
		*word = bit;
		return STREAM_NEXT;
	}
	if (seq > s->top) {
		*gap = seq - s->top - 1;
		forget(s, seq);
		s->top = seq;
		*word |= bit;
		return *gap ? STREAM_AHEAD : STREAM_NEXT;
	}
	if (s->top - seq >= STREAM_WINDOW)
		return STREAM_OLD;
	r = *word & bit ? STREAM_AGAIN : STREAM_BEHIND;
	*word |= bit;
	return r;
}
