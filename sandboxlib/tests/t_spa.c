// SPDX-License-Identifier: Apache-2.0
/*
 * The real .spa files, through their entry point: no payload is copied or even
 * looked at, instructions per frame, takeover, and what the fault cases do
 * where the host has the same answer as the sandbox.
 *
 * usage: t_spa DIR	the folder with the .spa files
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"
#include "spafile.h"
#include "tap.h"
#include "upcall.h"

static const char *dir;
static struct slice s;
static const uint8_t ip_a[4] = { 10, 0, 0, 1 }, ip_b[4] = { 10, 0, 0, 2 };

static void load(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s.spa", dir, name);
	elf_load(&s, path);
}

static uint64_t count_of(const char *name) { return slice_counters(&s)->v[elf_counter(name)]; }

static void add_flow(uint16_t port)
{
	struct uls_msg_flow m = {
		.new_src_ip = 0x0100000a, .new_dst_ip = 0x0909090a, .new_dst_port = 0x1234, .new_src_port = 0x4321,
		.match_dst_port = (uint16_t)(port << 8 | port >> 8), .new_dst_mac = { 2, 0, 0, 0, 0, 7 },
	};

	memcpy(&m.match_dst_ip, ip_b, 4);
	if (control(&s, &m, ULS_MSG_FLOW_ADD, sizeof(m)).result)
		slice_log_dump(&s);
}

/*
 * Frames whose headers end where a page ends. Their payload's page is closed
 * while the upcall runs: an SPA that reads or writes one byte of it dies.
 */
static void test_payload(const char *name)
{
	struct slice_config c = slice_default;
	static uint8_t frame[1514], before[512 * 8192];
	unsigned int round, i, n, moved = 0, changed = 0, out = 0, faults = 0;
	struct xdp_desc d;
	uint64_t at[64];

	c.chunk = 8192;
	c.frames = 256;
	c.fill = 128;
	c.headroom = 4096 - 42;
	slice_open(&s, &c);
	load(name);
	is(upcall(&s, ULS_UP_INIT, 0).result, 0, "payload: init");
	if (!strcmp(name, "forward"))
		add_flow(5000);
	for (round = 0; round < 20; round++) {
		n = 1 + below(64);
		for (i = 0; i < n; i++) {
			uint32_t len = 60 + below(1455), k;

			for (k = 0; k < len; k++)
				frame[k] = (uint8_t)rnd();
			model_build(frame, len, ip_a, ip_b, 4000, 5000, 64, below(2));
			at[i] = (uint64_t)slice_rx(&s, frame, len);
		}
		memcpy(before, s.umem, s.info->umem_len);
		for (i = 0; i < c.frames; i++)
			mprotect(s.umem + i * 8192 + 4096, 4096, PROT_NONE);
		faults += upcall(&s, ULS_UP_RX, n).signal != 0;
		mprotect(s.umem, s.info->umem_len, PROT_READ | PROT_WRITE);
		for (i = 0; slice_tx(&s, &d); i++, out++) {
			moved += i >= n || d.addr != at[i];
			/* All that may differ is the 42 bytes of headers: put them back and compare everything. */
			memcpy(s.umem + d.addr, before + d.addr, 42);
		}
		moved += i != n;
		changed += memcmp(before, s.umem, s.info->umem_len) != 0;
		slice_complete(&s);
	}
	ok(!faults, "payload: %s neither reads nor writes it", name);
	is(moved, 0, "payload: each frame leaves from the UMEM offset where it was received");
	is(changed, 0, "payload: no byte of the UMEM changes but the headers of frames sent");
	ok(out > 100, "payload: %u frames", out);
	slice_close(&s);
}

static void test_echo(void)
{
	uint8_t in[100], want[100];
	struct xdp_desc d = { 0 };
	unsigned int i;

	slice_open(&s, &slice_default);
	load("echo");
	is(upcall(&s, ULS_UP_INIT, 0).result, 0, "echo: init");
	for (i = 0; i < 100; i++)
		in[i] = (uint8_t)rnd();
	model_build(in, 90, ip_a, ip_b, 1000, 2000, 64, true);
	memcpy(want, in, 100);
	memcpy(want, in + 6, 6);
	memcpy(want + 6, in, 6);
	memcpy(want + 26, ip_b, 4);
	memcpy(want + 30, ip_a, 4);
	memcpy(want + 34, in + 36, 2);
	memcpy(want + 36, in + 34, 2);
	slice_rx(&s, in, 90);
	upcall(&s, ULS_UP_RX, 1);
	ok(slice_tx(&s, &d) && d.len == 90 && !memcmp(s.umem + d.addr, want, 90), "echo: everything swapped");
	is(model_udp_error(s.umem + d.addr), 0, "echo: UDP checksum still right");
	is(naive_sum(s.umem + d.addr + 14, 20, 0), 0xffff, "echo: IP checksum still right");
	is((long long)count_of("echoed"), 1, "echo: counted");
	in[23] = 6;
	slice_rx(&s, in, 90);
	in[23] = 17;
	in[20] = 0x20;
	slice_rx(&s, in, 90);
	in[20] = 0;
	in[0] = 0xff;
	slice_rx(&s, in, 90);
	in[0] = 2;
	in[12] = 0x86;
	slice_rx(&s, in, 90);
	slice_rx(&s, in, 13);
	upcall(&s, ULS_UP_RX, 5);
	ok(!slice_tx(&s, &d), "echo: nothing else comes back");
	is((long long)count_of("not_udp4"), 3, "echo: other protocols counted");
	is((long long)count_of("fragment"), 1, "echo: fragments counted");
	is((long long)count_of("group"), 1, "echo: broadcasts counted");
	slice_close(&s);
}

/* Steps of an upcall with n frames. */
static uint64_t steps_of(unsigned int n, unsigned int len)
{
	uint8_t frame[1514] = { 0 };
	struct xdp_desc d;
	struct outcome o;
	unsigned int i;

	for (i = 0; i < n; i++) {
		model_build(frame, len, ip_a, ip_b, 4000, 5000, 64, true);
		slice_rx(&s, frame, len);
	}
	slice_nic_take(&s);
	elf_count_steps = true;
	o = upcall(&s, ULS_UP_RX, n);
	elf_count_steps = false;
	while (slice_tx(&s, &d))
		;
	slice_complete(&s);
	return o.steps;
}

/*
 * Instructions per frame, in the steady state: each upcall also takes back the
 * frames of the one before and fills the ring. The bounds are a guard against
 * growth by accident, some way above what it costs now.
 */
static void test_cost(const char *name, unsigned int per_frame_max, unsigned int empty_max)
{
	uint64_t empty, one, batch, nop;
	unsigned int i;

	slice_open(&s, &slice_default);
	load(name);
	upcall(&s, ULS_UP_INIT, 0);
	if (!strcmp(name, "forward"))
		for (i = 0; i < 100; i++)
			add_flow((uint16_t)(4990 + i));
	/* Twice, so that the second meets the first's completions. */
	steps_of(64, 60);
	batch = steps_of(64, 60);
	steps_of(1, 60);
	one = steps_of(1, 60);
	steps_of(0, 60);
	empty = steps_of(0, 60);
	elf_count_steps = true;
	nop = upcall(&s, ULS_UP_NOP, 0).steps;
	elf_count_steps = false;
	printf("# %s: %.1f instructions per frame in a batch of 64 (%llu in all), %llu for an upcall of one frame, "
	       "%llu for one without, %llu for NOP\n", name, (double)(batch - empty) / 64, (unsigned long long)batch,
	       (unsigned long long)one, (unsigned long long)empty, (unsigned long long)nop);
	ok(batch > empty && (batch - empty) / 64 <= per_frame_max, "cost: %s: at most %u instructions per frame in a batch of 64",
	   name, per_frame_max);
	ok(empty <= empty_max, "cost: %s: at most %u for an upcall without frames", name, empty_max);
	ok(nop == 7, "cost: %s: NOP takes 7, the syscall included", name);
	slice_close(&s);
}

/* INIT with the sizes ulsctl uses, and the growth of a full table: what a budget must allow. */
static void test_cost_init(void)
{
	struct slice_config c = slice_default;
	struct uls_msg_flow m = { .match_dst_ip = 1, .new_dst_mac = { 2 } };
	uint64_t init, add, most = 0;
	unsigned int i;

	c.frames = 4096;
	c.fill = 2048;
	c.rx = c.tx = c.comp = 1024;
	slice_open(&s, &c);
	load("forward");
	elf_count_steps = true;
	init = upcall(&s, ULS_UP_INIT, 0).steps;
	for (i = 1, add = 0; i <= 1600; i++) {
		m.match_dst_port = (uint16_t)i;
		add = control(&s, &m, ULS_MSG_FLOW_ADD, sizeof(m)).steps;
		if (add > most)
			most = add;
	}
	elf_count_steps = false;
	printf("# forward: INIT with 4096 frames %llu instructions, adding a flow %llu, the one that doubles the table at "
	       "1536 flows %llu\n", (unsigned long long)init, (unsigned long long)add, (unsigned long long)most);
	ok(init < 60000, "cost: INIT");
	ok(add < 500, "cost: adding a flow");
	ok(most < 200000, "cost: doubling the table");
	slice_close(&s);
}

/* forward takes over from echo and back, with frames in every ring. */
static void test_replace(void)
{
	uint8_t frame[100] = { 0 };
	struct xdp_desc d;
	unsigned int round, i, bad = 0, lost = 0, sent = 0;

	slice_open(&s, &slice_default);
	load("echo");
	upcall(&s, ULS_UP_INIT, 0);
	model_build(frame, 80, ip_a, ip_b, 4000, 5000, 64, true);
	for (round = 0; round < 50; round++) {
		unsigned int n = below(64);

		for (i = 0; i < n; i++)
			bad += slice_rx(&s, frame, 80) < 0;
		if (below(2)) {
			upcall(&s, ULS_UP_FINI, 0);
			load(round % 2 ? "echo" : "forward");
			s.info->flags = ULS_INFO_TAKEOVER;
			bad += upcall(&s, ULS_UP_INIT, 0).result != 0;
			if (!(round % 2))
				add_flow(5000);
		}
		upcall(&s, ULS_UP_RX, n);
		for (i = 0; slice_tx(&s, &d); i++)
			sent++;
		lost += i != n;
		if (below(2))
			slice_complete(&s);
		bad += slice_audit(&s, 0);
	}
	is(bad, 0, "replace: every frame in one place after each of 50 rounds");
	is(lost, 0, "replace: no frame lost");
	ok(sent > 500, "replace: %u frames", sent);
	slice_close(&s);
}

/*
 * An upcall that is cut off at any one of its instructions: whoever goes on with
 * the port finds no frame in two places. Of the frames one is echoed, two are
 * dropped; completions wait to be taken back.
 */
static struct outcome cut_upcall(uint64_t reason, uint64_t at, unsigned int *doubled)
{
	static uint8_t frame[100];
	struct slice_config c = slice_default;
	struct xdp_desc d;
	struct outcome o;
	unsigned int i;

	c.frames = 64;
	c.rx = c.tx = c.comp = 16;
	c.fill = 32;
	slice_open(&s, &c);
	load("echo");
	upcall(&s, ULS_UP_INIT, 0);
	model_build(frame, 80, ip_a, ip_b, 4000, 5000, 64, true);
	for (i = 0; i < 5; i++)
		slice_rx(&s, frame, 80);
	upcall(&s, ULS_UP_RX, 5);
	while (slice_tx(&s, &d))
		;
	slice_complete(&s);
	slice_rx(&s, frame, 80);
	frame[12] = 0x86;
	for (i = 0; i < 2; i++)
		slice_rx(&s, frame, 80);
	slice_nic_take(&s);
	s.info->flags = ULS_INFO_TAKEOVER;
	elf_count_steps = true;
	elf_cut_after = at;
	o = upcall(&s, reason, 1);
	elf_count_steps = false;
	elf_cut_after = 0;
	*doubled += slice_doubled(&s);
	/* The one that goes on. */
	if (upcall(&s, ULS_UP_INIT, 0).result)
		++*doubled;
	*doubled += slice_doubled(&s);
	slice_close(&s);
	return o;
}

static void test_cut(uint64_t reason, const char *name)
{
	unsigned int doubled = 0;
	uint64_t at = 0, cut = 0;

	do
		cut += cut_upcall(reason, ++at, &doubled).aborted;
	while (cut == at);
	ok(cut > 50, "cut off: %s, at each of %llu instructions", name, (unsigned long long)cut);
	ok(!doubled, "cut off: %s: no frame is ever in two places (%u)", name, doubled);
}

/* ---- Fault cases ------------------------------------------------------------ */

static struct outcome run_case(const char *name)
{
	char path[64];
	struct outcome o;

	slice_open(&s, &slice_default);
	snprintf(path, sizeof(path), "tests/%s", name);
	load(path);
	o = upcall(&s, ULS_UP_INIT, 0);
	if (o.aborted || o.result)
		return o;
	slice_rx(&s, "any frame at all", 16);
	return upcall(&s, ULS_UP_RX, 1);
}

/* Where user level has the same answer as the sandbox: the signal, and the address where there is one. */
static void test_faults(void)
{
	static const struct { const char *name; int sig; uint64_t addr; } t[] = {
		{ "null-read", SIGSEGV, 0 },
		{ "null-write", SIGSEGV, 0 },
		{ "kernel-read", SIGSEGV, 0xffffffff81000000 },
		{ "direct-map-read", SIGSEGV, 0xffff888000000000 },
		{ "neighbour-read", SIGSEGV, SLICE_BASE + ULS_SLICE_SIZE + ULS_OFF_INFO },
		{ "neighbour-write", SIGSEGV, SLICE_BASE + ULS_SLICE_SIZE + ULS_OFF_COUNTERS },
		{ "far-kernel-jump", SIGSEGV, 0xffffffff81000000 },
		{ "noncanonical-read", SIGSEGV, -1ULL },
		{ "write-text", SIGSEGV, -1ULL },
		{ "write-rodata", SIGSEGV, SLICE_BASE + 0x102000 },
		{ "exec-data", SIGSEGV, -1ULL },
		{ "exec-umem", SIGSEGV, -1ULL },
		{ "int3", SIGTRAP, -1ULL },
		{ "ud2", SIGILL, -1ULL },
		{ "div0", SIGFPE, -1ULL },
		{ "cli", SIGSEGV, -1ULL },
		{ "hlt", SIGSEGV, -1ULL },
		{ "outb", SIGSEGV, -1ULL },
		{ "rdmsr", SIGSEGV, -1ULL },
		{ "wrcr3", SIGSEGV, -1ULL },
		{ "stack-overflow", SIGSEGV, -1ULL },
		{ "popf-tf", SIGTRAP, -1ULL },
		{ "selector-bad", SIGSEGV, -1ULL },
		{ "selector-ldt", SIGSEGV, -1ULL },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct outcome o = run_case(t[i].name);
		bool good = o.signal == t[i].sig && !count_of("survived");

		/* rodata moves with the size of the text. */
		if (t[i].addr != -1ULL && strcmp(t[i].name, "write-rodata"))
			good = good && o.addr == t[i].addr;
		if (!ok(good, "fault: %s", t[i].name))
			printf("#   signal %d at 0x%llx\n", o.signal, (unsigned long long)o.addr);
		slice_close(&s);
	}
	{
		struct outcome o = run_case("stack-overflow");
		uint64_t bottom = SLICE_BASE + ULS_OFF_STACKS + ULS_STACK_STRIDE - 16384;

		ok(o.addr < bottom && o.addr >= bottom - 4096, "fault: the stack overflow is seen in the guard page");
		slice_close(&s);
		o = run_case("bad-service");
		is(o.bad_service, 110, "fault: bad-service: its number");
		slice_close(&s);
		o = run_case("self-abort");
		ok(o.aborted && o.code == 0x1234, "fault: self-abort: its code");
		slice_close(&s);
		o = run_case("init-fails");
		is(o.result, -28, "init-fails: -ENOSPC");
		ok(strstr(slice_log(&s), "as it should") != NULL, "init-fails: its log can be read");
		slice_close(&s);
		o = run_case("no-tick");
		o = upcall(&s, ULS_UP_TICK, 1000);
		ok(o.aborted && o.code == 3, "no-tick: aborts itself");
		slice_close(&s);
	}
}

static void test_spin(void)
{
	slice_open(&s, &slice_default);
	load("tests/spin");
	upcall(&s, ULS_UP_INIT, 0);
	slice_rx(&s, "any frame at all", 16);
	ualarm(50000, 0);
	ok(upcall(&s, ULS_UP_RX, 1).signal == SIGALRM, "fault: spin spins until it is stopped");
	slice_close(&s);
}

static void test_idle(void)
{
	unsigned int i;

	slice_open(&s, &slice_default);
	load("tests/idle");
	fake_now = 1000000;
	is(upcall(&s, ULS_UP_INIT, 0).result, 0, "idle: init");
	for (i = 0; i < 50; i++) {
		fake_now += 1000000;
		upcall(&s, ULS_UP_TICK, fake_now);
	}
	is((long long)count_of("ticks"), 50, "idle: ticks");
	is((long long)count_of("timer_runs"), 10, "idle: a timer of 5 ms in 50 ticks of 1 ms");
	is((long long)count_of("clock_backwards"), 0, "idle: the clock goes forward");
	is(upcall(&s, ULS_UP_FINI, 0).result, 0, "idle: fini");
	ok(strstr(slice_log(&s), "idle: port 2 queue 0, 02:00:00:00:00:01\n") && strstr(slice_log(&s), "farewell"), "idle: log");
	slice_close(&s);
}

static void test_relocs(void)
{
	slice_open(&s, &slice_default);
	load("tests/relocs");
	is(upcall(&s, ULS_UP_INIT, 0).result, 0, "relocs: every pointer is right");
	slice_close(&s);
}

int main(int argc, char **argv)
{
	dir = argc > 1 ? argv[1] : ".";
	seed_from_env(4);
	test_payload("echo");
	test_payload("forward");
	test_echo();
	test_cost("forward", 210, 160);
	test_cost("echo", 180, 160);
	/* Sends every frame as it came: what is left is the library. */
	test_cost("tests/idle", 75, 160);
	test_cost_init();
	test_replace();
	test_cut(ULS_UP_INIT, "INIT of a replacement");
	test_cut(ULS_UP_FINI, "FINI");
	test_cut(ULS_UP_RX, "RX");
	test_idle();
	test_relocs();
	test_faults();
	test_spin();
	return done();
}
