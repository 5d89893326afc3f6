// SPDX-License-Identifier: Apache-2.0
/*
 * The upcall: from the entry code to the SPA's callbacks.
 */
#include "lib.h"

struct uls_counters *spa_counters;
static const struct uls_info *info;

const struct uls_info *spa_info(void)
{
	return info;
}

_Noreturn void spa_abort(u64 code)
{
	spa_sys_abort(code);
}

/* The library's counters come first in the notes, so their numbers are fixed. */
#define LIB_COUNTER_NOTE(name_) SPA__COUNTER_NOTE(name_)
const struct spa_note_counter spa_lib_counter_notes[] SPA__NOTE("2counter") = {
	SPA_LIB_COUNTERS(LIB_COUNTER_NOTE)
};

_Static_assert(sizeof(spa_lib_counter_notes) == SPA_LIB_COUNTER_END * sizeof(struct spa_note_counter),
	       "one note for each counter");

static SPA_COLD s64 upcall_init(const struct uls_info *i)
{
	int err;

	if (i->magic != ULS_INFO_MAGIC || i->abi != ULS_ABI_VERSION ||
	    spa_manifest.m.abi != ULS_ABI_VERSION)
		spa_abort(SPA_ABORT_ABI);
	info = i;
	spa_counters = spa_ptr(i->counters_addr);
	spa_now_set(0);
	spa_log_init(spa_ptr(i->log_addr), i->log_len);
	spa_heap_init(spa_ptr(i->heap_addr), i->heap_len);
	err = spa_port_init(i);
	if (err)
		return err;
	spa_port_begin();
	err = spa_init();
	spa_port_end();
	return err;
}

/* Bytes a message of a known type must have. */
static u32 msg_min(u16 type)
{
	switch (type) {
	case ULS_MSG_PARAM:
		return sizeof(struct uls_msg_param);
	case ULS_MSG_FLOW_ADD:
	case ULS_MSG_FLOW_DEL:
		return sizeof(struct uls_msg_flow);
	default:
		return sizeof(struct uls_msg);
	}
}

static SPA_COLD s64 upcall_control(u64 len)
{
	const struct uls_msg *m = spa_ptr(info->mbox_addr);
	s64 ret;

	if (len < sizeof(*m) || len > info->mbox_len || m->len != len || len < msg_min(m->type))
		return -SPA_EPROTO;
	if (m->type == ULS_MSG_PARAM)
		return spa_param_set((const void *)m);
	spa_port_begin();
	ret = spa_control(m);
	spa_port_end();
	return ret;
}

s64 spa_upcall(u64 reason, u64 arg, const struct uls_info *i)
{
	if (spa_likely(reason == ULS_UP_RX)) {
		spa_now_set(0);
		spa_port_begin();
		spa_port_rx();
		spa_port_end();
		return 0;
	}
	switch (reason) {
	case ULS_UP_INIT:
		return upcall_init(i);
	case ULS_UP_TICK:
		spa_now_set(arg);
		spa_port_begin();
		spa_timers_run(arg);
		spa_tick(arg);
		spa_port_end();
		return 0;
	case ULS_UP_CONTROL:
		spa_now_set(0);
		return upcall_control(arg);
	case ULS_UP_FINI:
		spa_now_set(0);
		spa_port_begin();
		spa_fini();
		spa_port_end();
		return 0;
	case ULS_UP_NOP:
		return 0;
	default:
		spa_abort(SPA_ABORT_REASON);
	}
}
