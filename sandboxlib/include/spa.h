/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spa.h - write a stream processing agent (SPA).
 *
 * An SPA is a small program that the kernel runs at user level, at interrupt
 * time, over whatever process happens to be current, each time the network
 * card has put a batch of frames into memory. It sees its own slice of the
 * sandbox region and nothing else: no process, no kernel, no other SPA. It
 * has no system calls but those wrapped here, no libc, no floating point, and
 * a time budget for each upcall. A fault, an overrun or a stray system call
 * ends the SPA; the host goes on and the port returns to the kernel's stack.
 *
 * This header is the manual. The smallest SPA sends every frame back as it
 * came:
 *
 *	#include "spa.h"
 *
 *	SPA_MANIFEST("mirror", "1.0");
 *
 *	int spa_init(void) { return 0; }
 *
 *	static inline enum spa_verdict mirror(struct spa_frame *f)
 *	{
 *		return SPA_TX;
 *	}
 *	SPA_PER_FRAME(mirror)
 *
 * Build: `make -C sandboxlib`, or see docs/writing-an-spa.md for your own tree.
 *
 * Callbacks
 *	spa_init()	required	once, first: make tables. Not 0: the load fails
 *	spa_rx()	required	the frames of a batch (SPA_PER_FRAME writes it for you)
 *	spa_tick()	optional	every tick_us, if there is time. Ticks
 *					asked for without it and without a timer abort
 *					the SPA (SPA_ABORT_NO_TICK)
 *	spa_control()	optional	messages from ulsctl, but parameters. Without
 *					it they are answered "not supported"
 *	spa_fini()	optional	before unmap or replace: spa_frame_free() what
 *					you kept. Without it nothing is kept
 * A missing required callback, or no SPA_MANIFEST, is an error of the linker.
 *
 * Upcalls of one SPA never run at the same time (the manifest says "serial"),
 * so nothing here needs a lock.
 *
 * Frames are never copied. f->data points into the UMEM where the card's DMA
 * put the frame, and the card sends it from there.
 */
#ifndef SPA_H
#define SPA_H

#include "spa/base.h"
#include "spa/heap.h"
#include "spa/log.h"
#include "spa/net.h"
#include "spa/table.h"
#include "spa/timer.h"

/* ---- Frames ---------------------------------------------------------- */

enum spa_verdict {
	SPA_DROP = 0,	/* the frame goes back to the pool */
	SPA_TX = 1,	/* send [data, data + len) as it now stands */
	SPA_KEEP = 2,	/* the SPA keeps it: spa_send() or spa_frame_free() later */
};

struct spa_frame {
	u8 *data;	/* first byte of the Ethernet header */
	u32 len;	/* bytes, without FCS */
	u32 verdict;	/* enum spa_verdict; SPA_DROP on arrival */
};

#define SPA_BATCH 64

struct spa_batch {
	u32 n;		/* frames, 1 to SPA_BATCH */
	struct spa_frame f[SPA_BATCH];
};

/*
 * Room for headers. Push makes n bytes in front of the frame, pull takes n
 * away; both return the new start, or NULL (and change nothing) when the
 * frame's chunk or the frame itself has not so many bytes.
 */
u8 *spa_frame_push(struct spa_frame *f, u32 n);
u8 *spa_frame_pull(struct spa_frame *f, u32 n);

/* Bytes between data and the end of the frame's chunk: the most len can become. */
u32 spa_frame_room(const struct spa_frame *f);

/*
 * A fresh frame from the pool: data at the place where received frames begin,
 * len 0. False when the pool is empty or no port is attached.
 */
bool spa_frame_alloc(struct spa_frame *f);

/* Gives a kept or fresh frame back. */
void spa_frame_free(const struct spa_frame *f);

/*
 * Queues a kept or fresh frame for sending; the frame then belongs to the
 * library. False when the ring is full: the frame is still yours. In spa_rx()
 * this is for frames beside the batch, whose own frames have verdicts.
 */
bool spa_send(const struct spa_frame *f);

/* ---- Callbacks ------------------------------------------------------- */

/* 0, or -SPA_E...: the load fails with that error. */
int spa_init(void);

/* Sets f[i].verdict of each frame of the batch. */
void spa_rx(struct spa_batch *b);

/* `now`: CLOCK_MONOTONIC in ns. Timers due have run. */
void spa_tick(u64 now);

/*
 * A message: msg->len bytes are readable, and at least as many as the
 * structure of a known msg->type needs. The answer, 0 or -SPA_E..., reaches
 * the one who sent it.
 */
int spa_control(const struct uls_msg *msg);

void spa_fini(void);

/* Writes spa_rx() from a function of one frame, inlined into the loop. */
#define SPA_PER_FRAME(fn)					\
	void spa_rx(struct spa_batch *b)			\
	{							\
		struct spa_frame *f = b->f, *end = f + b->n;	\
								\
		do						\
			f->verdict = fn(f);			\
		while (++f != end);				\
	}

/* ---- Facts ----------------------------------------------------------- */

/* What the kernel says of the slice, the port and the rings. */
const struct uls_info *spa_info(void);

/* The port's own MAC address (zero without a port). */
static inline const u8 *spa_port_mac(void) { return spa_info()->mac; }

/* ---- Giving up ------------------------------------------------------- */

/*
 * Codes of the library; an SPA's own begin at 0x1000. The event that ulsctl
 * prints shows the code as the address.
 */
enum spa_abort_code {
	SPA_ABORT_ABI = 1,	/* kernel of another ABI version */
	SPA_ABORT_REASON = 2,	/* an upcall this library does not know */
	SPA_ABORT_NO_TICK = 3,	/* ticks, but neither spa_tick() nor timers */
	SPA_ABORT_RING = 4,	/* ring indices further apart than the ring is long */
	SPA_ABORT_HEAP = 5,	/* spa_free() of what is no live block */
	SPA_ABORT_POOL = 6,	/* spa_frame_free() of a frame outside the UMEM, or of one too many */
	SPA_ABORT_USER = 0x1000,
};

_Noreturn void spa_abort(u64 code);

/* ---- Manifest, parameters, counters ---------------------------------- */

/*
 * SPA_MANIFEST(name, version, ...): once in each SPA. Optional fields follow:
 *	.stack = bytes		default 16 KiB, at most ULS_STACK_MAX
 *	.heap = bytes		default 0: no heap
 *	.tick_us = period	default 0: no ticks
 */
#define SPA_MANIFEST(name_, version_, ...)						\
	_Static_assert(sizeof(name_) > 1 && sizeof(name_) <= ULS_NAME_MAX, "name");	\
	_Static_assert(sizeof(version_) <= ULS_NAME_MAX, "version");			\
	SPA__OVERRIDE_BEGIN								\
	const struct spa_note_manifest spa_manifest SPA__NOTE("0manifest") = {		\
		.h = SPA__NHDR(ULS_NT_MANIFEST, struct uls_manifest),			\
		.m = { .abi = ULS_ABI_VERSION, .flags = ULS_MANIFEST_SERIAL,		\
		       .stack = 16384, .name = name_, .version = version_,		\
		       __VA_ARGS__ },							\
	};										\
	SPA__OVERRIDE_END								\
	struct spa_eat_semicolon

/*
 * Parameters, set with `ulsctl set`. One list for an SPA, in a macro:
 *
 *	#define PARAMS(P)						\
 *		P(BOOL, ttl_decrement, 1, "decrement the TTL")		\
 *		P(U64, limit, 1000, "frames let through")
 *	SPA_PARAMS(PARAMS);
 *
 * Types: U64, BOOL, IPV4 (network order), MAC (six bytes from the lowest).
 * Read one with SPA_PARAM(limit), a u64: it never changes within an upcall.
 */
#define SPA_PARAMS(list)								\
	enum spa_param_index { list(SPA__PARAM_INDEX) SPA__PARAM_COUNT };		\
	const struct spa_note_param spa_param_notes[] SPA__NOTE("1param") = {		\
		list(SPA__PARAM_NOTE)							\
	};										\
	u64 spa_param_values[] = { list(SPA__PARAM_DEFAULT) };				\
	const u32 spa_param_count = SPA__PARAM_COUNT;					\
	struct spa_eat_semicolon

#define SPA_PARAM(name) (spa_param_values[SPA__PARAM_##name])

/*
 * Counters, shown by `ulsctl stats`. Likewise one list:
 *
 *	#define COUNTERS(C) C(forwarded) C(no_flow)
 *	SPA_COUNTERS(COUNTERS);
 *
 *	SPA_COUNT(forwarded, 1);
 *
 * They stand behind the library's own (SPA_LIB_COUNTERS); all together at
 * most ULS_COUNTERS_MAX. 64 bits, from 0 at load.
 */
#define SPA_COUNTERS(list)								\
	enum spa_counter_index { SPA__COUNTER_BEFORE = SPA_LIB_COUNTER_END - 1,		\
				 list(SPA__COUNTER_INDEX) SPA__COUNTER_END };		\
	_Static_assert(SPA__COUNTER_END <= ULS_COUNTERS_MAX, "too many counters");	\
	const struct spa_note_counter spa_counter_notes[] SPA__NOTE("3counter") = {	\
		list(SPA__COUNTER_NOTE)							\
	};										\
	const u32 spa_counter_count = SPA__COUNTER_END - SPA_LIB_COUNTER_END;		\
	struct spa_eat_semicolon

#define SPA_COUNT(name, n) ((void)(spa_counters->v[SPA__COUNTER_##name] += (n)))

/* The library's counters, the first of every SPA. */
#define SPA_LIB_COUNTERS(C)								\
	C(rx_frames)	/* taken from the receive ring */				\
	C(rx_bytes)									\
	C(tx_frames)	/* put into the transmit ring */				\
	C(tx_bytes)									\
	C(drops)	/* verdict SPA_DROP */						\
	C(tx_full)	/* verdict SPA_TX, but the ring was full: dropped */		\
	C(fill_short)	/* upcalls that found the pool too empty to fill the ring */	\
	C(bad_desc)	/* descriptors that point outside the UMEM or a chunk */

/* ---- Behind the macros ----------------------------------------------- */

struct spa_nhdr {
	u32 namesz, descsz, type;
	char name[4];
};
struct spa_note_manifest {
	struct spa_nhdr h;
	struct uls_manifest m;
};
struct spa_note_param {
	struct spa_nhdr h;
	struct uls_note_param p;
};
struct spa_note_counter {
	struct spa_nhdr h;
	struct uls_note_counter c;
};
/* Sizes are multiples of 8: readers that pad notes to 4 and to 8 see the same. */
_Static_assert(sizeof(struct spa_note_manifest) == 16 + sizeof(struct uls_manifest), "note padding");
_Static_assert(sizeof(struct spa_note_param) == 16 + sizeof(struct uls_note_param), "note padding");
_Static_assert(sizeof(struct spa_note_counter) == 16 + sizeof(struct uls_note_counter), "note padding");

#define SPA__NHDR(type_, desc) { 4, sizeof(desc), type_, "ULS" }
/* aligned: compilers align arrays to 16 or 32 on their own account, which would leave gaps between notes. */
#define SPA__NOTE(part) __attribute__((used, aligned(8), section("spa_note." part)))
#if defined(__clang__)
#define SPA__OVERRIDE_BEGIN _Pragma("clang diagnostic push") \
	_Pragma("clang diagnostic ignored \"-Winitializer-overrides\"")
#define SPA__OVERRIDE_END _Pragma("clang diagnostic pop")
#else
#define SPA__OVERRIDE_BEGIN _Pragma("GCC diagnostic push") \
	_Pragma("GCC diagnostic ignored \"-Woverride-init\"")
#define SPA__OVERRIDE_END _Pragma("GCC diagnostic pop")
#endif

#define SPA__PARAM_INDEX(type_, name_, def_, help_) SPA__PARAM_##name_,
#define SPA__PARAM_DEFAULT(type_, name_, def_, help_) (def_),
#define SPA__PARAM_NOTE(type_, name_, def_, help_)					\
	{ .h = SPA__NHDR(ULS_NT_PARAM, struct uls_note_param),				\
	  .p = { .type = ULS_PARAM_##type_, .def = (def_), .name = #name_, .help = help_ } },
#define SPA__COUNTER_INDEX(name_) SPA__COUNTER_##name_,
#define SPA__COUNTER_NOTE(name_)							\
	{ .h = SPA__NHDR(ULS_NT_COUNTER, struct uls_note_counter), .c = { .name = #name_ } },
#define SPA__LIB_COUNTER_INDEX(name_) SPA_LIB_##name_,
enum spa_lib_counter { SPA_LIB_COUNTERS(SPA__LIB_COUNTER_INDEX) SPA_LIB_COUNTER_END };

extern const struct spa_note_manifest spa_manifest;
extern const struct spa_note_param spa_param_notes[];
extern const struct spa_note_counter spa_lib_counter_notes[], spa_counter_notes[];
extern const u32 spa_counter_count;
extern u64 spa_param_values[];
extern const u32 spa_param_count;
extern struct uls_counters *spa_counters;

#endif /* SPA_H */
