// SPDX-License-Identifier: Apache-2.0
/*
 * filter - lets through less of a stream, so that what remains still decodes.
 *
 * Rules, each a parameter, by what the payload holds:
 *
 *	null_packets	MPEG-TS null packets (PID 0x1fff) go; the others of the
 *			datagram move up. Lossless: decoders ignore them.
 *	keyframes	of the video only access units that begin with
 *			random_access_indicator (or in a packet with the header's
 *			KEY flag) stay. PAT, PMT, other streams and the clock
 *			stay: a video packet that carries a PCR is kept as a
 *			packet of adaptation field only. Continuity counters are
 *			shifted by what was taken out, so a decoder sees no gap
 *			that the network did not make.
 *	audio		0: with `keyframes`, everything that is neither tables,
 *			video nor clock goes too
 *	discardable	packets with the header's DISCARDABLE flag go
 *
 * A datagram of which nothing remains goes on without payload and with the mark
 * THINNED, so that the numbering shows no loss where there was none (`gaps` = 1:
 * it is dropped). What is not MPEG-TS, or is compressed, passes as it is.
 *
 * `class` and `discardable` look at headers alone: with null_packets = 0 they work
 * where the payload is sealed.
 */
#include "spa.h"
#include "spa/stream.h"

SPA_MANIFEST("filter", "1.0", .heap = 256 << 10);

#define PARAMS(P)								\
	STREAM_NEXT_PARAMS(P)							\
	P(BOOL, null_packets, 1, "take MPEG-TS null packets out")		\
	P(BOOL, keyframes, 0, "of MPEG-TS video let only key frames pass")	\
	P(BOOL, audio, 1, "with keyframes: let streams that are no video pass")	\
	P(BOOL, discardable, 0, "take out packets marked discardable")		\
	P(U64, class, 0, "take out packets of this drop class and above; 0: none") \
	P(BOOL, gaps, 0, "drop a packet left empty instead of sending it empty")
SPA_PARAMS(PARAMS);

#define COUNTERS(C)								\
	STREAM_COUNTERS(C)							\
	C(passed)	/* datagrams that went on, changed or not */		\
	C(shortened)	/* of these: with less payload */			\
	C(emptied)	/* nothing remained: sent empty, or dropped */		\
	C(null_ts)	/* MPEG-TS packets taken out: null */			\
	C(video_ts)	/* of access units that are no key frames */		\
	C(other_ts)	/* neither video nor tables nor clock */		\
	C(bytes_saved)								\
	C(not_ts)	/* passed: the payload is no MPEG-TS, or compressed */	\
	C(gap)		/* the numbering jumped */				\
	C(no_state)	/* passed: no room to remember another stream */
SPA_COUNTERS(COUNTERS);

#define TS_LEN 188
#define TS_SYNC 0x47
#define PID_PAT 0
#define PID_FIRST_FREE 0x20	/* below: tables of fixed PIDs, DVB's among them */
#define PID_NULL 0x1fff
#define STREAMS 256

struct ts_state {
	struct stream_state s;
	u64 last_seq;
	u16 pmt_pid, video_pid;	/* 0: not known */
	u8 keeping;		/* the video's current access unit is a key frame */
	u8 taken;		/* payload packets taken out of the video, modulo 16 */
	u8 last_cc;		/* of the video as it came; 0xff: none yet */
	u8 pad[11];
};
_Static_assert(sizeof(struct ts_state) == SPA_CACHELINE, "a stream is one cache line");

static struct stream_states streams;

/* ---- MPEG-TS (ISO/IEC 13818-1) ----------------------------------------- */

static inline u16 ts_pid(const u8 *t) { return (u16)((t[1] & 0x1f) << 8 | t[2]); }
static inline bool ts_starts(const u8 *t) { return t[1] & 0x40; }
static inline bool ts_has_af(const u8 *t) { return t[3] & 0x20; }
static inline bool ts_has_payload(const u8 *t) { return t[3] & 0x10; }
static inline u8 ts_cc(const u8 *t) { return t[3] & 15; }
static inline void ts_set_cc(u8 *t, u8 cc) { t[3] = (u8)((t[3] & 0xf0) | (cc & 15)); }

/* Length of the adaptation field's body that is really there; 0: none, or its length is impossible. */
static inline u32 ts_af_len(const u8 *t)
{
	u32 max = ts_has_payload(t) ? 182 : 183;

	return ts_has_af(t) && t[4] <= max ? t[4] : 0;
}

/*
 * The section that begins in a packet of PAT or PMT: its bytes behind the
 * section header up to the CRC, as far as this packet holds them.
 */
static bool section(u8 *t, u8 table, struct spa_cursor *c)
{
	u32 at = 4, len;
	u8 *s;

	if (!ts_starts(t) || !ts_has_payload(t))
		return false;
	if (ts_has_af(t))
		at += 1u + t[4];
	if (at >= TS_LEN)
		return false;
	at += 1u + t[at];	/* pointer_field */
	if (at + 8 > TS_LEN)
		return false;
	s = t + at;
	len = (s[1] & 15u) << 8 | s[2];
	/* current_next_indicator: a table that is not yet valid says nothing. */
	if (s[0] != table || !(s[5] & 1) || len < 9)
		return false;
	len -= 9;
	*c = spa_cursor(s + 8, len < TS_LEN - at - 8 ? len : TS_LEN - at - 8);
	return true;
}

/* The PMT's PID of the first program. */
static void learn_pat(struct ts_state *st, u8 *t)
{
	struct spa_cursor c;
	u8 *e;

	if (!section(t, 0, &c))
		return;
	while ((e = spa_pull(&c, 4))) {
		u16 pid = (u16)((e[2] & 0x1f) << 8 | e[3]);

		if (!(e[0] | e[1]))
			continue;	/* program 0: the network's table */
		if (pid != st->pmt_pid)
			st->video_pid = 0;
		st->pmt_pid = pid;
		return;
	}
}

static bool is_video(u8 type)
{
	switch (type) {
	case 0x01:	/* MPEG-1 */
	case 0x02:	/* MPEG-2 */
	case 0x10:	/* MPEG-4 part 2 */
	case 0x1b:	/* H.264 */
	case 0x24:	/* H.265 */
	case 0x33:	/* H.266 */
		return true;
	default:
		return false;
	}
}

static void learn_pmt(struct ts_state *st, u8 *t)
{
	struct spa_cursor c;
	u8 *e;

	if (!section(t, 2, &c))
		return;
	e = spa_pull(&c, 4);	/* PCR PID, length of the program's descriptors */
	if (!e || !spa_pull(&c, (e[2] & 15u) << 8 | e[3]))
		return;
	while ((e = spa_pull(&c, 5))) {
		u16 pid = (u16)((e[1] & 0x1f) << 8 | e[2]);

		if (is_video(e[0])) {
			if (pid != st->video_pid) {
				st->video_pid = pid;
				st->keeping = 0;
				st->taken = 0;
				st->last_cc = 0xff;
			}
			return;
		}
		if (!spa_pull(&c, (e[3] & 15u) << 8 | e[4]))
			return;
	}
}

/* Leaves the adaptation field, which has the clock, and takes the payload out. */
static void only_clock(u8 *t, u32 af_len)
{
	t[1] &= 0xbf;	/* nothing starts here */
	t[3] = (u8)((t[3] & 0xcf) | 0x20);
	t[4] = 183;
	memset(t + 5 + af_len, 0xff, 183 - af_len);
}

/* Whether a packet of the video stays. */
static bool video(struct ts_state *st, u8 *t, bool key)
{
	u32 af_len = ts_af_len(t);
	u8 cc = ts_cc(t), flags = af_len ? t[5] : 0;
	bool again;

	if (!ts_has_payload(t)) {
		ts_set_cc(t, (u8)(cc - st->taken));
		return true;
	}
	again = cc == st->last_cc;	/* sent twice, which the standard allows: the counter stands */
	st->last_cc = cc;
	if (ts_starts(t))
		st->keeping = flags & 0x40 || key;
	if (st->keeping) {
		ts_set_cc(t, (u8)(cc - st->taken));
		return true;
	}
	if (!again)
		st->taken = (st->taken + 1) & 15;
	SPA_COUNT(video_ts, 1);
	/* PCR: a flag and six bytes. */
	if (!(flags & 0x10) || af_len < 7)
		return false;
	only_clock(t, af_len);
	ts_set_cc(t, (u8)(cc - st->taken));
	return true;
}

/* Whether one MPEG-TS packet stays. Without st only null packets are known. */
static inline bool stays(struct ts_state *st, u8 *t, bool key)
{
	u16 pid = ts_pid(t);

	if (pid == PID_NULL && SPA_PARAM(null_packets)) {
		SPA_COUNT(null_ts, 1);
		return false;
	}
	if (!st || t[1] & 0x80)		/* damaged on the way: what it says is not to be trusted */
		return true;
	if (pid == PID_PAT) {
		learn_pat(st, t);
		return true;
	}
	if (pid == st->pmt_pid && pid) {
		learn_pmt(st, t);
		return true;
	}
	if (!st->video_pid)
		return true;
	if (pid == st->video_pid)
		return video(st, t, key);
	if (SPA_PARAM(audio) || pid < PID_FIRST_FREE || pid == PID_NULL ||
	    (ts_af_len(t) >= 7 && t[5] & 0x10))
		return true;
	SPA_COUNT(other_ts, 1);
	return false;
}

static bool is_ts(const struct stream_pkt *p)
{
	u32 i;

	if (!p->len || p->len % TS_LEN || p->h->flags & STREAM_COMPRESSED)
		return false;
	for (i = 0; i < p->len; i += TS_LEN)
		if (p->data[i] != TS_SYNC)
			return false;
	return true;
}

/* Takes out what goes; the length that remains. */
static u32 compact(struct ts_state *st, struct stream_pkt *p)
{
	bool key = p->h->flags & STREAM_KEY;
	u8 *to = p->data, *t = p->data, *end = p->data + p->len;

	for (; t < end; t += TS_LEN) {
		if (!stays(st, t, key))
			continue;
		if (to != t)
			memmove(to, t, TS_LEN);
		to += TS_LEN;
	}
	return (u32)(to - p->data);
}

/* ---- Streams ----------------------------------------------------------- */

static struct ts_state *state(const struct stream_hdr *h)
{
	struct ts_state *st = stream_states_get(&streams, h);
	u64 seq = stream_seq(h);

	if (!st) {
		SPA_COUNT(no_state, 1);
		return NULL;
	}
	if (!st->last_seq) {
		st->last_cc = 0xff;
	} else if (seq != st->last_seq + 1) {
		SPA_COUNT(gap, 1);
		/* What is missing may have begun another access unit: wait for one that is seen to begin. */
		st->keeping = 0;
		st->last_cc = 0xff;
	}
	if (seq > st->last_seq)
		st->last_seq = seq;
	return st;
}

static u32 remains(struct ts_state *st, struct stream_pkt *p)
{
	if (SPA_PARAM(discardable) && p->h->flags & STREAM_DISCARDABLE)
		return 0;
	if (SPA_PARAM(class) && p->h->drop_class >= SPA_PARAM(class) && !(p->h->flags & STREAM_END))
		return 0;
	if (!is_ts(p)) {
		SPA_COUNT(not_ts, 1);
		return p->len;
	}
	return st || SPA_PARAM(null_packets) ? compact(st, p) : p->len;
}

static enum spa_verdict filter(struct spa_frame *f, const struct stream_link *next)
{
	struct ts_state *st = NULL;
	struct stream_pkt p;

	if (!STREAM_TAKE(&p, f))
		return SPA_DROP;
	/* Without payload, too: the numbering goes on. */
	if (SPA_PARAM(keyframes) && !(p.h->flags & STREAM_BEAT))
		st = state(p.h);
	if (p.len) {
		u32 before = p.len, len = remains(st, &p);

		SPA_COUNT(bytes_saved, before - len);
		if (!len) {
			SPA_COUNT(emptied, 1);
			if (SPA_PARAM(gaps) && !(p.h->flags & STREAM_END))
				return SPA_DROP;
			p.h->marks |= STREAM_THINNED;
		} else if (len < before) {
			SPA_COUNT(shortened, 1);
		}
		stream_set_len(&p, f, len);
		stream_seal(&p);
	}
	if (next)
		stream_redirect(f->data, next);
	SPA_COUNT(passed, 1);
	return SPA_TX;
}

void spa_rx(struct spa_batch *b)
{
	struct stream_link next = STREAM_NEXT();
	const struct stream_link *to = stream_link_any(&next) ? &next : NULL;
	u32 i;

	for (i = 0; i < b->n; i++)
		b->f[i].verdict = filter(&b->f[i], to);
}

int spa_init(void)
{
	int err = stream_states_init(&streams, sizeof(struct ts_state), STREAMS);

	if (err)
		spa_log("no memory to remember %u streams", STREAMS);
	return err;
}
