/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice.h - the kernel's side of an SPA, in a process: a slice of memory laid
 * out as uapi/uls_shm.h says, the rings as AF_XDP keeps them, a card that
 * takes frames from the fill ring and sends those in the transmit ring.
 *
 * All but struct uls_info is independent of the library under test: layouts
 * come from <linux/if_xdp.h> and the ABI header, indices are handled here in
 * 64 bits and compared in 32.
 */
#ifndef SLICE_H
#define SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/if_xdp.h>

#include "uls_shm.h"

/* Below TASK_SIZE, and clear of everything a sanitizer maps. */
#define SLICE_BASE 0x200000000000ULL

struct slice_config {
	uint32_t frames, chunk, headroom;	/* headroom: offset of a received frame in its chunk */
	uint32_t rx, tx, fill, comp;		/* entries */
	uint32_t first_index;			/* where the rings' indices begin */
	uint32_t heap;
	bool no_port;
	bool poison;				/* ASan reports an access outside a received frame */
};

extern const struct slice_config slice_default;

struct slice {
	struct slice_config c;
	uint8_t *base;
	struct uls_info *info;
	uint8_t *umem;
	/* Frames the card took from the fill ring and has not used. */
	uint64_t *nic;
	uint32_t nic_n;
	/* Frames the card is sending. */
	uint64_t *flying;
	uint32_t flying_n;
};

void slice_open(struct slice *s, const struct slice_config *c);
void slice_close(struct slice *s);

struct uls_counters *slice_counters(struct slice *s);
void slice_log_dump(struct slice *s);
const char *slice_log(struct slice *s);	/* all text so far */

/* The card takes all there is in the fill ring. Returns how many. */
uint32_t slice_nic_take(struct slice *s);

/* A frame comes in. Its UMEM offset (of the first byte), or -1: no free frame, no room in the ring. */
int64_t slice_rx(struct slice *s, const void *bytes, uint32_t len);

/* The next descriptor of the transmit ring, checked as the kernel checks it. False: empty. */
bool slice_tx(struct slice *s, struct xdp_desc *d);

/* Descriptors refused since open: outside the UMEM, across a chunk's end, with options. */
extern unsigned int slice_invalid;

/* The card has sent all it was given: frames to the completion ring, as far as it has room. */
void slice_complete(struct slice *s);

/*
 * Every frame of the UMEM must be in exactly one place; `held` frames may be
 * missing (kept by the SPA). Returns the number of frames that are in none or
 * in two places, after printing the first few.
 */
unsigned int slice_audit(struct slice *s, unsigned int held);

/* The same where any number may be missing: an upcall was cut off. */
unsigned int slice_doubled(struct slice *s);

/* Ring words, for tests that spoil them. */
uint32_t *slice_prod(struct slice *s, const struct uls_ring_info *r);
uint32_t *slice_cons(struct slice *s, const struct uls_ring_info *r);

#endif /* SLICE_H */
