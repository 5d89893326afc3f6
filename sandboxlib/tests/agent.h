/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.h - what the tests of the stream SPAs share: one SPA linked with the
 * test under the sanitizers, datagrams with the overlay's header in, frames out.
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"
#include "tap.h"
#include "upcall.h"

#define FRONT 42
#define HDR 64
#define NO_BUDGET 0xffffffffu

extern struct slice slice;

/* What the SPA sent, in order, since agent_clear(). */
struct got {
	uint8_t f[2048];
	uint32_t len;
	uint64_t at;	/* fake_now */
};
extern struct got got[4096];
extern unsigned int ngot;

/* Starts the SPA. poison: no byte outside frames received may be touched. */
void agent_begin(bool poison);
/* The end: how many frames are not in exactly one place (`held` in the SPA), and invalid descriptors. */
unsigned int agent_end(unsigned int held);

uint64_t counter(const char *name);	/* its value; the test ends when there is none of that name */
int64_t set(const char *param, uint64_t value);
int64_t flow(uint16_t type, const uint8_t new_dst[4], uint16_t new_port);

/* A frame of stream `id`: its length. check: with a UDP checksum. */
uint32_t build(uint8_t *f, uint8_t id, uint64_t seq, uint8_t flags, const void *payload, uint32_t len, bool check);

/* The UDP checksum anew, if it has one, after a change. */
void reseal(uint8_t *f, uint32_t len);

/* Reads a frame's fields without the library's help. */
uint64_t seq_of(const uint8_t *f);
uint32_t be32_at(const uint8_t *f, uint32_t off);	/* off into the data header */

/* Lengths and checksums of a frame are right. */
bool sound(const uint8_t *f, uint32_t len);

void give(const uint8_t *f, uint32_t len);	/* into the receive ring; runs the SPA when it is full */
void agent_run(void);				/* upcall RX, and collect */
void agent_tick(uint64_t forward_ns);
static inline void agent_clear(void) { ngot = 0; }

#endif /* AGENT_H */
