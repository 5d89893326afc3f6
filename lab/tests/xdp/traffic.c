// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf.h"
#include "traffic.h"
#include "util.h"

#define MAGIC 0x5d7e57a1u
#define HDR 26			/* Ethernet header, magic, run, number */

void port_open(struct port *p, int ns, const char *ifname, const uint8_t peer[6])
{
	struct sockaddr_ll sa = { .sll_family = AF_PACKET, .sll_protocol = htons(TEST_ETHERTYPE) };
	int old = ns >= 0 ? ns_enter(ns) : -1;
	int one = 1, size = 4 << 20;

	/* protocol 0 until bound, or it would collect from all interfaces */
	p->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		die("packet socket");
	sa.sll_ifindex = if_index(ifname);
	if_mac(ifname, p->mac);
	setsockopt(p->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	setsockopt(p->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(p->fd, (struct sockaddr *)&sa, sizeof(sa)))
		die("bind packet socket to %s", ifname);
	memcpy(p->peer, peer ? peer : p->mac, 6);
	if (old >= 0)
		ns_return(old);
}

void port_drain(struct port *p)
{
	uint8_t buf[64];

	while (recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

/* Throw away also what is still on its way: its sender may have been told long ago
 * that it is sent, and a slow machine receives it later. One that never stops has
 * another sender, and is the caller's to tell apart.
 */
static void port_settle(struct port *p)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
	uint64_t end = now_ms() + 1000;

	do
		port_drain(p);
	while (now_ms() < end && poll(&pfd, 1, 30) > 0);
}

void port_close(struct port *p)
{
	close(p->fd);
	p->fd = -1;
}

static uint8_t pattern(uint32_t seq, unsigned int i)
{
	return (uint8_t)(seq * 131 + i * 7 + (i >> 8));
}

void frame_make(uint8_t *buf, unsigned int len, const uint8_t dst[6], const uint8_t src[6],
		uint32_t run, uint32_t seq)
{
	uint32_t word[3] = { htonl(MAGIC), htonl(run), htonl(seq) };
	uint16_t type = htons(TEST_ETHERTYPE);
	unsigned int i;

	memcpy(buf, dst, 6);
	memcpy(buf + 6, src, 6);
	memcpy(buf + 12, &type, 2);
	memcpy(buf + 14, word, sizeof(word));
	for (i = HDR; i < len; i++)
		buf[i] = pattern(seq, i);
}

unsigned int frame_len(uint32_t seq)
{
	static const unsigned int edge[] = { 60, 1514, 61, 1513, 64, 127, 128, 129, 1024 };

	if (seq < ARRAY_LEN(edge))
		return edge[seq];
	return FRAME_MIN + (seq * 397) % (FRAME_MAX - FRAME_MIN + 1);
}

int64_t frame_check(const uint8_t *buf, unsigned int len, uint32_t run)
{
	uint32_t word[3], seq;
	unsigned int i;

	if (len < HDR)
		return -2;
	memcpy(word, buf + 14, sizeof(word));
	if (ntohl(word[0]) != MAGIC)
		return -2;
	if (ntohl(word[1]) != run)
		return -1;
	seq = ntohl(word[2]);
	for (i = HDR; i < len; i++)
		if (buf[i] != pattern(seq, i))
			return -2;
	return seq;
}

static bool port_send(struct port *p, const uint8_t *buf, unsigned int len)
{
	return send(p->fd, buf, len, MSG_DONTWAIT) == (ssize_t)len;
}

static uint32_t last_run;

void traffic_forked(void)
{
	last_run += 1u << 16;
}

void traffic_run(struct port *from, struct port *to, struct traffic *t)
{
	uint32_t run = ++last_run;
	uint8_t *seen = calloc(1, t->count), buf[4096];
	uint64_t idle = now_ms();
	int64_t newest = -1;

	if (!seen)
		die("memory");
	t->sent = t->back = t->damaged = t->twice = t->disorder = 0;

	/* what earlier tests have left over */
	port_settle(to);

	while (t->back < t->count) {
		bool busy = false;
		ssize_t n;

		if (t->sent < t->count && (!t->window || t->sent - t->back < t->window)) {
			unsigned int len = t->size ? t->size : frame_len(t->sent);

			frame_make(buf, len, from->peer, from->mac, run, t->sent);
			if (port_send(from, buf, len)) {
				t->sent++;
				busy = true;
			}
		}

		while ((n = recv(to->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
			int64_t seq = frame_check(buf, n, run);
			unsigned int want;

			if (seq == -1)
				continue;	/* a late one of an earlier run */
			busy = true;
			want = seq >= 0 ? (t->size ? t->size : frame_len(seq)) - t->cut : 0;
			/* the hardware pads what is shorter */
			if (want < FRAME_MIN)
				want = n;
			if (seq < 0 || seq >= t->count || (unsigned int)n != want) {
				t->damaged++;
				continue;
			}
			if (seen[seq]) {
				t->twice++;
				continue;
			}
			if (seq < newest)
				t->disorder++;
			newest = seq;
			seen[seq] = 1;
			t->back++;
		}

		if (t->step)
			t->step(t->arg);
		if (busy) {
			idle = now_ms();
		} else if (now_ms() - idle > t->idle_ms) {
			break;
		} else if (!t->step) {
			struct pollfd pfd = { .fd = to->fd, .events = POLLIN };

			poll(&pfd, 1, 1);
		}
	}
	free(seen);
}

bool traffic_good(const struct traffic *t)
{
	return t->sent == t->count && t->back == t->count && !t->damaged && !t->twice &&
	       !t->disorder;
}

unsigned int traffic_flood(struct port *p, unsigned int ms, unsigned int size)
{
	uint64_t end = now_ms() + ms;
	uint8_t buf[FRAME_MAX];
	unsigned int n = 0;

	while (now_ms() < end) {
		frame_make(buf, size, p->peer, p->mac, 0, n);
		if (port_send(p, buf, size))
			n++;
	}
	return n;
}
