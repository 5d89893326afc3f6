// SPDX-License-Identifier: Apache-2.0
#include "agent.h"

#include <string.h>

#include "spa.h"

struct slice slice;
struct got got[4096];
unsigned int ngot;
static unsigned int waiting;

void agent_begin(bool poison_rest)
{
	/* Rings and frames as internal/live/engine has them. */
	struct slice_config c = {
		.frames = 512, .chunk = 2048, .headroom = 128, .rx = 64, .tx = 512, .fill = 64, .comp = 512,
		.heap = (uint32_t)spa_manifest.m.heap, .poison = poison_rest,
	};
	struct outcome o;

	slice_open(&slice, &c);
	o = upcall(&slice, ULS_UP_INIT, 0);
	if (o.aborted || o.result) {
		slice_log_dump(&slice);
		printf("Bail out! init: %lld\n", (long long)o.result);
		exit(1);
	}
}

unsigned int agent_end(unsigned int held)
{
	unsigned int bad;

	agent_run();
	bad = slice_audit(&slice, held) + slice_invalid;
	slice_close(&slice);
	return bad;
}

uint64_t counter(const char *name)
{
	unsigned int i;

	for (i = 0; i < SPA_LIB_COUNTER_END; i++)
		if (!strcmp(spa_lib_counter_notes[i].c.name, name))
			return slice_counters(&slice)->v[i];
	for (i = 0; i < spa_counter_count; i++)
		if (!strcmp(spa_counter_notes[i].c.name, name))
			return slice_counters(&slice)->v[SPA_LIB_COUNTER_END + i];
	printf("Bail out! no counter %s\n", name);
	exit(1);
}

int64_t set(const char *name, uint64_t v)
{
	struct uls_msg_param m = { .value = v };

	while (m.index < spa_param_count && strcmp(spa_param_notes[m.index].p.name, name))
		m.index++;
	return control(&slice, &m, ULS_MSG_PARAM, sizeof(m)).result;
}

int64_t flow(uint16_t type, const uint8_t new_dst[4], uint16_t new_port)
{
	struct uls_msg_flow m = { .new_dst_port = (uint16_t)(new_port << 8 | new_port >> 8),
				  .new_dst_mac = { 2, 0, 0, 0, 0, 0x55 } };

	memcpy(&m.new_dst_ip, new_dst, 4);
	return control(&slice, &m, type, sizeof(m)).result;
}

static const uint8_t src[4] = { 10, 0, 0, 1 }, dst[4] = { 10, 0, 0, 2 };

static void put_be(uint8_t *p, uint64_t v, int n)
{
	while (n--) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

uint32_t build(uint8_t *f, uint8_t id, uint64_t seq, uint8_t flags, const void *payload, uint32_t len, bool check)
{
	uint8_t *h = f + FRONT;

	memset(h, 0, HDR);
	h[0] = 2;
	h[1] = flags;
	put_be(h + 56, NO_BUDGET, 4);
	h[8] = 0xa0;
	h[23] = id;
	put_be(h + 24, seq, 8);
	put_be(h + 32, fake_now, 8);
	if (len)
		memcpy(h + HDR, payload, len);
	model_build(f, FRONT + HDR + len, src, dst, 5000, 5001, 64, check);
	return FRONT + HDR + len;
}

void reseal(uint8_t *f, uint32_t len)
{
	model_build(f, len, src, dst, 5000, 5001, 64, f[40] | f[41]);
}

uint64_t seq_of(const uint8_t *f)
{
	return (uint64_t)be32_at(f, 24) << 32 | be32_at(f, 28);
}

uint32_t be32_at(const uint8_t *f, uint32_t off)
{
	const uint8_t *p = f + FRONT + off;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool sound(const uint8_t *f, uint32_t len)
{
	uint32_t total = (uint32_t)f[16] << 8 | f[17], udp = (uint32_t)f[38] << 8 | f[39];

	return total + 14 == len && udp + 34 == len && naive_sum(f + 14, 20, 0) == 0xffff &&
	       (!(f[40] | f[41]) || !model_udp_error(f));
}

static void collect(void)
{
	struct xdp_desc d;

	while (slice_tx(&slice, &d)) {
		if (ngot == sizeof(got) / sizeof(*got)) {
			printf("Bail out! more frames sent than the test can hold\n");
			exit(1);
		}
		memcpy(got[ngot].f, slice.umem + d.addr, d.len);
		got[ngot].len = d.len;
		got[ngot++].at = fake_now;
	}
	slice_complete(&slice);
}

void agent_run(void)
{
	struct outcome o = upcall(&slice, ULS_UP_RX, waiting);

	if (o.aborted) {
		printf("Bail out! the SPA gave up: 0x%llx\n", (unsigned long long)o.code);
		exit(1);
	}
	waiting = 0;
	collect();
}

void give(const uint8_t *f, uint32_t len)
{
	if (slice_rx(&slice, f, len) < 0) {
		printf("Bail out! no free frame for the card\n");
		exit(1);
	}
	if (++waiting == 64)
		agent_run();
}

void agent_tick(uint64_t forward_ns)
{
	fake_now += forward_ns;
	if (upcall(&slice, ULS_UP_TICK, fake_now).aborted) {
		printf("Bail out! the SPA gave up in a tick\n");
		exit(1);
	}
	collect();
}
