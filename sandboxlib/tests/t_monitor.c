// SPDX-License-Identifier: Apache-2.0
/* monitor: what it says of a stream is what was done to it. */
#include <string.h>

#include "agent.h"

#define MS 1000000ULL

static uint8_t f[2048], text[1400];

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static void packet(uint8_t id, uint64_t seq, uint32_t len, uint32_t elapsed, uint32_t budget)
{
	uint32_t n = build(f, id, seq, 0, text, len, false);

	put32(f + FRONT + 60, elapsed);
	put32(f + FRONT + 56, budget);
	f[FRONT + 8] = id;
	give(f, n);
	agent_run();
}

/* Loss, duplicates, reordering: a random run, counted here without the library. */
static void test_numbers(void)
{
	enum { N = 3000 };
	static uint32_t order[3 * N];
	uint32_t i, n = 0, unique = 0, again = 0, behind = 0, bytes = 0;
	static uint8_t seen[N + 1];
	uint64_t top = 0, first = 0;

	for (i = 1; i <= N; i++) {
		if (!below(10))
			continue;
		order[n++] = i;
		if (!below(15))
			order[n++] = i;
	}
	for (i = 0; i + 30 < n; i++) {
		uint32_t j = i + below(30), x = order[i];

		if (below(4))
			continue;
		order[i] = order[j];
		order[j] = x;
	}
	for (i = 0; i < n; i++) {
		uint64_t seq = order[i];
		uint32_t len = below(1400);

		packet(1, seq, len, 0, NO_BUDGET);
		again += seen[seq];
		if (!seen[seq]) {
			unique++;
			bytes += len;
			behind += seq < top;
			if (!first || seq < first)
				first = seq;
		}
		seen[seq] = 1;
		if (seq > top)
			top = seq;
	}
	is((long long)counter("s0_packets"), unique, "monitor: packets, without duplicates");
	is((long long)counter("s0_bytes"), bytes, "monitor: bytes");
	is((long long)counter("s0_again"), again, "monitor: duplicates");
	is((long long)counter("s0_behind"), behind, "monitor: reordered");
	is((long long)counter("s0_lost"), (long long)(top - first + 1 - unique), "monitor: lost");
	ok(again > 50 && behind > 50 && counter("s0_lost") > 50, "monitor: there was some of each (%u, %u, %u)", again,
	   behind, (unsigned int)counter("s0_lost"));
	is((long long)counter("s0_id"), 0x01000000LL << 32, "monitor: the stream's id");
	packet(1, 1 << 30, 0, 0, NO_BUDGET);
	packet(1, (1 << 30) + 2, 0, 0, NO_BUDGET);
	is((long long)counter("restarts"), 1, "monitor: a jump of a thousand million is a new beginning");
	is((long long)counter("s0_lost"), 1, "monitor: and no such loss");
}

static void test_times(void)
{
	uint32_t i;

	/* 100 packets of 1000 bytes, 10 ms apart, sent as regularly; then two of every three 3 ms late. */
	for (i = 1; i <= 100; i++) {
		packet(2, i, 1000, 500, i % 10 ? 1000 : 0);
		agent_tick(10 * MS);
	}
	is((long long)counter("s1_delay_us"), 500, "monitor: delay");
	is((long long)counter("s1_jitter_us"), 0, "monitor: no jitter where there is none");
	is((long long)counter("s1_spent"), 10, "monitor: packets without budget left");
	ok(counter("s1_rate") > 780000 && counter("s1_rate") < 820000, "monitor: 100 packets of 8000 bits a second: %llu",
	   (unsigned long long)counter("s1_rate"));
	for (; i <= 500; i++) {
		uint32_t n, late = i % 2 ? 3 : 0;
		uint64_t sent = fake_now;

		fake_now += late * MS;
		n = build(f, 2, i, 0, text, 1000, false);
		f[FRONT + 8] = 2;
		put32(f + FRONT + 32, (uint32_t)(sent >> 32));
		put32(f + FRONT + 36, (uint32_t)sent);
		put32(f + FRONT + 60, i == 200 ? 9000 : 700);
		give(f, n);
		agent_run();
		agent_tick((10 - late) * MS);
	}
	ok(counter("s1_jitter_us") > 2800 && counter("s1_jitter_us") <= 3000, "monitor: 3 ms to and fro: jitter %llu us",
	   (unsigned long long)counter("s1_jitter_us"));
	ok(counter("s1_delay_us") >= 690 && counter("s1_delay_us") < 710, "monitor: delay follows: %llu us",
	   (unsigned long long)counter("s1_delay_us"));
	is((long long)counter("s1_delay_max_us"), 9000, "monitor: and its greatest value");
}

static void test_places(void)
{
	uint32_t i, wrong = 0, sent;

	agent_clear();
	for (i = 3; i <= 90; i++)
		packet((uint8_t)i, 1, 10, 0, NO_BUDGET);
	is((long long)counter("streams"), 64, "monitor: 64 streams and no more");
	is((long long)counter("no_state"), 26, "monitor: those beyond are counted");
	is(ngot, 88, "monitor: and all pass");
	for (i = 0; i < ngot; i++)
		wrong += !sound(got[i].f, got[i].len) || got[i].f[FRONT + 8] != i + 3;
	is(wrong, 0, "monitor: as they came");
	is((long long)counter("s3_id"), 4LL << 56, "monitor: the first four have places");
	/* Stream 4 goes on; the others fall silent for 10 s, and newcomers take their places. */
	for (i = 0; i < 110; i++) {
		packet(4, i + 2, 10, 0, NO_BUDGET);
		agent_tick(100 * MS);
	}
	for (i = 100; i < 110; i++)
		packet((uint8_t)i, 1, 10, 0, NO_BUDGET);
	is((long long)counter("s3_packets"), 111, "monitor: one that goes on keeps its place");
	is((long long)counter("streams"), 11, "monitor: those silent for 10 s are forgotten");
	ok(counter("s0_id") >> 56 == 100 && counter("s1_id") >> 56 == 101 && counter("s2_id") >> 56 == 102,
	   "monitor: new streams have the places of those gone silent");
	agent_clear();
	sent = build(f, 4, 111, 16, NULL, 0, true);
	give(f, sent);
	agent_run();
	is((long long)counter("beats") + ngot, 2, "monitor: a sign of life passes and is no packet");
}

int main(void)
{
	seed_from_env(14);
	agent_begin(true);
	test_numbers();
	test_times();
	test_places();
	is(agent_end(0), 0, "every frame in one place, every descriptor valid");
	return done();
}
