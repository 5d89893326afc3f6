// SPDX-License-Identifier: Apache-2.0
/*
 * Time and timers (spa/timer.h). Timers stand in a binary heap, an array of
 * pointers; a timer knows its place (index + 1), so it can be stopped or moved
 * in logarithmic time.
 */
#include "lib.h"

static struct spa_timer **heap;
static u32 count, room;
static u64 now_cached;

u64 spa_clock(void)
{
	return spa_sys_clock();
}

u64 spa_budget(void)
{
	return spa_sys_budget();
}

u32 spa_cpu(void)
{
	return (u32)spa_sys_cpu();
}

void spa_now_set(u64 now)
{
	now_cached = now;
}

u64 spa_now(void)
{
	if (!now_cached)
		now_cached = spa_sys_clock();
	return now_cached;
}

bool spa_timers_any(void)
{
	return room;
}

static void put(u32 i, struct spa_timer *t)
{
	heap[i] = t;
	t->place = i + 1;
}

/* Puts t at i or where it belongs above or below. */
static void settle(u32 i, struct spa_timer *t)
{
	u32 child;

	for (; i && heap[(i - 1) / 2]->at > t->at; i = (i - 1) / 2)
		put(i, heap[(i - 1) / 2]);
	while ((child = 2 * i + 1) < count) {
		if (child + 1 < count && heap[child + 1]->at < heap[child]->at)
			child++;
		if (heap[child]->at >= t->at)
			break;
		put(i, heap[child]);
		i = child;
	}
	put(i, t);
}

int spa_timer_start(struct spa_timer *t, u64 at)
{
	struct spa_timer **bigger;

	t->at = at;
	if (t->place) {
		settle(t->place - 1, t);
		return 0;
	}
	if (count == room) {
		bigger = spa_alloc((room ? 2 * (size_t)room : 16) * sizeof(*heap));
		if (!bigger)
			return -SPA_ENOMEM;
		if (count)
			memcpy(bigger, heap, count * sizeof(*heap));
		spa_free(heap);
		heap = bigger;
		room = room ? 2 * room : 16;
	}
	settle(count++, t);
	return 0;
}

void spa_timer_stop(struct spa_timer *t)
{
	u32 i = t->place - 1;
	struct spa_timer *last;

	if (!t->place)
		return;
	t->place = 0;
	last = heap[--count];
	if (last != t)
		settle(i, last);
}

void spa_timers_run(u64 now)
{
	/* A timer that starts itself again in the past must not hold the upcall: one turn each. */
	u32 turns = count;

	while (turns-- && count && heap[0]->at <= now) {
		struct spa_timer *t = heap[0];

		spa_timer_stop(t);
		t->fn(t);
	}
}
