// SPDX-License-Identifier: GPL-2.0-only
/*
 * SPAs that behave: load, describe, control, count, log, replace, delete.
 */
#include <errno.h>
#include <linux/uls_netlink.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "tests.h"
#include "uls_shm.h"

DECLARE_CODE(writer);
DECLARE_CODE(caller);
DECLARE_CODE(slowcontrol);
DECLARE_CODE(slownop);

/* With the default budget. */
static const struct raw good = {
	.name = "good", .code = code_good, .end = code_good_end
};

static uint64_t slices_used(struct nl *nl)
{
	struct msg m;

	msg_init(&m, ULS_CMD_INFO);
	if (nl_call(nl, &m))
		bail("info: %s", nl->text);
	return nl_u64(nl_attr(nl, ULS_A_INFO_SLICES_USED));
}

struct listing {
	uint32_t id;
	unsigned int count, state;
};

static void list_one(struct nl *nl, void *arg)
{
	struct listing *l = arg;

	if (nl_u64(nl_attr(nl, ULS_A_SPA_ID)) == l->id) {
		l->count++;
		l->state = nl_u64(nl_attr(nl, ULS_A_SPA_STATE));
	}
}

static struct listing list(struct nl *nl, uint32_t id)
{
	struct listing l = { .id = id };
	struct msg m;

	msg_init(&m, ULS_CMD_SPA_GET);
	if (nl_dump(nl, &m, list_one, &l))
		bail("dump of SPAs");
	return l;
}

static bool has_string(const struct nl *nl, int type, const char *s)
{
	const struct nlattr *a = nl_attr(nl, type);

	return a && nl_len(a) == strlen(s) + 1 && !strcmp(nl_data(a), s);
}

static void describe(struct nl *nl, const struct raw_spa *spa)
{
	const struct nlattr *segment, *param;

	ok(!raw_get(nl, spa->id), "spa-get");
	segment = nl_attr(nl, ULS_A_SPA_SEGMENT);
	param = nl_attr(nl, ULS_A_SPA_PARAM);
	ok(has_string(nl, ULS_A_SPA_NAME, "good") &&
	   has_string(nl, ULS_A_SPA_VERSION, "1"), "name and version");
	ok(nl_u64(nl_attr(nl, ULS_A_SPA_STATE)) == ULS_STATE_LIVE, "live");
	ok(nl_u64(nl_attr(nl, ULS_A_SPA_BASE)) == spa->base &&
	   spa->base >= ULS_REGION_BASE && !(spa->base % ULS_SLICE_SIZE),
	   "base %#llx", (unsigned long long)spa->base);
	ok(nl_u64(nl_attr(nl, ULS_A_SPA_BUDGET_NS)) == ULS_BUDGET_DEFAULT_NS,
	   "default budget");
	ok(nl_u64(nl_nested(segment, ULS_A_SEGMENT_OFFSET)) == RAW_TEXT &&
	   nl_u64(nl_nested(segment, ULS_A_SEGMENT_PROT)) == 5, "segment");
	ok(nl_u64(nl_nested(param, ULS_A_PARAM_VALUE)) == 7, "param default");
	ok(has_string(nl, ULS_A_SPA_COUNTER_NAME, "first"), "counter name");
	ok(!nl_attr(nl, ULS_A_SPA_IFINDEX) && !nl_attr(nl, ULS_A_SPA_ABORT),
	   "no port, no abort");
}

static void whole_life(struct nl *nl, struct nl *events)
{
	uint64_t used = slices_used(nl);
	const uint64_t *array;
	struct raw_spa spa;
	struct msg m;

	ok(!raw_load(nl, &good, &spa), "begin and write");
	ok(slices_used(nl) == used + 1, "one slice more in use");
	ok(list(nl, spa.id).count == 1 &&
	   list(nl, spa.id).state == ULS_STATE_BUILDING, "listed as building");
	raw_commit(&m, spa.id, &good);
	ok(!nl_call(nl, &m), "commit");
	ok(!nl_event(events, 3000) &&
	   events->cmd == ULS_CMD_SPA_MAPPED_NTF &&
	   nl_u64(nl_attr(events, ULS_A_SPA_ID)) == spa.id, "event: mapped");
	describe(nl, &spa);

	ok(!raw_bench(nl, spa.id, 100, 8), "bench");
	ok(nl_u64(nl_attr(nl, ULS_A_BENCH_TSC_MIN)) > 0 &&
	   nl_u64(nl_attr(nl, ULS_A_BENCH_TSC_MEDIAN)) >=
	   nl_u64(nl_attr(nl, ULS_A_BENCH_TSC_MIN)), "bench figures");
	note("8 empty upcalls: min %llu median %llu cycles, min %llu ns",
	     (unsigned long long)nl_u64(nl_attr(nl, ULS_A_BENCH_TSC_MIN)),
	     (unsigned long long)nl_u64(nl_attr(nl, ULS_A_BENCH_TSC_MEDIAN)),
	     (unsigned long long)nl_u64(nl_attr(nl, ULS_A_BENCH_NS_MIN)));
	ok(!raw_control(nl, spa.id, 42), "control");
	ok(!raw_get(nl, spa.id) &&
	   nl_u64(nl_nested(nl_attr(nl, ULS_A_SPA_PARAM),
			    ULS_A_PARAM_VALUE)) == 42, "param shows 42");

	ok(!raw_stats(nl, spa.id), "stats");
	array = nl_data(nl_attr(nl, ULS_A_STATS_UPCALLS));
	ok(array && array[ULS_UP_INIT] == 1 && array[ULS_UP_CONTROL] == 1 &&
	   array[ULS_UP_NOP] == 800 && !array[ULS_UP_RX],
	   "upcalls counted by reason");
	array = nl_data(nl_attr(nl, ULS_A_STATS_CONTEXTS));
	ok(array && array[ULS_CONTEXT_NETLINK] == 802, "and by context");
	ok(nl_u64(nl_attr(nl, ULS_A_STATS_LAST_CS)) == 0x33,
	   "the code segment was 0x33: privilege level 3");
	ok(!nl_u64(nl_attr(nl, ULS_A_STATS_CONTEXT_SWITCHES)) &&
	   !nl_u64(nl_attr(nl, ULS_A_STATS_MIGRATIONS)),
	   "no context switch, no migration");
	ok(nl_len(nl_attr(nl, ULS_A_STATS_HISTOGRAM)) ==
	   8 * ULS_HISTOGRAM_BUCKETS, "histogram");

	msg_init(&m, ULS_CMD_SPA_SET);
	msg_u32(&m, ULS_A_SPA_ID, spa.id);
	msg_u64(&m, ULS_A_SPA_BUDGET_NS, 123456);
	ok(!nl_call(nl, &m) && !raw_get(nl, spa.id) &&
	   nl_u64(nl_attr(nl, ULS_A_SPA_BUDGET_NS)) == 123456, "spa-set");

	msg_init(&m, ULS_CMD_SPA_DEL);
	msg_str(&m, ULS_A_SPA_NAME, "good");
	ok(!nl_call(nl, &m), "delete by name");
	ok(!nl_event(events, 3000) &&
	   events->cmd == ULS_CMD_SPA_UNMAPPED_NTF, "event: unmapped");
	ok(!list(nl, spa.id).count && slices_used(nl) == used, "nothing left");
}

static void socket_closed(struct nl *nl)
{
	uint64_t used = slices_used(nl);
	struct raw_spa a, b;
	struct nl other;

	if (nl_open(&other))
		bail("second socket");
	ok(!raw_load(&other, &good, &a) && !raw_load(&other, &good, &b),
	   "two half-made SPAs of one socket");
	ok(slices_used(nl) == used + 2, "two slices in use");
	nl_close(&other);
	ok(!list(nl, a.id).count && !list(nl, b.id).count &&
	   slices_used(nl) == used, "gone with the socket");
}

static void speaks(struct nl *nl)
{
	const struct raw writer = { CODE(writer) };
	const struct nlattr *data;
	const uint64_t *counter;
	struct raw_spa spa;
	struct msg m;

	ok(!raw_start(nl, &writer, &spa), "SPA that writes: %s", nl->text);
	ok(!raw_stats(nl, spa.id), "its stats");
	counter = nl_data(nl_attr(nl, ULS_A_STATS_COUNTERS));
	ok(counter && counter[0] > 0 && counter[1] > 0 &&
	   counter[1] <= ULS_BUDGET_MAX_NS && counter[2] < 512,
	   "clock %llu ns, budget left %llu ns, CPU %llu",
	   (unsigned long long)counter[0], (unsigned long long)counter[1],
	   (unsigned long long)counter[2]);

	msg_init(&m, ULS_CMD_LOG_GET);
	msg_u32(&m, ULS_A_LOG_ID, spa.id);
	ok(!nl_call(nl, &m), "log-get");
	data = nl_attr(nl, ULS_A_LOG_DATA);
	ok(data && nl_len(data) == 5 && !memcmp(nl_data(data), "hello", 5),
	   "the log says hello");
	ok(nl_u64(nl_attr(nl, ULS_A_LOG_CURSOR)) == 5 &&
	   !nl_u64(nl_attr(nl, ULS_A_LOG_LOST)), "cursor 5, nothing lost");
	msg_u64(&m, ULS_A_LOG_CURSOR, 5);
	ok(!nl_call(nl, &m) && !nl_len(nl_attr(nl, ULS_A_LOG_DATA)),
	   "nothing more");
	ok(!raw_delete(nl, spa.id), "delete");
}

static uint64_t cycles(struct nl *nl, uint32_t id, uint64_t argument)
{
	struct msg m;

	msg_init(&m, ULS_CMD_BENCH);
	msg_u32(&m, ULS_A_BENCH_ID, id);
	msg_u32(&m, ULS_A_BENCH_COUNT, 101);
	msg_u64(&m, ULS_A_BENCH_ARGUMENT, argument);
	if (nl_call(nl, &m))
		return 0;
	return nl_u64(nl_attr(nl, ULS_A_BENCH_TSC_MEDIAN));
}

/* The part of an upcall that is paid for each crossing is the slope. */
static void crossings(struct nl *nl)
{
	const struct raw caller = { CODE(caller) };
	struct raw_spa spa;
	uint64_t none, many;

	ok(!raw_start(nl, &caller, &spa), "SPA that makes service calls");
	none = cycles(nl, spa.id, 0);
	many = cycles(nl, spa.id, 64);
	ok(none && many, "bench with and without service calls");
	note("upcall %llu cycles, each service call %lld",
	     (unsigned long long)none, ((long long)many - (long long)none) / 64);
	ok(!raw_delete(nl, spa.id), "delete");
}

/*
 * What an SPA may say instead of 0: numbers that mean something to netlink
 * (EINTR: no acknowledgement), to system calls (ERESTARTSYS and its like, up to
 * EPROBE_DEFER and beyond), to ulsctl (EPERM, EOPNOTSUPP, ETIMEDOUT), and to
 * nobody.
 */
static const int64_t no[] = {
	-EPERM, -EINTR, -EAGAIN, -EEXIST, -EINVAL, -EOPNOTSUPP, -ETIMEDOUT,
	-512, -513, -514, -515, -516, -517, -521, -528, -529, -530,
	-4095, -4096, INT32_MIN, INT32_MIN - 1LL, -(1LL << 32), INT64_MIN
};

static bool says(const struct nl *nl, const char *reason, int64_t number)
{
	char want[80];

	snprintf(want, sizeof(want), "the SPA's %s returned %lld", reason,
		 (long long)number);
	return !strcmp(nl->text, want);
}

static void answers(struct nl *nl)
{
	const struct raw answer = { CODE(answer) };
	struct raw_spa spa;
	size_t i;

	ok(!raw_start(nl, &answer, &spa), "SPA that answers");
	ok(!raw_control(nl, spa.id, 17) &&
	   nl_u64(nl_attr(nl, ULS_A_SPA_RESULT)) == 17, "result 17");
	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		ok(raw_control(nl, spa.id, no[i]) == EREMOTEIO &&
		   says(nl, "CONTROL", no[i]), "CONTROL returns %lld: \"%s\"",
		   (long long)no[i], nl->text);
	ok(!raw_get(nl, spa.id) &&
	   nl_u64(nl_attr(nl, ULS_A_SPA_STATE)) == ULS_STATE_LIVE,
	   "it is live all the same");
	ok(!raw_delete(nl, spa.id), "delete");
}

static int commit_with(struct nl *nl, const struct raw *raw,
		       struct raw_spa *spa, uint16_t type, uint64_t value)
{
	struct uls_msg_param p = {
		.hdr = { .type = type, .len = sizeof(p) },
		.value = value,
	};
	struct msg m;

	if (raw_load(nl, raw, spa))
		bail("load: %s", nl->text);
	raw_commit(&m, spa->id, raw);
	msg_put(&m, ULS_A_SPA_CONTROL, &p, sizeof(p));
	return nl_call(nl, &m);
}

/* The code of "refuse" with another number in it. */
static void inits(struct nl *nl)
{
	char code[64];
	struct raw raw = { CODE(refuse) };
	size_t len = code_refuse_end - code_refuse, i;
	struct raw_spa spa;

	memcpy(code, code_refuse, len);
	raw.code = code;
	raw.end = code + len;
	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		memcpy(code + 2, &no[i], sizeof(no[i])); /* after REX and MOV */
		ok(raw_start(nl, &raw, &spa) == EREMOTEIO &&
		   says(nl, "INIT", no[i]), "INIT returns %lld: \"%s\"",
		   (long long)no[i], nl->text);
		ok(raw_get(nl, spa.id) == ENOENT, "and it is gone");
	}
}

/* Messages of the commit come after INIT, and can still undo it. */
static void first_messages(struct nl *nl)
{
	struct raw answer = { CODE(answer) };
	struct raw_spa spa, other;
	size_t i;

	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		ok(commit_with(nl, &answer, &spa, ULS_MSG_PARAM, no[i]) ==
		   EREMOTEIO && says(nl, "CONTROL", no[i]),
		   "a first message that is answered with %lld: \"%s\"",
		   (long long)no[i], nl->text);
		ok(raw_get(nl, spa.id) == ENOENT, "and it is gone");
	}
	ok(commit_with(nl, &answer, &spa, 99, 0) == EINVAL,
	   "a bad message: \"%s\"", nl->text);
	ok(raw_get(nl, spa.id) == ENOENT, "and it is gone");

	ok(!commit_with(nl, &answer, &spa, ULS_MSG_PARAM, 5), "accepted");
	ok(!raw_get(nl, spa.id) &&
	   nl_u64(nl_nested(nl_attr(nl, ULS_A_SPA_PARAM),
			    ULS_A_PARAM_VALUE)) == 5, "param shows 5");
	answer.replace_id = spa.id;
	ok(commit_with(nl, &answer, &other, ULS_MSG_PARAM,
		       -(uint64_t)EEXIST) == EREMOTEIO,
	   "a replacement that refuses");
	ok(!raw_control(nl, spa.id, 6), "leaves the old one live");
	ok(!raw_delete(nl, spa.id), "delete");
}

/* Messages of 3 ms each. */
static int commit_slow(struct nl *nl, const struct raw *raw,
		       struct raw_spa *spa, unsigned int messages)
{
	struct uls_msg_param p = {
		.hdr = { .type = ULS_MSG_PARAM, .len = sizeof(p) },
		.value = 9,
	};
	struct msg m;

	if (raw_load(nl, raw, spa))
		bail("load: %s", nl->text);
	raw_commit(&m, spa->id, raw);
	while (messages--)
		msg_put(&m, ULS_A_SPA_CONTROL, &p, sizeof(p));
	return nl_call(nl, &m);
}

/* All messages of a commit share one deadline. */
static void too_many_messages(struct nl *nl)
{
	struct raw slow = { CODE(slowcontrol) };
	struct raw_spa spa, other;

	ok(!commit_slow(nl, &slow, &spa, 2), "two slow messages: %s", nl->text);
	slow.replace_id = spa.id;
	ok(commit_slow(nl, &slow, &other, 100) == ETIMEDOUT &&
	   strstr(nl->text, "messages took 20 ms"), "a hundred: \"%s\"",
	   nl->text);
	ok(raw_get(nl, other.id) == ENOENT, "and it is gone");
	ok(!raw_control(nl, spa.id, 1), "the old one goes on");
	ok(!raw_delete(nl, spa.id), "delete");
}

static uint64_t ticks(struct nl *nl, uint32_t id)
{
	const uint64_t *v;

	if (raw_stats(nl, id))
		bail("stats: %s", nl->text);
	v = nl_data(nl_attr(nl, ULS_A_STATS_UPCALLS));
	return v[ULS_UP_TICK];
}

/* One sample of 200 ms: the CPU's timers get their turn meanwhile. */
static void long_sample(struct nl *nl)
{
	const struct raw slow = { CODE(slownop), .tick_us = 1000 };
	struct raw_spa spa;
	uint64_t before, ns, n;

	ok(!raw_start(nl, &slow, &spa), "SPA of slow NOPs");
	before = ticks(nl, spa.id);
	ok(!raw_bench(nl, spa.id, 1, 200), "bench: %s", nl->text);
	ns = nl_u64(nl_attr(nl, ULS_A_BENCH_NS_MIN));
	ok(ns >= 200000000, "a sample of 200 takes %llu us",
	   (unsigned long long)ns / 1000);
	n = ticks(nl, spa.id) - before;
	/* One without a pause in between, and a few on a slow kernel. */
	ok(n >= 3, "%llu ticks meanwhile", (unsigned long long)n);
	ok(!raw_delete(nl, spa.id), "delete");
}

static void replaces(struct nl *nl, struct nl *events)
{
	struct raw next = { CODE(answer) }, refuse = { CODE(refuse) };
	struct raw_spa a, b, c;

	ok(!raw_start(nl, &good, &a), "SPA to replace");
	refuse.replace_id = a.id;
	ok(raw_start(nl, &refuse, &b) == EREMOTEIO, "one that refuses: %s",
	   nl->text);
	ok(!raw_control(nl, a.id, 1), "the old one goes on");

	next.replace_id = a.id;
	ok(!raw_start(nl, &next, &c), "one that does not: %s", nl->text);
	ok(raw_get(nl, a.id) == ENOENT, "the old one is gone");
	ok(!raw_control(nl, c.id, 3) &&
	   nl_u64(nl_attr(nl, ULS_A_SPA_RESULT)) == 3, "the new one answers");
	while (!nl_event(events, 3000) &&
	       events->cmd != ULS_CMD_SPA_REPLACED_NTF)
		;
	ok(events->cmd == ULS_CMD_SPA_REPLACED_NTF &&
	   nl_u64(nl_attr(events, ULS_A_SPA_ID)) == c.id &&
	   nl_u64(nl_attr(events, ULS_A_SPA_REPLACE_ID)) == a.id,
	   "event: replaced");
	ok(!raw_delete(nl, c.id), "delete");
}

/* The region is in every address space and nobody gets at it. */
static void outsiders(struct nl *nl)
{
	static const uint64_t offset[] = {
		0, ULS_OFF_INFO, ULS_OFF_COUNTERS, ULS_OFF_LOG, RAW_TEXT,
		RAW_DATA
	};
	struct raw_spa spa;
	int fds[2], status;
	size_t i;

	ok(!raw_start(nl, &good, &spa), "SPA to look at");
	for (i = 0; i < sizeof(offset) / sizeof(offset[0]); i++) {
		pid_t pid = fork();

		if (!pid) {
			signal(SIGSEGV, SIG_DFL);
			(void)*(volatile char *)(spa.base + offset[i]);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV,
		   "a process that reads base+%#llx gets SIGSEGV",
		   (unsigned long long)offset[i]);
	}
	if (pipe(fds))
		bail("pipe");
	ok(write(fds[1], (void *)(spa.base + ULS_OFF_INFO), 8) < 0 &&
	   errno == EFAULT, "the kernel does not read it on its behalf");
	close(fds[0]);
	close(fds[1]);
	ok(!raw_delete(nl, spa.id), "delete");
}

void test_life(struct nl *nl)
{
	static struct nl events;

	if (nl_open(&events) || nl_subscribe(&events))
		bail("events");
	whole_life(nl, &events);
	socket_closed(nl);
	speaks(nl);
	crossings(nl);
	answers(nl);
	inits(nl);
	first_messages(nl);
	too_many_messages(nl);
	long_sample(nl);
	replaces(nl, &events);
	outsiders(nl);
	nl_close(&events);
}
