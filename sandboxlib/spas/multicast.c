// SPDX-License-Identifier: Apache-2.0
/*
 * multicast - one datagram in, one to each child out.
 *
 * Children are flows (ULS_MSG_FLOW_ADD): what arrives for match_dst_ip and
 * match_dst_port (0: any) goes to each new_dst_ip, new_dst_port of that match. The
 * flow that is deleted is that with the same match and destination; without a
 * destination, all of that match.
 *
 * The frame that came goes to the child added last, in place. For each other
 * child it is copied, header and payload: a transmit descriptor names one
 * frame, and each frame has one owner, so a payload cannot be sent twice from one place.
 * When no free frame is left, that child misses that packet (`no_frame`).
 */
#include "spa.h"
#include "spa/stream.h"

SPA_MANIFEST("multicast", "1.0", .heap = 256 << 10);

#define COUNTERS(C)								\
	STREAM_COUNTERS(C)							\
	C(packets)	/* for which there was a child */			\
	C(copies)	/* sent, the frame that came included */		\
	C(no_child)	/* dropped */						\
	C(no_frame)	/* a child that missed a packet, for want of a frame */	\
	C(children)	/* now */
SPA_COUNTERS(COUNTERS);

#define GROUPS 64
#define CHILDREN 64	/* of one group */

struct group {
	u64 key;
	u32 n, pad;
	struct stream_link *child;	/* [CHILDREN] */
};

static struct spa_table groups;

/* Never 0. */
static inline u64 group_key(be32 ip, be16 port)
{
	return 1ULL << 63 | (u64)ip << 16 | port;
}

static struct group *find(be32 ip, be16 port)
{
	struct group *g = spa_table_find(&groups, group_key(ip, port));

	if (!g)
		g = spa_table_find(&groups, group_key(ip, 0));
	if (!g)
		g = spa_table_find(&groups, group_key(0, port));
	if (!g)
		g = spa_table_find(&groups, group_key(0, 0));
	return g;
}

static void copy_to(const struct spa_frame *f, const struct stream_link *to)
{
	struct spa_frame c;

	if (!spa_frame_alloc(&c)) {
		SPA_COUNT(no_frame, 1);
		return;
	}
	if (spa_frame_room(&c) < f->len) {	/* headroom differs from port to port */
		SPA_COUNT(no_frame, 1);
		spa_frame_free(&c);
		return;
	}
	memcpy(c.data, f->data, f->len);
	c.len = f->len;
	stream_redirect(c.data, to);
	if (spa_send(&c)) {
		SPA_COUNT(copies, 1);
		return;
	}
	spa_counters->v[SPA_LIB_tx_full]++;
	spa_frame_free(&c);
}

static inline enum spa_verdict multicast(struct spa_frame *f)
{
	struct stream_pkt p;
	struct group *g;
	u32 i;

	if (!STREAM_TAKE(&p, f))
		return SPA_DROP;
	g = find(p.ip->dst, p.udp->dst);
	if (!g) {
		SPA_COUNT(no_child, 1);
		return SPA_DROP;
	}
	for (i = 0; i + 1 < g->n; i++)
		copy_to(f, &g->child[i]);
	stream_redirect(f->data, &g->child[i]);
	SPA_COUNT(packets, 1);
	SPA_COUNT(copies, 1);
	return SPA_TX;
}
SPA_PER_FRAME(multicast)

/* ---- Control ----------------------------------------------------------- */

static u32 child_index(const struct group *g, const struct uls_msg_flow *m)
{
	u32 i;

	for (i = 0; i < g->n; i++)
		if (g->child[i].dst_ip == m->new_dst_ip && g->child[i].dst_port == m->new_dst_port)
			break;
	return i;
}

/* A child that is there already is replaced. */
static int child_add(const struct uls_msg_flow *m)
{
	u64 key = group_key(m->match_dst_ip, m->match_dst_port);
	struct stream_link *l;
	struct group *g;
	u32 i;

	if (!m->new_dst_ip && !m->new_dst_port) {
		spa_log("child refused: it has no address");
		return -SPA_EINVAL;
	}
	g = spa_table_find(&groups, key);
	if (!g) {
		l = groups.used < GROUPS ? spa_alloc(CHILDREN * sizeof(*l)) : NULL;
		g = l ? spa_table_insert(&groups, key) : NULL;
		if (!g) {
			spa_free(l);
			spa_log("child refused: no room beside %u groups", groups.used);
			return -SPA_ENOMEM;
		}
		g->child = l;
	}
	i = child_index(g, m);
	if (i == CHILDREN) {
		spa_log("child refused: the group has %u", CHILDREN);
		return -SPA_ENOSPC;
	}
	if (i == g->n) {
		g->n++;
		SPA_COUNT(children, 1);
	}
	l = &g->child[i];
	*l = (struct stream_link){ .src_ip = m->new_src_ip, .dst_ip = m->new_dst_ip,
				   .src_port = m->new_src_port, .dst_port = m->new_dst_port };
	spa_mac_copy(l->dst_mac, m->new_dst_mac);
	if (!spa_mac_is_zero(m->new_dst_mac))
		spa_mac_copy(l->src_mac, spa_mac_is_zero(m->new_src_mac) ? spa_port_mac() : m->new_src_mac);
	return 0;
}

static int child_del(const struct uls_msg_flow *m)
{
	u64 key = group_key(m->match_dst_ip, m->match_dst_port);
	struct group *g = spa_table_find(&groups, key);
	u32 i;

	if (!g)
		return -SPA_ENOENT;
	if (!m->new_dst_ip && !m->new_dst_port) {
		spa_counters->v[SPA__COUNTER_children] -= g->n;
		g->n = 0;
	} else {
		i = child_index(g, m);
		if (i == g->n)
			return -SPA_ENOENT;
		g->n--;
		spa_counters->v[SPA__COUNTER_children]--;
		/* The others keep their order, or packets of one child could overtake one another. */
		memmove(&g->child[i], &g->child[i + 1], (g->n - i) * sizeof(*g->child));
	}
	if (!g->n) {
		spa_free(g->child);
		spa_table_delete(&groups, key);
	}
	return 0;
}

int spa_control(const struct uls_msg *msg)
{
	switch (msg->type) {
	case ULS_MSG_FLOW_ADD:
		return child_add((const struct uls_msg_flow *)msg);
	case ULS_MSG_FLOW_DEL:
		return child_del((const struct uls_msg_flow *)msg);
	default:
		return -SPA_EOPNOTSUPP;
	}
}

int spa_init(void)
{
	return spa_table_init(&groups, sizeof(struct group), GROUPS, spa_clock());
}
