/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.h - what forward.spa should do, said a second time, byte by byte and
 * without a thought for speed. Shares no code with the library.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stdint.h>

/* One's complement sum of n bytes as big-endian 16-bit words, naively. */
uint32_t naive_sum(const uint8_t *p, uint32_t n, uint32_t sum);
/* The checksum that belongs to a sum. */
uint16_t naive_check(uint32_t sum);

struct model_flow {
	uint8_t dst[4], new_src[4], new_dst[4];		/* 0: any, keep, keep */
	uint16_t port, new_sport, new_dport;		/* host order, likewise */
	uint8_t dmac[6], smac[6];
};

enum model_reason {
	M_FORWARDED, M_NO_FLOW, M_SHORT, M_NOT_IP4, M_OPTIONS, M_FRAGMENT, M_NOT_UDP, M_LENGTH,
	M_CHECK, M_TTL, M_REASONS
};
extern const char *const model_counter[M_REASONS];

/*
 * What becomes of a frame: M_FORWARDED with the new bytes in out, or why not.
 * A UDP checksum that was wrong is wrong afterwards by the same amount:
 * *udp_damaged is set and the two bytes at out + 40 hold nothing to compare;
 * use model_udp_error() on both.
 */
enum model_reason model_forward(const uint8_t *in, uint32_t len, const struct model_flow *flows,
				unsigned int n, bool ttl_decrement, uint8_t *out, bool *udp_damaged);

/* By how much the sum over pseudo-header and datagram misses, modulo 65535; 0 is right. */
uint32_t model_udp_error(const uint8_t *frame);

/* A valid frame: headers written, checksums right, payload left alone. The UDP length is len - 34. */
void model_build(uint8_t *f, uint32_t len, const uint8_t src[4], const uint8_t dst[4], uint16_t sport,
		 uint16_t dport, uint8_t ttl, bool udp_check);

#endif /* MODEL_H */
