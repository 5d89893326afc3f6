// SPDX-License-Identifier: Apache-2.0
/*
 * merge: a virtual network of two paths with delay, loss and repetition in front
 * of it; what comes out is checked packet by packet against what went in.
 */
#include <stdlib.h>
#include <string.h>

#include "agent.h"

#define MS 1000000ULL
#define MAX 4000

struct flight {
	uint64_t at;
	uint32_t seq;
};

static struct flight air[2 * MAX];
static uint64_t came[MAX + 1];		/* when it first came; 0: never */
static uint8_t f[2048];
static uint8_t stream_id;

static int by_time(const void *a, const void *b)
{
	const struct flight *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

struct net {
	const char *name;
	uint32_t delay[2], spread[2];	/* us, of each path */
	uint32_t loss, twice;		/* of 1000 */
	uint32_t gap_us;		/* from one packet to the next */
};

static uint32_t payload_of(uint64_t seq, uint8_t *p)
{
	uint32_t n = (uint32_t)(seq * 7 % 300), i;

	for (i = 0; i < n; i++)
		p[i] = (uint8_t)(seq + i);
	return n;
}

/* Ticks each millisecond up to a time. */
static void until(uint64_t t)
{
	while (fake_now / MS < t / MS) {
		uint64_t next = (fake_now / MS + 1) * MS;

		agent_run();
		agent_tick(next - fake_now);
	}
	if (t > fake_now)
		fake_now = t;
}

/* Sends n packets through the net and collects; how many flights there were. */
static uint32_t fly(const struct net *net, uint32_t n)
{
	uint64_t start = fake_now + 5 * MS;
	uint32_t i, k, flights = 0;
	uint8_t p[300];

	stream_id++;
	agent_clear();
	memset(came, 0, sizeof(came));
	for (i = 1; i <= n; i++)
		for (k = 0; k < 2; k++) {
			uint32_t path = k ? below(2) : i % 2;

			if (k && below(1000) >= net->twice)
				continue;
			if (below(1000) < net->loss)
				continue;
			air[flights].at = start + (uint64_t)i * net->gap_us * 1000 +
					  (net->delay[path] + below(net->spread[path] + 1)) * 1000ULL;
			air[flights++].seq = i;
		}
	qsort(air, flights, sizeof(*air), by_time);
	for (i = 0; i < flights; i++) {
		uint32_t len;

		if (air[i].at > fake_now) {
			agent_run();
			until(air[i].at);
		}
		len = build(f, stream_id, air[i].seq, 0, p, payload_of(air[i].seq, p), i % 2);
		f[FRONT + 56] = 0;	/* a budget of 2^24 - 1 us */
		reseal(f, len);
		if (!came[air[i].seq])
			came[air[i].seq] = fake_now;
		give(f, len);
	}
	agent_run();
	until(fake_now + 50 * MS);
	return flights;
}

struct sums { uint64_t in_order, duplicate, late, lost, waited; };

static struct sums sums(void)
{
	return (struct sums){ counter("in_order"), counter("duplicate"), counter("late"), counter("lost"),
			      counter("waited") };
}

static void test_net(const struct net *net, uint32_t n, uint32_t delay_us, bool all)
{
	uint32_t flights, i, order = 0, bytes = 0, slow = 0, time = 0, unique = 0, top = 0;
	struct sums a = sums(), b;
	uint64_t last = 0;
	uint8_t p[300];
	char what[100];

	set("delay_us", delay_us);
	flights = fly(net, n);
	b = sums();
	for (i = 1; i <= n; i++)
		if (came[i]) {
			unique++;
			top = i;
		}
	for (i = 0; i < ngot; i++) {
		const uint8_t *g = got[i].f;
		uint64_t seq = seq_of(g), wait;
		uint32_t len;

		order += seq <= last || seq > n || !came[seq];
		if (order)
			break;
		last = seq;
		len = payload_of(seq, p);
		bytes += !sound(g, got[i].len) || got[i].len != FRONT + HDR + len || memcmp(g + FRONT + HDR, p, len);
		wait = (got[i].at - came[seq]) / 1000;
		slow += wait > delay_us + 1000;
		time += be32_at(g, 60) != wait || be32_at(g, 56) != (0xffffff < wait ? 0 : 0xffffff - (uint32_t)wait);
	}
	snprintf(what, sizeof(what), "%s: in order, none twice", net->name);
	is(order, 0, what);
	snprintf(what, sizeof(what), "%s: bytes and checksums", net->name);
	is(bytes, 0, what);
	snprintf(what, sizeof(what), "%s: none waits longer than it may", net->name);
	is(slow, 0, what);
	snprintf(what, sizeof(what), "%s: the wait is in the header", net->name);
	is(time, 0, what);
	snprintf(what, sizeof(what), "%s: every flight accounted for", net->name);
	is((long long)(b.in_order + b.duplicate + b.late - a.in_order - a.duplicate - a.late), flights, what);
	snprintf(what, sizeof(what), "%s: every number accounted for", net->name);
	is((long long)(b.in_order - a.in_order + b.lost - a.lost), top, what);
	printf("# %s: %u packets, %u came, %u sent on, %llu waited, %llu late, %llu duplicate\n", net->name, n, unique,
	       ngot, (unsigned long long)(b.waited - a.waited), (unsigned long long)(b.late - a.late),
	       (unsigned long long)(b.duplicate - a.duplicate));
	if (all) {
		snprintf(what, sizeof(what), "%s: all that came went on", net->name);
		is(ngot, unique, what);
	}
}

static void one(uint8_t id, uint64_t seq, uint8_t flags)
{
	give(f, build(f, id, seq, flags, "x", 1, true));
	agent_run();
}

static void test_jumps(void)
{
	uint64_t wild = counter("wild"), lost = counter("lost"), i;

	agent_clear();
	one(200, 500000, 0);
	is(ngot, 1, "jumps: a stream in its middle begins where it is");
	one(200, 1ULL << 40, 0);
	is(ngot, 1, "jumps: a number from nowhere is not believed");
	one(200, 500001, 0);
	is(ngot, 2, "jumps: and does no harm");
	one(200, 1, 0);
	one(200, 2, 0);
	one(200, 3, 0);
	is(ngot, 4, "jumps: two in a row are a new beginning");
	is((long long)(counter("restarts")), 1, "jumps: counted");
	is((long long)(counter("wild") - wild), 2, "jumps: those not believed are counted");
	is((long long)seq_of(got[3].f), 3, "jumps: it goes on there");
	/* A gap of some hundred is given up at once: it is longer than the window. */
	one(200, 1000, 0);
	is((long long)(counter("lost") - lost), 1000 - 127 - 4, "jumps: beyond the window nothing is waited for");
	is(ngot, 4, "jumps: the packet itself may still be overtaken");
	for (i = 999; i > 1000 - 128; i--)
		one(200, i, 0);
	is(ngot, 4 + 128, "jumps: all of the window, backwards, and in order again");
	agent_clear();
	one(201, 2, 0);
	is(ngot, 0, "start: 2 waits for 1");
	one(201, 1, 0);
	is(ngot, 2, "start: both in order");
	one(201, 2, 16);
	one(201, 2, 16);
	is(ngot, 4, "signs of life pass as they are");
}

/* More waiting than the limit: the oldest gaps are given up. */
static void test_hold(void)
{
	uint64_t i;

	set("hold", 10);
	agent_clear();
	one(210, 1, 0);
	for (i = 0; i < 40; i++)
		one(210, 3 + 2 * i, 0);
	is((long long)counter("waiting"), 10, "hold: no more wait than may");
	is(ngot, 31, "hold: the others went on");
	agent_tick(1000 * MS);
	is((long long)counter("waiting"), 0, "hold: none waits for ever");
	is(ngot, 41, "hold: all went on");
	set("hold", 256);
}

static void test_streams(void)
{
	uint64_t before = counter("no_state");
	unsigned int i;

	agent_clear();
	for (i = 0; i < 60; i++) {
		give(f, build(f, (uint8_t)(100 + i), 2, 0, NULL, 0, false));
		agent_run();
	}
	ok(counter("no_state") > before, "streams: beyond the table they pass as they came (%u)", ngot);
	is((long long)(counter("waiting") + ngot), 60, "streams: none is lost");
	agent_tick(11000 * MS);
	is(ngot, 60, "streams: those that waited went on");
	agent_clear();
	before = counter("no_state");
	for (i = 0; i < 10; i++)
		one((uint8_t)(230 + i), 1, 0);
	one(100, 1, 0);
	is((long long)(counter("no_state") - before), 0, "streams: silent ones made room");
	is(ngot, 11, "streams: for new ones, and one that comes back is new");
}

/* Generation after generation: what the forgotten held comes back, frames and memory. */
static void test_forgotten(void)
{
	uint64_t before = counter("no_state");
	unsigned int i, k;

	for (k = 0; k < 30; k++) {
		fake_now += 11000 * MS;		/* and not one tick */
		agent_clear();
		for (i = 0; i < 20; i++) {
			uint32_t len = build(f, (uint8_t)i, 2, 0, NULL, 0, false);

			f[FRONT + 9] = (uint8_t)(k + 1);
			give(f, len);
			if (i == 10) {		/* room is looked for once a second */
				agent_run();
				fake_now += 1100 * MS;
			}
		}
		agent_run();
		for (i = 0; i < 12; i++) {
			uint32_t len = build(f, (uint8_t)(100 + i), 2, 0, NULL, 0, false);

			f[FRONT + 9] = (uint8_t)(k + 1);
			give(f, len);
		}
		agent_run();
	}
	is((long long)(counter("no_state") - before), 0, "forgotten: always room for new streams");
	agent_tick(100 * MS);
	agent_run();
	is(slice_audit(&slice, 0), 0, "forgotten: frames they held came back");
}

int main(void)
{
	static const struct net nets[] = {
		{ "one path", { 1000, 1000 }, { 0, 0 }, 0, 0, 500 },
		{ "two paths, one 8 ms longer", { 1000, 9000 }, { 0, 0 }, 0, 0, 500 },
		{ "two paths, all twice", { 1000, 9000 }, { 2000, 3000 }, 0, 1000, 700 },
		{ "spread", { 1000, 4000 }, { 5000, 9000 }, 0, 100, 300 },
		{ "loss", { 1000, 9000 }, { 500, 500 }, 30, 0, 500 },
		{ "loss, and much twice", { 1000, 9000 }, { 3000, 3000 }, 30, 500, 400 },
		{ "longer than it waits", { 1000, 60000 }, { 0, 30000 }, 10, 300, 1000 },
		{ "a burst", { 1000, 1000 }, { 9000, 9000 }, 20, 200, 10 },
	};
	struct outcome o;
	unsigned int i;

	seed_from_env(15);
	agent_begin(true);
	for (i = 0; i < 8; i++)
		test_net(&nets[i], i == 7 ? 300 : 2000, 20000, i < 6);
	test_net(&nets[1], 500, 0, false);
	test_jumps();
	test_hold();
	test_streams();
	test_forgotten();
	/* Replaced while something waits. */
	fake_now += 11000 * MS;
	agent_clear();
	one(150, 5, 0);
	one(150, 7, 0);
	is((long long)counter("waiting"), 2, "fini: two wait");
	o = upcall(&slice, ULS_UP_FINI, 0);
	is(o.aborted, 0, "fini: done");
	agent_run();
	is(ngot, 2, "fini: and were sent");
	is(agent_end(0), 0, "every frame in one place, every descriptor valid");
	return done();
}
