// SPDX-License-Identifier: Apache-2.0
/*
 * forward against the naive model: random flows, random frames good and bad.
 * Built twice: linked with the sources under the sanitizers (the UMEM outside
 * received frames is poisoned), and, with -DELF, running the real forward.spa.
 */
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "tap.h"
#include "upcall.h"

#ifdef ELF
#include "spafile.h"
#define POISON false
static unsigned int counter(const char *name) { return elf_counter(name); }
static unsigned int param(const char *name) { return elf_param(name); }
static void load(struct slice *s) { elf_load(s, getenv("FORWARD_SPA") ? getenv("FORWARD_SPA") : "forward.spa"); }
#else
#include "spa.h"
#define POISON true
extern const struct spa_note_counter spa_counter_notes[];
static unsigned int counter(const char *name)
{
	unsigned int i;

	for (i = 0; strcmp(spa_counter_notes[i].c.name, name); i++)
		;
	return SPA_LIB_COUNTER_END + i;
}

static unsigned int param(const char *name)
{
	unsigned int i;

	for (i = 0; strcmp(spa_param_notes[i].p.name, name); i++)
		;
	return i;
}

static void load(struct slice *s)
{
	/* One image for the whole program: its parameters back to their defaults. */
	(void)s;
	spa_param_values[0] = spa_param_notes[0].p.def;
	spa_param_values[1] = spa_param_notes[1].p.def;
}
#endif

static struct slice s;

static void begin(void)
{
	struct slice_config c = slice_default;

	c.poison = POISON;
	c.heap = 2 << 20;	/* as the manifest asks */
	slice_open(&s, &c);
	load(&s);
	if (upcall(&s, ULS_UP_INIT, 0).result)
		slice_log_dump(&s);
}

static int64_t set(const char *name, uint64_t v)
{
	struct uls_msg_param m = { .index = param(name), .value = v };

	return control(&s, &m, ULS_MSG_PARAM, sizeof(m)).result;
}

static uint16_t be(uint16_t v) { return (uint16_t)(v << 8 | v >> 8); }

static int64_t flow_msg(const struct model_flow *f, uint16_t type)
{
	struct uls_msg_flow m = {
		.match_dst_port = be(f->port), .new_src_port = be(f->new_sport), .new_dst_port = be(f->new_dport),
	};

	memcpy(&m.match_dst_ip, f->dst, 4);
	memcpy(&m.new_src_ip, f->new_src, 4);
	memcpy(&m.new_dst_ip, f->new_dst, 4);
	memcpy(m.new_dst_mac, f->dmac, 6);
	memcpy(m.new_src_mac, f->smac, 6);
	return control(&s, &m, type, sizeof(m)).result;
}

/* Few addresses and ports, so that flows and frames meet, and awkward ones among them. */
static void some_ip(uint8_t *ip)
{
	static const uint8_t t[][4] = { { 10, 0, 0, 1 }, { 10, 0, 0, 2 }, { 10, 0, 1, 1 }, { 255, 255, 255, 255 },
					{ 0, 0, 0, 1 }, { 192, 168, 255, 254 } };

	memcpy(ip, t[below(6)], 4);
}

static uint16_t some_port(void)
{
	static const uint16_t t[] = { 1, 53, 0xffff, 5000, 5001, 256 };

	return t[below(6)];
}

static struct model_flow some_flow(void)
{
	struct model_flow f = { .port = below(4) ? some_port() : 0, .new_sport = below(2) ? some_port() : 0,
				.new_dport = below(2) ? (uint16_t)rnd() : 0, .dmac = { 2, 1, 1, 1, 1, (uint8_t)rnd() },
				.smac = { 2, 2, 2, 2, 2, (uint8_t)rnd() } };
	uint32_t r = (uint32_t)rnd();

	if (below(4))
		some_ip(f.dst);
	if (below(2))
		some_ip(f.new_src);
	if (below(2))
		memcpy(f.new_dst, &r, 4);
	return f;
}

/* In most cases a valid frame; then perhaps a change of one kind. */
static uint32_t some_frame(uint8_t *f)
{
	uint32_t len = 42 + (below(10) ? below(100) : below(1458)), i;
	uint8_t src[4], dst[4];
	bool again = false;

	for (i = 0; i < 1600; i++)
		f[i] = (uint8_t)rnd();
	if (!below(20))
		return below(200);	/* garbage */
	some_ip(src);
	some_ip(dst);
	model_build(f, len, src, dst, some_port(), some_port(), below(8) ? 64 : (uint8_t)below(3), below(4));
	switch (below(24)) {
	case 0:
		return below(len + 1);			/* cut */
	case 1:
		f[below(42)] ^= (uint8_t)(1 << below(8));	/* one bit */
		break;
	case 2:
		f[14] = (uint8_t)rnd();
		again = true;
		break;
	case 3:
		f[20] = (uint8_t)(1 << below(8));
		again = true;
		break;
	case 4:
		f[21] = (uint8_t)rnd();
		again = true;
		break;
	case 5:
		f[23] = below(2) ? 6 : (uint8_t)rnd();
		again = true;
		break;
	case 6:
		f[17] = (uint8_t)(f[17] + below(80) - 40);
		again = true;
		break;
	case 7:
		f[39] = (uint8_t)(f[39] + below(80) - 40);
		break;
	case 8:
		f[38] = (uint8_t)rnd();
		break;
	case 9:
		f[12 + below(2)] = (uint8_t)rnd();
		break;
	case 10:
		f[41] ^= 1;				/* UDP checksum wrong */
		break;
	case 11:
		return len + below(20);			/* padding behind the datagram */
	case 12:
		f[15] = (uint8_t)rnd();			/* TOS */
		again = true;
		break;
	default:
		break;
	}
	if (again) {
		uint16_t c;

		f[24] = f[25] = 0;
		c = naive_check(naive_sum(f + 14, 20, 0));
		f[24] = (uint8_t)(c >> 8);
		f[25] = (uint8_t)c;
	}
	return len;
}

static unsigned int has_flow(const struct model_flow *flows, unsigned int n, const struct model_flow *f)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (!memcmp(flows[i].dst, f->dst, 4) && flows[i].port == f->port)
			break;
	return i;
}

static void complain(const char *what, const uint8_t *f, uint32_t len)
{
	uint32_t i;

	printf("#   %s:", what);
	for (i = 0; i < len && i < 48; i++)
		printf(" %02x", f[i]);
	printf(" (%u bytes)\n", len);
}

/* Compares one frame sent with the model's; the damaged UDP checksum by its error. */
static bool same(const uint8_t *got, uint8_t *want, const uint8_t *in, uint32_t len, bool damaged)
{
	bool good = true;

	if (damaged) {
		good = model_udp_error(got) == model_udp_error(in);
		memcpy(want + 40, got + 40, 2);
	}
	good = good && !memcmp(got, want, len);
	if (!good) {
		complain("in  ", in, len);
		complain("got ", got, len);
		complain("want", want, len);
	}
	return good;
}

static void test_random(unsigned int rounds)
{
	static uint8_t in[64][1600], want[1600];
	struct model_flow flows[64];
	uint64_t expect[M_REASONS] = { 0 };
	unsigned int nflows = 0, round, i, wrong = 0, moved = 0;
	uint32_t len[64];
	bool dec = true;

	begin();
	for (round = 0; round < rounds; round++) {
		unsigned int n = 1 + below(64);
		int64_t addr[64];
		struct xdp_desc d;

		if (!below(8)) {
			struct model_flow f = some_flow();
			unsigned int at = has_flow(flows, nflows, &f);

			if (below(3) && (at < nflows || nflows < 64)) {
				wrong += flow_msg(&f, ULS_MSG_FLOW_ADD) != 0;
				flows[at] = f;
				nflows += at == nflows;
			} else {
				wrong += flow_msg(&f, ULS_MSG_FLOW_DEL) != (at < nflows ? 0 : -2);
				if (at < nflows)
					flows[at] = flows[--nflows];
			}
		}
		if (!below(50)) {
			dec = below(2);
			wrong += set("ttl_decrement", dec) != 0;
		}
		for (i = 0; i < n; i++) {
			len[i] = some_frame(in[i]);
			addr[i] = slice_rx(&s, in[i], len[i]);
			if (addr[i] < 0)
				break;
		}
		n = i;
		upcall(&s, ULS_UP_RX, n);
		for (i = 0; i < n; i++) {
			bool damaged;
			enum model_reason r = model_forward(in[i], len[i], flows, nflows, dec, want, &damaged);

			expect[r]++;
			if (r != M_FORWARDED)
				continue;
			if (!slice_tx(&s, &d)) {
				wrong++;
				break;
			}
			moved += d.addr != (uint64_t)addr[i] || d.len != len[i];
			wrong += !same(s.umem + d.addr, want, in[i], len[i], damaged);
		}
		wrong += slice_tx(&s, &d);	/* one that should not have gone */
		slice_complete(&s);
		if (wrong)
			break;
	}
	is(wrong, 0, "random: every frame as the model has it");
	is(moved, 0, "random: sent from where it was received");
	for (i = 0; i < M_REASONS; i++) {
		char what[64];

		snprintf(what, sizeof(what), "random: counter %s", model_counter[i]);
		is((long long)slice_counters(&s)->v[counter(model_counter[i])], (long long)expect[i], what);
		ok(expect[i] > 20, "random: %s was tried (%llu times)", model_counter[i], (unsigned long long)expect[i]);
	}
	upcall(&s, ULS_UP_RX, 0);
	is(slice_audit(&s, 0), 0, "random: every frame in one place");
	slice_close(&s);
}

static uint8_t passed[1600];

/* One frame through; true when it came out: its bytes are then in passed[]. */
static bool pass(const uint8_t *f, uint32_t len)
{
	struct xdp_desc d;
	bool out;

	slice_rx(&s, f, len);
	upcall(&s, ULS_UP_RX, 1);
	out = slice_tx(&s, &d);
	if (out)
		memcpy(passed, s.umem + d.addr, d.len);
	slice_complete(&s);
	return out;
}

static const uint8_t ip_a[4] = { 10, 0, 0, 1 }, ip_b[4] = { 10, 0, 0, 2 };

static struct model_flow simple_flow(void)
{
	return (struct model_flow){ .dst = { 10, 0, 0, 2 }, .port = 5000, .new_src = { 10, 1, 0, 1 },
				    .new_dst = { 10, 1, 0, 2 }, .new_sport = 6000, .new_dport = 6001,
				    .dmac = { 2, 0, 0, 0, 0, 0x77 } };
}

static void test_flows(void)
{
	struct model_flow f = simple_flow();
	struct uls_msg unknown = { 0 };
	uint8_t frame[200] = { 0 };
	unsigned int i, bad = 0;

	begin();
	model_build(frame, 100, ip_a, ip_b, 1, 5000, 64, true);
	ok(!pass(frame, 100), "flows: none at the start");
	is(flow_msg(&f, ULS_MSG_FLOW_ADD), 0, "flows: add");
	ok(pass(frame, 100), "flows: forwarded");
	ok(!memcmp(passed, "\x02\0\0\0\0\x77\x02\0\0\0\0\x01", 12),
	   "flows: a source MAC of 0 is the port's own");
	is(flow_msg(&f, ULS_MSG_FLOW_DEL), 0, "flows: delete");
	ok(!pass(frame, 100), "flows: gone");
	is(flow_msg(&f, ULS_MSG_FLOW_DEL), -2, "flows: delete again is -ENOENT");
	memset(f.dmac, 0, 6);
	is(flow_msg(&f, ULS_MSG_FLOW_ADD), -22, "flows: without a destination MAC is refused");
	f = simple_flow();
	f.smac[0] = 1;
	is(flow_msg(&f, ULS_MSG_FLOW_ADD), -22, "flows: a group address as source is refused");
	is(control(&s, &unknown, 99, sizeof(unknown)).result, -95, "flows: an unknown message is refused");
	f = simple_flow();
	for (i = 0; i < 5000; i++) {
		f.dst[2] = (uint8_t)(i >> 8);
		f.dst[3] = (uint8_t)i;
		f.port = (uint16_t)(1000 + i);
		f.new_dport = (uint16_t)(i + 1);
		bad += flow_msg(&f, ULS_MSG_FLOW_ADD) != 0;
	}
	is(bad, 0, "flows: 5000 of them");
	for (i = 0; i < 5000; i++) {
		uint8_t ip[4] = { 10, 0, (uint8_t)(i >> 8), (uint8_t)i };

		model_build(frame, 60, ip_a, ip, 1, (uint16_t)(1000 + i), 64, true);
		bad += !pass(frame, 60) || passed[36] != (uint8_t)((i + 1) >> 8) ||
		       passed[37] != (uint8_t)(i + 1);
	}
	is(bad, 0, "flows: each found");
	for (i = 0; !flow_msg(&f, ULS_MSG_FLOW_ADD) && i < 1000000; i++) {
		f.dst[1] = (uint8_t)(1 + (i >> 16));
		f.dst[2] = (uint8_t)(i >> 8);
		f.dst[3] = (uint8_t)i;
	}
	is(flow_msg(&f, ULS_MSG_FLOW_ADD), -12, "flows: too many are refused, not a crash");
	ok(pass(frame, 60), "flows: and those before still work");
	slice_close(&s);
}

static void test_log(void)
{
	uint8_t frame[100] = { 0 };
	unsigned int i, lines = 0;
	const char *p;

	begin();
	model_build(frame, 60, ip_a, ip_b, 1, 5000, 64, true);
	pass(frame, 60);
	ok(!*slice_log(&s), "log_drops: silent at first");
	set("log_drops", 1);
	for (i = 0; i < 20; i++)
		slice_rx(&s, frame, i ? 60 : 5);
	upcall(&s, ULS_UP_RX, 20);
	p = slice_log(&s);
	ok(strstr(p, "drop no_flow: 60 bytes, 10.0.0.1:1 > 10.0.0.2:5000\n") != NULL, "log_drops: says what and why");
	ok(strstr(p, "drop short_frame: 5 bytes\n") != NULL, "log_drops: short frames too");
	while ((p = strchr(p, '\n'))) {
		lines++;
		p++;
	}
	is(lines, 8, "log_drops: no more than 8 lines in a batch");
	slice_close(&s);
}

int main(int argc, char **argv)
{
	seed_from_env(2);
	test_random(argc > 1 ? (unsigned int)atoi(argv[1]) : 3000);
	test_flows();
	test_log();
	return done();
}
