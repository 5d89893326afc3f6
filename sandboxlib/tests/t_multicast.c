// SPDX-License-Identifier: Apache-2.0
/* multicast: each child gets each packet, in order, and nothing runs out. */
#include <string.h>

#include "agent.h"

static uint8_t f[2048];

static void child(uint8_t *ip, uint32_t i)
{
	const uint8_t a[4] = { 10, 0, 1, (uint8_t)(i + 1) };

	memcpy(ip, a, 4);
}

/* Sends n packets; how many (child, packet) pairs are wrong: not once, in order, sound, to the right address. */
static uint32_t send_to(uint32_t mask, uint32_t n)
{
	uint64_t last[32] = { 0 };
	uint32_t i, wrong = 0, count[32] = { 0 };
	uint8_t text[900];

	agent_clear();
	memset(text, 'm', sizeof(text));
	for (i = 0; i < n; i++)
		give(f, build(f, 3, i + 1, 1, text, below(900), i % 2));
	agent_run();
	for (i = 0; i < ngot; i++) {
		uint32_t c = got[i].f[33] - 1u;

		if (c > 31 || !(mask >> c & 1) || got[i].f[32] != 1) {
			wrong++;
			continue;
		}
		wrong += seq_of(got[i].f) != last[c] + 1 || !sound(got[i].f, got[i].len) || got[i].f[5] != 0x55 ||
			 got[i].f[11] != 1 || (got[i].len > FRONT + HDR && got[i].f[FRONT + HDR] != 'm');
		last[c] = seq_of(got[i].f);
		count[c]++;
	}
	for (i = 0; i < 32; i++)
		wrong += count[i] != (mask >> i & 1 ? n : 0);
	return wrong;
}

int main(void)
{
	uint32_t mask = 0, round, i, wrong = 0, n = 0;
	const uint8_t none[4] = { 0 };
	uint64_t missed;
	uint8_t ip[4];

	seed_from_env(13);
	agent_begin(false);	/* copies go to frames that were not received */
	is(send_to(0, 20), 0, "multicast: without children nothing is sent");
	is((long long)counter("no_child"), 20, "and it is counted");
	is(flow(2, none, 0), -22, "multicast: a child without address is refused");
	is(flow(3, none, 0), -2, "multicast: there is none to delete");
	for (round = 0; round < 200; round++) {
		i = below(6);
		child(ip, i);
		if (below(3)) {
			wrong += flow(2, ip, 0) != 0;
			mask |= 1u << i;
		} else {
			wrong += flow(3, ip, 0) != (mask >> i & 1 ? 0 : -2);
			mask &= ~(1u << i);
		}
		wrong += send_to(mask, 1 + below(40));
		wrong += counter("children") != (uint64_t)__builtin_popcount(mask);
	}
	is(wrong, 0, "multicast: 200 sets of children, each packet to each once, in order");
	is((long long)counter("no_frame"), 0, "multicast: frames always sufficed");
	for (i = 0; i < 64; i++) {
		child(ip, i);
		n += flow(2, ip, 0) == 0;
	}
	is(n, 64, "multicast: 64 children");
	is(flow(2, ip, 7), -28, "multicast: one more is refused");
	missed = counter("no_frame");
	for (round = 0; round < 4; round++) {
		agent_clear();
		agent_run();	/* takes back what was sent, and gives the card frames again */
		for (i = 0; i < 63; i++)
			give(f, build(f, 3, i + 1, 0, NULL, 0, false));
		agent_run();
		ok(ngot <= 512 && counter("no_frame") + counter("tx_full") > missed,
		   "multicast: 63 packets times 64 children: %u sent, the rest counted", ngot);
		missed = counter("no_frame") + counter("tx_full");
	}
	is(flow(3, none, 0), 0, "multicast: all children of a match at once");
	is((long long)counter("children"), 0, "multicast: none left");
	mask = 0;
	agent_run();
	is(send_to(0, 5), 0, "multicast: nothing is sent");
	is(agent_end(0), 0, "every frame in one place, every descriptor valid");
	return done();
}
