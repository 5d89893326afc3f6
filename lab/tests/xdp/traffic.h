/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered frames with known contents, from and to a packet socket. */
#ifndef XDPTEST_TRAFFIC_H
#define XDPTEST_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MIN 60
#define FRAME_MAX 1514		/* without FCS */

/* A packet socket for frames of TEST_ETHERTYPE on an interface. */
struct port {
	int fd;
	uint8_t mac[6], peer[6];	/* ours, and the one we send to */
};

/* Open in the namespace ns (-1: the current one). */
void port_open(struct port *p, int ns, const char *ifname, const uint8_t peer[6]);
void port_close(struct port *p);
/* Throw away what it has received. */
void port_drain(struct port *p);

/* Write frame number seq of a run into buf, len bytes from the Ethernet header. */
void frame_make(uint8_t *buf, unsigned int len, const uint8_t dst[6], const uint8_t src[6],
		uint32_t run, uint32_t seq);
/* Length of frame number seq of a run: all sizes from 60 to 1514 come up. */
unsigned int frame_len(uint32_t seq);
/* Check one, except its addresses. Returns its number, or -1 if it is of another
 * run, -2 if it is damaged.
 */
int64_t frame_check(const uint8_t *buf, unsigned int len, uint32_t run);

struct traffic {
	/* what to do */
	unsigned int count;	/* frames */
	unsigned int window;	/* at most that many without an answer; 0: no limit */
	unsigned int size;	/* of each; 0: varied */
	unsigned int cut;	/* answers are shorter by that */
	unsigned int idle_ms;	/* give up after that long without an answer */
	/* called whenever there is nothing to do; may be NULL */
	void (*step)(void *arg);
	void *arg;
	/* what came of it */
	unsigned int sent, back, damaged, twice, disorder;
};

/* Send frames from one port and expect them at another (which may be the same
 * one) until all are there or nothing comes any more.
 */
void traffic_run(struct port *from, struct port *to, struct traffic *t);
/* After fork(): number the runs differently from those of the parent. */
void traffic_forked(void);
/* All back, each once, in order and undamaged? */
bool traffic_good(const struct traffic *t);

/* Send as many frames as possible without waiting for anything, ms long.
 * Returns how many.
 */
unsigned int traffic_flood(struct port *p, unsigned int ms, unsigned int size);

#endif
