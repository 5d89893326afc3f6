// SPDX-License-Identifier: Apache-2.0
/* A naive model of forward.spa (model.h). */
#include "model.h"

#include <string.h>

const char *const model_counter[M_REASONS] = {
	"forwarded", "no_flow", "short_frame", "not_ip4", "ip_options", "fragment", "not_udp",
	"bad_length", "bad_ip_check", "ttl_expired",
};

uint32_t naive_sum(const uint8_t *p, uint32_t n, uint32_t sum)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
		if (sum > 0xffff)
			sum = (sum & 0xffff) + 1;
	}
	return sum;
}

uint16_t naive_check(uint32_t sum)
{
	return (uint16_t)(0xffff - sum);
}

static uint32_t get(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }

static void put(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Sum of pseudo-header and datagram, checksum field as it stands. */
static uint32_t udp_sum(const uint8_t *f)
{
	uint8_t pseudo[12];

	memcpy(pseudo, f + 26, 8);
	pseudo[8] = 0;
	pseudo[9] = 17;
	memcpy(pseudo + 10, f + 38, 2);
	return naive_sum(f + 34, get(f + 38), naive_sum(pseudo, 12, 0));
}

uint32_t model_udp_error(const uint8_t *f)
{
	return udp_sum(f) % 65535;
}

static bool zero(const uint8_t *p, int n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

static const struct model_flow *lookup(const uint8_t *f, const struct model_flow *flows, unsigned int n)
{
	unsigned int i, how;

	/* Both, address only, port only, anything. */
	for (how = 0; how < 4; how++) {
		for (i = 0; i < n; i++) {
			bool any_ip = zero(flows[i].dst, 4), any_port = !flows[i].port;

			if (any_ip != (how >= 2) || any_port != (how == 1 || how == 3))
				continue;
			if (!any_ip && memcmp(flows[i].dst, f + 30, 4))
				continue;
			if (!any_port && flows[i].port != get(f + 36))
				continue;
			return &flows[i];
		}
	}
	return NULL;
}

static enum model_reason refuse(const uint8_t *f, uint32_t len, bool dec)
{
	uint32_t total, udp;

	if (len < 14)
		return M_SHORT;
	if (f[12] != 8 || f[13] != 0)
		return M_NOT_IP4;
	if (len < 34)
		return M_SHORT;
	if (f[14] / 16 != 4)
		return M_NOT_IP4;
	if (f[14] % 16 < 5)
		return M_LENGTH;
	if (f[14] % 16 > 5)
		return M_OPTIONS;
	if (f[23] != 17)
		return M_NOT_UDP;
	if (len < 42)
		return M_SHORT;
	if (get(f + 20) & 0x3fff)
		return M_FRAGMENT;
	total = get(f + 16);
	udp = get(f + 38);
	if (14 + total > len || udp < 8 || 20 + udp > total)
		return M_LENGTH;
	if (naive_sum(f + 14, 20, 0) != 0xffff)
		return M_CHECK;
	if (f[22] == 0 || (dec && f[22] == 1))
		return M_TTL;
	return M_FORWARDED;
}

enum model_reason model_forward(const uint8_t *in, uint32_t len, const struct model_flow *flows,
				unsigned int n, bool dec, uint8_t *out, bool *udp_damaged)
{
	enum model_reason r = refuse(in, len, dec);
	const struct model_flow *fl;
	bool check;

	*udp_damaged = false;
	if (r != M_FORWARDED)
		return r;
	fl = lookup(in, flows, n);
	if (!fl)
		return M_NO_FLOW;
	memcpy(out, in, len);
	check = get(in + 40);
	*udp_damaged = check && model_udp_error(in);
	memcpy(out, fl->dmac, 6);
	memcpy(out + 6, fl->smac, 6);
	if (dec)
		out[22]--;
	if (!zero(fl->new_src, 4))
		memcpy(out + 26, fl->new_src, 4);
	if (!zero(fl->new_dst, 4))
		memcpy(out + 30, fl->new_dst, 4);
	if (fl->new_sport)
		put(out + 34, fl->new_sport);
	if (fl->new_dport)
		put(out + 36, fl->new_dport);
	put(out + 24, 0);
	put(out + 24, naive_check(naive_sum(out + 14, 20, 0)));
	if (check) {
		put(out + 40, 0);
		put(out + 40, naive_check(udp_sum(out)));
		if (!get(out + 40))
			put(out + 40, 0xffff);
	}
	return M_FORWARDED;
}

void model_build(uint8_t *f, uint32_t len, const uint8_t src[4], const uint8_t dst[4], uint16_t sport,
		 uint16_t dport, uint8_t ttl, bool udp_check)
{
	static const uint8_t macs[12] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9 };

	memcpy(f, macs, 12);
	put(f + 12, 0x0800);
	f[14] = 0x45;
	f[15] = 0;
	put(f + 16, len - 14);
	put(f + 18, 0x1234);
	put(f + 20, 0x4000);
	f[22] = ttl;
	f[23] = 17;
	put(f + 24, 0);
	memcpy(f + 26, src, 4);
	memcpy(f + 30, dst, 4);
	put(f + 24, naive_check(naive_sum(f + 14, 20, 0)));
	put(f + 34, sport);
	put(f + 36, dport);
	put(f + 38, len - 34);
	put(f + 40, 0);
	if (udp_check) {
		put(f + 40, naive_check(udp_sum(f)));
		if (!get(f + 40))
			put(f + 40, 0xffff);
	}
}
