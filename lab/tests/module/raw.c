// SPDX-License-Identifier: GPL-2.0-only
#include <linux/uls_netlink.h>
#include <string.h>

#include "raw.h"
#include "uls_shm.h"

void raw_segment(struct msg *m, uint64_t offset, uint64_t size, uint32_t prot)
{
	size_t nest = msg_nest(m, ULS_A_SPA_SEGMENT);

	msg_u64(m, ULS_A_SEGMENT_OFFSET, offset);
	msg_u64(m, ULS_A_SEGMENT_SIZE, size);
	msg_u32(m, ULS_A_SEGMENT_PROT, prot);
	msg_end(m, nest);
}

static void put_param(struct msg *m)
{
	size_t nest = msg_nest(m, ULS_A_SPA_PARAM);

	msg_str(m, ULS_A_PARAM_NAME, "value");
	msg_u32(m, ULS_A_PARAM_TYPE, ULS_PARAM_U64);
	msg_u64(m, ULS_A_PARAM_VALUE, 7);
	msg_str(m, ULS_A_PARAM_HELP, "what CONTROL gets");
	msg_end(m, nest);
}

void raw_begin(struct msg *m, const struct raw *raw)
{
	msg_init(m, ULS_CMD_SPA_BEGIN);
	msg_str(m, ULS_A_SPA_NAME, raw->name);
	msg_str(m, ULS_A_SPA_VERSION, "1");
	msg_u32(m, ULS_A_SPA_FLAGS, raw->flags);
	msg_u32(m, ULS_A_SPA_STACK_SIZE, RAW_STACK);
	msg_u64(m, ULS_A_SPA_HEAP_SIZE, raw->heap);
	msg_u32(m, ULS_A_SPA_TICK_US, raw->tick_us);
	msg_u64(m, ULS_A_SPA_ENTRY, RAW_TEXT);
	msg_u64(m, ULS_A_SPA_IMAGE_SIZE, 0x2000);
	raw_segment(m, RAW_TEXT, 4096,
		    ULS_SEGMENT_PROT_READ | ULS_SEGMENT_PROT_EXEC);
	raw_segment(m, RAW_DATA, 4096,
		    ULS_SEGMENT_PROT_READ | ULS_SEGMENT_PROT_WRITE);
	put_param(m);
	msg_str(m, ULS_A_SPA_COUNTER_NAME, "first");
	msg_str(m, ULS_A_SPA_COUNTER_NAME, "second");
}

void raw_commit(struct msg *m, uint32_t id, const struct raw *raw)
{
	msg_init(m, ULS_CMD_SPA_COMMIT);
	msg_u32(m, ULS_A_SPA_ID, id);
	if (raw->budget_ns)
		msg_u64(m, ULS_A_SPA_BUDGET_NS, raw->budget_ns);
	if (raw->replace_id)
		msg_u32(m, ULS_A_SPA_REPLACE_ID, raw->replace_id);
}

int raw_load(struct nl *nl, const struct raw *raw, struct raw_spa *spa)
{
	struct msg m;
	int err;

	raw_begin(&m, raw);
	err = nl_call(nl, &m);
	if (err)
		return err;
	spa->id = nl_u64(nl_attr(nl, ULS_A_SPA_ID));
	spa->base = nl_u64(nl_attr(nl, ULS_A_SPA_BASE));

	msg_init(&m, ULS_CMD_SPA_WRITE);
	msg_u32(&m, ULS_A_SPA_ID, spa->id);
	msg_u64(&m, ULS_A_SPA_OFFSET, RAW_TEXT);
	msg_put(&m, ULS_A_SPA_DATA, raw->code, raw->end - raw->code);
	return nl_call(nl, &m);
}

int raw_start(struct nl *nl, const struct raw *raw, struct raw_spa *spa)
{
	struct msg m;
	int err = raw_load(nl, raw, spa);

	if (err)
		return err;
	raw_commit(&m, spa->id, raw);
	return nl_call(nl, &m);
}

int raw_bench(struct nl *nl, uint32_t id, uint32_t count, uint32_t batch)
{
	struct msg m;

	msg_init(&m, ULS_CMD_BENCH);
	msg_u32(&m, ULS_A_BENCH_ID, id);
	msg_u32(&m, ULS_A_BENCH_COUNT, count);
	msg_u32(&m, ULS_A_BENCH_BATCH, batch);
	return nl_call(nl, &m);
}

static int by_id(struct nl *nl, uint8_t cmd, int attr, uint32_t id)
{
	struct msg m;

	msg_init(&m, cmd);
	msg_u32(&m, attr, id);
	return nl_call(nl, &m);
}

int raw_delete(struct nl *nl, uint32_t id)
{
	return by_id(nl, ULS_CMD_SPA_DEL, ULS_A_SPA_ID, id);
}

int raw_get(struct nl *nl, uint32_t id)
{
	return by_id(nl, ULS_CMD_SPA_GET, ULS_A_SPA_ID, id);
}

int raw_stats(struct nl *nl, uint32_t id)
{
	return by_id(nl, ULS_CMD_STATS_GET, ULS_A_STATS_ID, id);
}

int raw_control(struct nl *nl, uint32_t id, uint64_t value)
{
	struct uls_msg_param p = {
		.hdr = { .type = ULS_MSG_PARAM, .len = sizeof(p) },
		.value = value,
	};
	struct msg m;

	msg_init(&m, ULS_CMD_SPA_CONTROL);
	msg_u32(&m, ULS_A_SPA_ID, id);
	msg_put(&m, ULS_A_SPA_DATA, &p, sizeof(p));
	return nl_call(nl, &m);
}
