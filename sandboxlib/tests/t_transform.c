// SPDX-License-Identifier: Apache-2.0
/* transform: there and back, in one program: what was sent compressed comes in again to be expanded. */
#include <string.h>

#include "agent.h"
#include "spa/lz.h"

static uint8_t f[2048];

static uint32_t payload(uint8_t *b, uint32_t kind)
{
	uint32_t n = kind < 2 ? 1316 : below(1425), i;

	for (i = 0; i < n; i++)
		b[i] = kind == 0 ? (uint8_t)rnd() : kind == 1 ? (uint8_t)(i / 50) : (uint8_t)(below(8) ? i % 37 : rnd());
	return n;
}

int main(void)
{
	static uint8_t in[64][1424];
	static struct got mid[64];
	uint32_t len[64], round, i, n, wrong = 0, bad = 0, longer = 0, flagged = 0;
	uint8_t flags = 0;

	seed_from_env(12);
	agent_begin(false);	/* expanding needs room behind what was received */
	for (round = 0; round < 300; round++) {
		agent_clear();
		set("expand", 0);
		n = 1 + below(63);
		for (i = 0; i < n; i++) {
			len[i] = payload(in[i], below(5));
			flags = (uint8_t)(i % 2);
			give(f, build(f, 1, i + 1, flags, in[i], len[i], i % 3));
		}
		agent_run();
		wrong += ngot != n;
		memcpy(mid, got, n * sizeof(*got));
		agent_clear();
		set("expand", 1);
		for (i = 0; i < n; i++) {
			bad += !sound(mid[i].f, mid[i].len) || (mid[i].f[FRONT + 1] & ~4) != (int)(i % 2);
			longer += mid[i].len > FRONT + HDR + len[i];
			flagged += (mid[i].f[FRONT + 1] & 4) != 0;
			bad += !(mid[i].f[FRONT + 1] & 4) != (mid[i].len == FRONT + HDR + len[i]);
			give(mid[i].f, mid[i].len);
		}
		agent_run();
		wrong += ngot != n;
		for (i = 0; i < ngot; i++) {
			/* All of the frame, but for a UDP checksum of 0 and the IP id. */
			build(f, 1, i + 1, (uint8_t)(i % 2), in[i], len[i], i % 3);
			wrong += got[i].len != FRONT + HDR + len[i] || memcmp(got[i].f, f, got[i].len);
		}
	}
	is(wrong, 0, "transform: there and back, every byte of the frame");
	is(bad, 0, "transform: lengths, checksums and the flag");
	is(longer, 0, "transform: nothing becomes longer");
	ok(flagged > 1000 && counter("incompressible") > 1000, "transform: some shrink (%u), some do not (%u)", flagged,
	   (unsigned int)counter("incompressible"));
	is((long long)(counter("compressed") - counter("expanded")), 0, "transform: as many expanded as compressed");

	/* Blocks of another length than they say, and longer than any datagram. */
	{
		static struct spa_lz_table t;
		static uint8_t zeros[1800], b[1800];
		static const uint32_t claim[][3] = { { 900, 1000, 0 }, { 1000, 900, 0 }, { 1361, 1361, 0 },
						     { 1700, 1700, 0 }, { 1360, 1360, 1 } };

		for (i = 0; i < 5; i++) {
			agent_clear();
			n = spa_lz_pack(zeros, claim[i][0], b + 2, 1000, &t);
			b[0] = (uint8_t)(claim[i][1] >> 8);
			b[1] = (uint8_t)claim[i][1];
			give(f, build(f, 1, i + 1, 4, b, n + 2, true));
			agent_run();
			ok(ngot == claim[i][2], "transform: a block of %u said to be of %u", claim[i][0], claim[i][1]);
		}
	}

	/* What no compressor made. */
	agent_clear();
	wrong = 0;
	for (round = 0; round < 20000; round++) {
		n = below(300);
		for (i = 0; i < n; i++)
			in[0][i] = below(3) ? (uint8_t)(below(5) << 4 | below(5)) : (uint8_t)rnd();
		if (n > 1 && below(2)) {
			in[0][0] = (uint8_t)below(6);
			in[0][1] = (uint8_t)rnd();
		}
		give(f, build(f, 1, round + 1, 4, in[0], n, below(2)));
		if (round % 64 == 63) {
			agent_run();
			for (i = 0; i < ngot; i++)
				wrong += !sound(got[i].f, got[i].len) || got[i].f[FRONT + 1] & 4 || got[i].len > 1514;
			agent_clear();
		}
	}
	agent_run();
	is(wrong, 0, "transform: of 20000 made-up blocks, what expands is sound");
	ok(counter("malformed") > 15000, "transform: most are dropped as malformed (%u)", (unsigned int)counter("malformed"));
	is(agent_end(0), 0, "every frame in one place, every descriptor valid");
	return done();
}
