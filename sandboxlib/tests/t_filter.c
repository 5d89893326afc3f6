// SPDX-License-Identifier: Apache-2.0
/*
 * filter: a made-up MPEG-TS stream, and a receiver that takes apart what comes
 * out: continuity of every PID, whole access units of the kind asked for and
 * no other, tables, sound and clock untouched.
 */
#define _GNU_SOURCE	/* memmem */
#include <string.h>

#include "agent.h"

#define PID_PMT 0x1000
#define PID_VIDEO 0x100
#define PID_AUDIO 0x101
#define PID_NULL 0x1fff

/* ---- A multiplexer ----------------------------------------------------- */

static uint8_t ts[20000][188];
static unsigned int nts;
static uint8_t cc[0x2000];
static uint32_t units, keys, pcrs;

/* What of the video the units asked for consist of, and all of the sound. */
static uint8_t key_bytes[1 << 20], all_bytes[1 << 22], sound_bytes[1 << 20];
static uint32_t nkey, nall, nsound;

/* One packet of at most `n` bytes of payload; how many it took. af: flags of the adaptation field, or -1. */
static uint32_t packet(uint32_t pid, bool start, int af, const uint8_t *p, uint32_t n)
{
	uint8_t *t = ts[nts++];
	uint32_t head = 4, len = 0;

	t[0] = 0x47;
	t[1] = (uint8_t)(pid >> 8 | (start ? 0x40 : 0));
	t[2] = (uint8_t)pid;
	t[3] = (uint8_t)(0x10 | (cc[pid]++ & 15));
	if (af >= 0 || n < 184) {
		t[3] |= 0x20;
		len = af >= 0 ? (af & 0x10 ? 7 : 1) : n == 183 ? 0 : 1;
		if (5 + len + n < 188)
			len = 183 - n;
		t[4] = (uint8_t)len;
		if (len) {
			memset(t + 5, 0xff, len);
			t[5] = (uint8_t)(af < 0 ? 0 : af);
		}
		if (len >= 7 && t[5] & 0x10) {
			pcrs++;
			memset(t + 6, 0x11, 6);
			t[6] = (uint8_t)pcrs;
		}
		head = 5 + len;
	}
	if (n > 188 - head)
		n = 188 - head;
	memcpy(t + head, p, n);
	return n;
}

/* Adaptation field only: the counter stands. */
static void clock_packet(void)
{
	uint8_t *t = ts[nts];

	packet(PID_VIDEO, false, 0x10, t, 0);
	cc[PID_VIDEO]--;
	t[3] = (uint8_t)(0x20 | ((cc[PID_VIDEO] - 1) & 15));
}

static void null_packet(void)
{
	uint8_t p[184];

	memset(p, 0xff, sizeof(p));
	packet(PID_NULL, false, -1, p, 184);
}

static void table(uint32_t pid, const uint8_t *section, uint32_t n)
{
	uint8_t p[184];

	memset(p, 0xff, sizeof(p));
	p[0] = 0;
	memcpy(p + 1, section, n);
	packet(pid, true, -1, p, 184);
}

static void tables(uint8_t video_type)
{
	static const uint8_t pat[] = { 0, 0xb0, 17, 0, 1, 0xc1, 0, 0, 0, 0, 0xe0, 0x10, 0, 1, 0xf0, 0, 1, 2, 3, 4 };
	uint8_t pmt[] = { 2, 0xb0, 28, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 2, 9, 0,
			  0x0f, 0xe1, 1, 0xf0, 3, 10, 1, 0, video_type, 0xe1, 0, 0xf0, 0, 1, 2, 3, 4 };

	table(0, pat, sizeof(pat));
	table(PID_PMT, pmt, sizeof(pmt));
}

/* One access unit of n bytes. A clock now and then, in units of all kinds. */
static void unit(bool key, uint32_t n)
{
	static uint8_t b[20000];
	uint32_t i, at = 0;

	for (i = 0; i < n; i++)
		b[i] = (uint8_t)rnd();
	units++;
	keys += key;
	if (key) {
		memcpy(key_bytes + nkey, b, n);
		nkey += n;
	}
	memcpy(all_bytes + nall, b, n);
	nall += n;
	while (at < n) {
		int af = at ? -1 : key ? 0x40 : below(2) ? 0 : -1;

		if (!below(12))
			af = (af < 0 ? 0 : af) | 0x10;
		at += packet(PID_VIDEO, !at, af, b + at, n - at);
		/* Sent twice, which is allowed; not with a clock in it, of which each is checked. */
		if (!below(25) && !(ts[nts - 1][3] & 0x20 && ts[nts - 1][5] & 0x10)) {
			memcpy(ts[nts], ts[nts - 1], 188);
			nts++;
		}
		if (!below(30))
			clock_packet();
		if (!below(9)) {
			uint8_t p[184];

			for (i = 0; i < 184; i++)
				p[i] = (uint8_t)rnd();
			nsound += packet(PID_AUDIO, below(2), -1, p, 184);
			memcpy(sound_bytes + nsound - 184, p, 184);
		}
		while (!below(4))
			null_packet();
	}
}

static void programme(uint32_t n)
{
	uint32_t i;

	nts = units = keys = pcrs = nkey = nall = nsound = 0;
	memset(cc, 0, sizeof(cc));
	for (i = 0; i < n; i++) {
		if (i % 10 == 0)
			tables(0x1b);
		unit(i % 12 == 0, 1 + (below(3) ? below(900) : below(9000)));
	}
}

/* ---- A receiver -------------------------------------------------------- */

static struct {
	uint32_t packets, nulls, tables, clocks, clocks_wrong, bad, gaps, foreign;
	uint8_t video[1 << 22], sound[1 << 20];
	uint32_t nvideo, nsound;
	int last[0x2000];
} rx;

static bool only_keys;	/* look each piece of video up among the key frames' bytes */

static void receive(const uint8_t *t)
{
	uint32_t pid = (t[1] & 0x1fu) << 8 | t[2], head = 4, len = 0;
	bool data = t[3] & 0x10;
	int c = t[3] & 15;

	rx.packets++;
	rx.bad += t[0] != 0x47;
	if (t[3] & 0x20) {
		len = t[4];
		rx.bad += len > (data ? 182 : 183);
		head = 5 + len;
		if (len >= 7 && t[5] & 0x10) {
			rx.clocks++;
			/* Each clock once, and in order. */
			rx.clocks_wrong += t[6] != (uint8_t)rx.clocks || t[7] != 0x11;
		}
	}
	if (pid == PID_NULL) {
		rx.nulls++;
		return;
	}
	if (data && c == rx.last[pid])
		return;		/* the second of two */
	rx.bad += !data && t[1] & 0x40;
	if (rx.last[pid] >= 0)
		rx.gaps += c != ((rx.last[pid] + data) & 15);
	rx.last[pid] = c;
	if (!data)
		return;
	if (pid == 0 || pid == PID_PMT) {
		rx.tables++;
	} else if (pid == PID_VIDEO) {
		if (only_keys)
			rx.foreign += !memmem(key_bytes, nkey, t + head, head > 172 ? 188 - head : 16);
		memcpy(rx.video + rx.nvideo, t + head, 188 - head);
		rx.nvideo += 188 - head;
	} else if (pid == PID_AUDIO) {
		memcpy(rx.sound + rx.nsound, t + head, 188 - head);
		rx.nsound += 188 - head;
	}
}

static uint8_t stream_id;
static uint32_t sent, empty;

/* The programme through the filter, 1 to 7 packets a datagram. */
static void play(bool lose)
{
	uint64_t seq = 0;
	uint32_t i = 0, j;
	static uint8_t f[2048];

	stream_id++;
	sent = empty = 0;
	memset(&rx, 0, sizeof(rx));
	memset(rx.last, 0xff, sizeof(rx.last));
	while (i < nts) {
		uint32_t n = below(4) ? 7 : 1 + below(7);

		if (n > nts - i)
			n = nts - i;
		seq++;
		if (!lose || seq == 1 || below(20)) {
			agent_clear();
			give(f, build(f, stream_id, seq, 0, ts[i], n * 188, seq % 2));
			agent_run();
			sent++;
			for (j = 0; j < ngot; j++) {
				uint32_t at;

				rx.bad += !sound(got[j].f, got[j].len) || seq_of(got[j].f) != seq;
				rx.bad += (got[j].len - FRONT - HDR) % 188 != 0;
				empty += got[j].len == FRONT + HDR;
				for (at = FRONT + HDR; at < got[j].len; at += 188)
					receive(got[j].f + at);
			}
			rx.bad += ngot > 1;
		}
		i += n;
	}
}

static bool same(const uint8_t *a, uint32_t n, const uint8_t *b, uint32_t m)
{
	return n == m && !memcmp(a, b, n);
}

static uint32_t table_count(void)
{
	uint32_t i, n = 0;

	for (i = 0; i < nts; i++)
		n += ((ts[i][1] & 0x1fu) << 8 | ts[i][2]) % PID_PMT == 0;
	return n;
}

static void test_null(void)
{
	uint32_t before;

	programme(400);
	set("null_packets", 1);
	set("keyframes", 0);
	play(false);
	is(rx.bad + rx.gaps, 0, "null packets: what comes out is a stream without gaps");
	is(rx.nulls, 0, "null packets: none");
	ok(same(rx.video, rx.nvideo, all_bytes, nall), "null packets: every byte of the video");
	ok(same(rx.sound, rx.nsound, sound_bytes, nsound), "null packets: every byte of the sound");
	ok(rx.clocks == pcrs && !rx.clocks_wrong, "null packets: every clock (%u)", pcrs);
	is((long long)counter("null_ts"), (long long)(nts - rx.packets), "null packets: counted");
	ok(counter("null_ts") > 1000, "null packets: there were %u", (unsigned int)counter("null_ts"));
	is((long long)counter("bytes_saved"), (long long)counter("null_ts") * 188, "null packets: bytes saved");
	before = rx.packets;
	set("null_packets", 0);
	play(false);
	ok(rx.packets == nts && before < nts, "null packets: off, all pass");
}

static void test_keys(void)
{
	uint64_t gaps;

	programme(800);
	set("null_packets", 1);
	set("keyframes", 1);
	gaps = counter("gap");
	play(false);
	is(rx.bad, 0, "key frames: what comes out is sound");
	is(rx.gaps, 0, "key frames: no counter shows a gap");
	ok(same(rx.video, rx.nvideo, key_bytes, nkey), "key frames: every byte of them and no other (%u of %u)", nkey, nall);
	ok(same(rx.sound, rx.nsound, sound_bytes, nsound), "key frames: every byte of the sound");
	ok(rx.clocks == pcrs && !rx.clocks_wrong, "key frames: every clock, in order (%u)", pcrs);
	is(rx.tables, table_count(), "key frames: every table");
	is((long long)(counter("gap") - gaps), 0, "key frames: no gap in the numbering");
	ok(empty > 10, "key frames: datagrams that hold none go on empty (%u)", empty);
	set("gaps", 1);
	play(false);
	ok(!empty && !rx.bad && same(rx.video, rx.nvideo, key_bytes, nkey), "gaps: they do not go on");
	set("gaps", 0);
	set("audio", 0);
	play(false);
	ok(!rx.bad && !rx.gaps && !rx.nsound && same(rx.video, rx.nvideo, key_bytes, nkey) && rx.clocks == pcrs,
	   "audio: gone, and nothing else");
	is((long long)counter("other_ts") * 184, nsound, "audio: counted");
	set("audio", 1);
	/* Before the tables are known nothing can be told apart. */
	memmove(ts, ts + 2, (nts -= 2) * sizeof(*ts));
	play(false);
	ok(rx.nvideo > nkey && rx.nvideo < nall, "key frames: until the tables come everything passes");
}

/* What comes through of the video belongs to key frames, whatever is lost (but the first tables). */
static void test_loss(void)
{
	uint64_t gaps = counter("gap");
	uint32_t round, wrong = 0, foreign = 0, pieces = 0;

	only_keys = true;
	for (round = 0; round < 10; round++) {
		programme(200);
		play(true);
		wrong += rx.bad;
		foreign += rx.foreign;
		pieces += rx.nvideo / 184;
	}
	only_keys = false;
	is(wrong, 0, "loss: what comes out is sound");
	is(foreign, 0, "loss: and nothing but key frames");
	ok(counter("gap") > gaps + 20, "loss: gaps are counted (%u)", (unsigned int)(counter("gap") - gaps));
	ok(pieces > 500, "loss: key frames still come through (%u pieces)", pieces);
}

/* The tables change: one that is damaged says nothing, a new video begins with its own key frame. */
static void test_tables(void)
{
	uint8_t b[184];
	uint32_t at;

	memset(b, 'v', sizeof(b));
	nts = nkey = 0;
	tables(0x1b);
	packet(PID_VIDEO, true, 0x40, b, 100);
	at = nts;
	tables(0x1b);
	ts[at][1] |= 0x80;
	ts[at][20] ^= 1;	/* the PMT elsewhere */
	ts[at + 1][1] |= 0x80;
	ts[at + 1][27] = 3;	/* sound in place of the video */
	packet(PID_VIDEO, false, -1, b, 184);
	packet(PID_VIDEO, true, -1, b, 184);
	play(false);
	is(rx.nvideo, 100 + 184, "tables: damaged ones are not believed");
	packet(PID_VIDEO, true, 0x40, b, 60);
	at = nts;
	tables(0x1b);
	ts[at + 1][29] = 0x77;	/* PID of the video: 0x177 */
	packet(0x177, false, -1, b, 184);
	packet(0x177, true, 0x40, b, 50);
	packet(0x11, true, -1, b, 184);		/* DVB's service description */
	set("audio", 0);
	play(false);
	set("audio", 1);
	is(rx.packets, nts - 2, "tables: a new video begins with a key frame; service tables stay");
}

/* By the header alone: the payload may be sealed, and look like anything. */
static void test_class(void)
{
	uint8_t sealed[188], f[2048];
	uint32_t i, bad = 0;

	memset(sealed, 0x47, sizeof(sealed));	/* null packets to the eye */
	sealed[1] = 0x1f;
	sealed[2] = 0xff;
	agent_clear();
	set("null_packets", 0);
	set("class", 2);
	for (i = 0; i < 6; i++) {
		uint32_t len = build(f, 99, 10 + i, i == 5 ? 8 : 0, sealed, sizeof(sealed), true);

		f[FRONT + 2] = (uint8_t)(i == 5 ? 4 : i);
		reseal(f, len);
		give(f, len);
	}
	agent_run();
	for (i = 0; i < ngot; i++) {
		bool thin = i >= 2 && i < 5;

		bad += got[i].len != FRONT + HDR + (thin ? 0 : sizeof(sealed)) || got[i].f[FRONT + 55] != thin ||
		       !sound(got[i].f, got[i].len) || seq_of(got[i].f) != 10 + i;
		bad += !thin && memcmp(got[i].f + FRONT + HDR, sealed, sizeof(sealed));
	}
	ok(ngot == 6 && !bad, "class: classes 2 and above go, but for the end; nothing else is touched");
	set("class", 0);
	set("null_packets", 1);
}

static void test_other(void)
{
	uint64_t n = counter("not_ts");
	uint8_t text[188 * 2] = "no transport stream", f[2048];
	uint32_t i;

	agent_clear();
	set("null_packets", 1);
	give(f, build(f, 99, 1, 0, text, 188, true));
	give(f, build(f, 99, 2, 0, text, 100, true));
	memset(text, 0x47, sizeof(text));
	text[1] = 0x1f;
	text[2] = 0xff;
	give(f, build(f, 99, 3, 4, text, 188, true));
	agent_run();
	is(ngot, 3, "other payloads pass");
	is((long long)(counter("not_ts") - n), 3, "other payloads: counted, a compressed one too");
	for (i = 0; i < ngot; i++)
		ok(sound(got[i].f, got[i].len) && seq_of(got[i].f) == i + 1, "other payloads: as they came");
	agent_clear();
	set("discardable", 1);
	give(f, build(f, 99, 4, 2, "x", 1, true));
	give(f, build(f, 99, 5, 0, "x", 1, true));
	agent_run();
	ok(ngot == 2 && got[0].len == FRONT + HDR && got[1].len == FRONT + HDR + 1, "discardable: without payload");
	ok(got[0].f[FRONT + 55] == 1 && got[1].f[FRONT + 55] == 0 && sound(got[0].f, got[0].len), "discardable: with the mark");
	set("discardable", 0);
	test_class();
	agent_clear();
	set("next_ip", 10 | 7u << 24);
	set("next_mac", 0x010203040506ULL);
	give(f, build(f, 99, 6, 0, "x", 1, true));
	agent_run();
	ok(ngot == 1 && sound(got[0].f, got[0].len) && got[0].f[33] == 7 && got[0].f[0] == 6 && got[0].f[11] == 1,
	   "next hop: address, MAC addresses and checksums");
	set("next_ip", 0);
	set("next_mac", 0);
}

int main(void)
{
	seed_from_env(16);
	agent_begin(true);
	test_null();
	test_keys();
	test_loss();
	test_tables();
	test_other();
	is(agent_end(0), 0, "every frame in one place, every descriptor valid");
	return done();
}
