// SPDX-License-Identifier: Apache-2.0
/* split: shares, evenness, the same way for the same number, addresses and path. */
#include <string.h>

#include "agent.h"

static void shares(uint32_t w0, uint32_t w1)
{
	uint32_t w = w0 + w1 ? w0 + w1 : 1, i, wrong = 0, uneven = 0, ones = 0, len, bad = 0;
	uint64_t first = 1 + below(1000000);
	static uint8_t f[2048], way[4096];

	set("weight0", w0);
	set("weight1", w1);
	agent_clear();
	for (i = 0; i < 4 * w && i < 4000; i++) {
		len = build(f, 1, first + i, 0, "abc", below(4), i % 2);
		give(f, len);
	}
	agent_run();
	wrong += ngot != i;
	for (i = 0; i < ngot; i++) {
		uint8_t *g = got[i].f, path = g[FRONT + 53];

		way[i] = path;
		ones += path;
		bad += !sound(g, got[i].len) || g[FRONT + 52] || path > 1;
		bad += g[33] != (path ? 9 : 2) || g[37] != (path ? 77 : (5001 & 255)) || g[5] != (path ? 0x66 : 1);
		/* Of any w in a row exactly w1. */
		if (i + 1 >= w) {
			uint32_t k, sum = 0;

			for (k = 0; k < w; k++)
				sum += way[i - k];
			uneven += sum != (w0 + w1 ? w1 : 0);
		}
	}
	printf("# weights %u and %u: %u of %u over link 1\n", w0, w1, ones, ngot);
	is(wrong, 0, "split: all went on");
	is(uneven, 0, "split: of any w in a row exactly w1");
	is(bad, 0, "split: addresses, path and checksums");
	/* Again: the same way. */
	agent_clear();
	for (i = 0; i < 100 && i < 4 * w; i++) {
		len = build(f, 1, first + i, 0, "abc", 3, true);
		give(f, len);
	}
	agent_run();
	for (i = 0; i < ngot; i++)
		wrong += got[i].f[FRONT + 53] != way[i];
	is(wrong, 0, "split: a packet sent again takes the same way");
}

int main(void)
{
	uint64_t before;

	seed_from_env(11);
	agent_begin(true);
	is(set("ip1", 10 | 9u << 24), 0, "split: link 1 has an address");
	is(set("port1", 77), 0, "and a port");
	is(set("mac1", 0x660000000002ULL), 0, "and a MAC address");
	shares(1, 1);
	shares(3, 1);
	shares(1, 9);
	shares(7, 5);
	shares(0, 1);
	shares(1, 0);
	shares(0, 0);
	shares(501, 498);
	before = counter("packets1");
	set("weight0", ~0ULL);
	set("weight1", ~0ULL);
	agent_clear();
	{
		uint8_t f[200];
		uint32_t len = build(f, 1, ~0ULL, 0, NULL, 0, true);

		give(f, len);
		len = build(f, 1, ~0ULL - 1, 0, NULL, 0, true);
		give(f, len);
		f[FRONT] = 2;
		give(f, 60);
		agent_run();
	}
	is(ngot, 2, "split: weights beyond all bounds, the highest number");
	is((long long)(counter("packets1") - before), 1, "split: even shares");
	set("weight0", 3ULL << 61);
	set("weight1", 3ULL << 61);
	before = counter("packets1");
	agent_clear();
	{
		uint8_t f[200];
		uint32_t i;

		for (i = 0; i < 64; i++)
			give(f, build(f, 1, 0x7123456789abcdefULL + i, 0, NULL, 0, false));
		agent_run();
	}
	is((long long)(counter("packets1") - before), 32, "split: even shares of great numbers, too");
	is((long long)counter("broken"), 1, "split: a frame cut short is counted");
	is(agent_end(0), 0, "every frame in one place, every descriptor valid");
	return done();
}
