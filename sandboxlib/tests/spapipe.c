// SPDX-License-Identifier: Apache-2.0
/*
 * spapipe - an SPA linked with the library, run by commands on stdin; what it
 * does goes to stdout. internal/live/engine runs the same commands on the
 * WebAssembly build and compares every byte.
 *
 * Commands, numbers little-endian:
 *	'N' u64		the clock from now on
 *	'F' u32 bytes	a frame comes in
 *	'R'		upcall RX
 *	'T'		upcall TICK, at the clock's time
 *	'M' u32 bytes	upcall CONTROL with that message
 * After INIT and each upcall: 'O' u32 bytes for each frame sent, then 'E' s64 (the
 * result), or 'A' u64 (the code) if the SPA gave up, which is the end. At the
 * end of stdin: 'C' and the counters, 64 of u64.
 *
 * Built under the sanitizers; "-p" poisons the UMEM but for frames received.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spa.h"
#include "upcall.h"

static struct slice s;

static void out(const void *p, size_t n)
{
	if (fwrite(p, 1, n, stdout) != n) {
		perror("spapipe: stdout");
		exit(1);
	}
}

/* False at the end of stdin. */
static bool in(void *p, size_t n)
{
	return fread(p, 1, n, stdin) == n;
}

static void must(void *p, size_t n)
{
	if (!in(p, n)) {
		fputs("spapipe: stdin ends inside a command\n", stderr);
		exit(2);
	}
}

static uint32_t bytes(uint8_t *b, uint32_t max)
{
	uint32_t n;

	must(&n, sizeof(n));
	if (n > max) {
		fprintf(stderr, "spapipe: %u bytes, at most %u\n", n, max);
		exit(2);
	}
	must(b, n);
	return n;
}

static void tell(struct outcome o)
{
	struct xdp_desc d;

	if (o.aborted) {
		out("A", 1);
		out(&o.code, 8);
		exit(0);
	}
	while (slice_tx(&s, &d)) {
		out("O", 1);
		out(&d.len, 4);
		out(s.umem + d.addr, d.len);
	}
	slice_complete(&s);
	out("E", 1);
	out(&o.result, 8);
}

int main(int argc, char **argv)
{
	/* As internal/live/engine lays out an instance. */
	struct slice_config c = {
		.frames = 512, .chunk = 2048, .headroom = 128, .rx = 64, .tx = 512, .fill = 64, .comp = 512,
		.heap = (uint32_t)spa_manifest.m.heap, .poison = argc > 1 && !strcmp(argv[1], "-p"),
	};
	static uint8_t buf[4096];
	uint32_t n, waiting = 0;
	char cmd;

	slice_open(&s, &c);
	tell(upcall(&s, ULS_UP_INIT, 0));
	while (in(&cmd, 1)) {
		switch (cmd) {
		case 'N':
			must(&fake_now, 8);
			break;
		case 'F':
			n = bytes(buf, c.chunk - c.headroom);
			waiting += slice_rx(&s, buf, n) >= 0;
			break;
		case 'R':
			tell(upcall(&s, ULS_UP_RX, waiting));
			waiting = 0;
			break;
		case 'T':
			tell(upcall(&s, ULS_UP_TICK, fake_now));
			break;
		case 'M':
			n = bytes(buf, sizeof(buf));
			memset(s.base + ULS_OFF_MBOX, 0, ULS_MBOX_SIZE);
			memcpy(s.base + ULS_OFF_MBOX, buf, n);
			tell(upcall(&s, ULS_UP_CONTROL, n));
			break;
		default:
			fprintf(stderr, "spapipe: unknown command 0x%02x\n", (unsigned int)cmd);
			return 2;
		}
	}
	out("C", 1);
	out(slice_counters(&s), sizeof(struct uls_counters));
	slice_close(&s);
	return fflush(stdout) ? 1 : 0;
}
