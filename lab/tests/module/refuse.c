// SPDX-License-Identifier: GPL-2.0-only
/*
 * What must be refused is refused, with the right number and a reason.
 */
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/uls_netlink.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "tests.h"
#include "uls_shm.h"

static const struct raw good = { CODE(good) };

static void expect(struct nl *nl, struct msg *m, const char *what, int err,
		   const char *text)
{
	int got = nl_call(nl, m);

	ok(got == err && strstr(nl->text, text),
	   "%s: %s, \"%s\" (got %s, \"%s\")", what, strerrorname_np(err), text,
	   got ? strerrorname_np(got) : "success", nl->text);
}

/* Replace the value of an attribute of a good request. */
static void overwrite(struct msg *m, int type, uint64_t value)
{
	size_t at = NLMSG_HDRLEN + GENL_HDRLEN;

	while (at < m->len) {
		struct nlattr *a = (void *)(m->buf + at);

		if (a->nla_type == type)
			memcpy((char *)a + NLA_HDRLEN, &value,
			       a->nla_len - NLA_HDRLEN);
		at += NLA_ALIGN(a->nla_len);
	}
}

/* Leave an attribute of a good request out, by cutting it away. */
static void drop(struct msg *m, int type)
{
	size_t at = NLMSG_HDRLEN + GENL_HDRLEN;

	while (at < m->len) {
		struct nlattr *a = (void *)(m->buf + at);
		size_t step = NLA_ALIGN(a->nla_len);

		if ((a->nla_type & NLA_TYPE_MASK) == type) {
			memmove(a, (char *)a + step, m->len - at - step);
			m->len -= step;
		} else {
			at += step;
		}
	}
}

static void begin_values(struct nl *nl)
{
	static const struct {
		int attr;
		uint64_t value;
		int err;
		const char *text;
	} bad[] = {
		{ ULS_A_SPA_FLAGS, 0x80, EINVAL, "unknown manifest flags 0x80" },
		{ ULS_A_SPA_STACK_SIZE, 0, EINVAL, "stack of 0 bytes" },
		{ ULS_A_SPA_STACK_SIZE, 100, EINVAL, "stack of 100 bytes" },
		{ ULS_A_SPA_STACK_SIZE, 0x21000, EINVAL, "up to 131072" },
		{ ULS_A_SPA_HEAP_SIZE, 1, EINVAL, "heap of 1 bytes" },
		{ ULS_A_SPA_HEAP_SIZE, 0x8001000, EINVAL, "up to 134217728" },
		{ ULS_A_SPA_HEAP_SIZE, -4096ULL, EINVAL, "heap of" },
		{ ULS_A_SPA_TICK_US, 1, EINVAL, "tick of 1 us" },
		{ ULS_A_SPA_TICK_US, 10000001, EINVAL, "tick of" },
		{ ULS_A_SPA_IMAGE_SIZE, 0, E2BIG, "image of 0 bytes" },
		{ ULS_A_SPA_IMAGE_SIZE, 0x2001, E2BIG, "image of" },
		{ ULS_A_SPA_IMAGE_SIZE, 0x7f01000, E2BIG, "up to 133169152" },
		{ ULS_A_SPA_IMAGE_SIZE, 0x1000, EINVAL, "not whole pages in the image" },
		{ ULS_A_SPA_ENTRY, 0, EINVAL, "lies in no executable segment" },
		{ ULS_A_SPA_ENTRY, RAW_DATA, EINVAL, "lies in no executable segment" },
		{ ULS_A_SPA_ENTRY, RAW_TEXT + 4096, EINVAL, "lies in no executable" },
	};
	struct msg m;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		raw_begin(&m, &good);
		overwrite(&m, bad[i].attr, bad[i].value);
		expect(nl, &m, "spa-begin", bad[i].err, bad[i].text);
	}
}

static void begin_segments(struct nl *nl)
{
	static const struct {
		uint64_t offset, size;
		uint32_t prot;
		const char *text;
	} bad[] = {
		{ RAW_TEXT, 4096, 1, "overlap" },
		{ 0x100800, 4096, 1, "not whole pages" },
		{ 0x102000, 100, 1, "not whole pages" },
		{ 0x102000, 0, 1, "not whole pages" },
		{ 0xff000, 4096, 1, "not whole pages in the image" },
		{ 0x103000, 4096, 1, "not whole pages in the image" },
		{ 0x102000, 0x2000, 1, "not whole pages in the image" },
		{ 0x102000, -4096ULL, 1, "not whole pages in the image" },
		{ -4096ULL, 4096, 1, "not whole pages in the image" },
		{ 0x102000, 4096, 7, "must be r, rw or rx" },
		{ 0x102000, 4096, 6, "must be r, rw or rx" },
		{ 0x102000, 4096, 2, "must be r, rw or rx" },
		{ 0x102000, 4096, 4, "must be r, rw or rx" },
		{ 0x102000, 4096, 0, "must be r, rw or rx" },
		{ 0x102000, 4096, 9, "" },	/* by the policy's mask */
	};
	struct msg m;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		raw_begin(&m, &good);
		overwrite(&m, ULS_A_SPA_IMAGE_SIZE, 0x3000);
		raw_segment(&m, bad[i].offset, bad[i].size, bad[i].prot);
		expect(nl, &m, "segment", EINVAL, bad[i].text);
	}
	raw_begin(&m, &good);
	overwrite(&m, ULS_A_SPA_IMAGE_SIZE, 0x20000);
	for (i = 2; i <= ULS_SEGMENTS_MAX; i++)
		raw_segment(&m, RAW_TEXT + i * 4096, 4096, 1);
	expect(nl, &m, "17 segments", E2BIG, "too many segments");

	raw_begin(&m, &good);
	msg_end(&m, msg_nest(&m, ULS_A_SPA_SEGMENT));
	expect(nl, &m, "empty segment", EINVAL, "");
}

static void begin_rest(struct nl *nl)
{
	static const int required[] = {
		ULS_A_SPA_NAME, ULS_A_SPA_STACK_SIZE, ULS_A_SPA_ENTRY,
		ULS_A_SPA_IMAGE_SIZE, ULS_A_SPA_SEGMENT
	};
	char longname[64];
	struct msg m;
	size_t i;

	for (i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
		raw_begin(&m, &good);
		drop(&m, required[i]);
		expect(nl, &m, "attribute left out", EINVAL, "");
	}
	memset(longname, 'a', sizeof(longname));
	longname[32] = 0;
	raw_begin(&m, &good);
	drop(&m, ULS_A_SPA_NAME);
	msg_str(&m, ULS_A_SPA_NAME, longname);
	expect(nl, &m, "name of 32 characters", EINVAL, "");

	raw_begin(&m, &good);
	drop(&m, ULS_A_SPA_NAME);
	msg_str(&m, ULS_A_SPA_NAME, "a b");
	expect(nl, &m, "name with a space", EINVAL, "printable");

	raw_begin(&m, &good);
	drop(&m, ULS_A_SPA_NAME);
	msg_put(&m, ULS_A_SPA_NAME, "abc", 3);
	expect(nl, &m, "name without end", EINVAL, "");

	raw_begin(&m, &good);
	msg_u32(&m, ULS_A_SPA_XSK_FD, 0);
	expect(nl, &m, "attribute of another command", EINVAL, "");

	raw_begin(&m, &good);
	msg_u32(&m, ULS_A_SPA_MAX + 1, 0);
	expect(nl, &m, "unknown attribute", EINVAL, "");

	raw_begin(&m, &good);
	for (i = 0; i < ULS_COUNTERS_MAX; i++)
		msg_str(&m, ULS_A_SPA_COUNTER_NAME, "x");
	expect(nl, &m, "66 counters", E2BIG, "too many counters");

	raw_begin(&m, &good);
	drop(&m, ULS_A_SPA_STACK_SIZE);
	msg_put(&m, ULS_A_SPA_STACK_SIZE, "ab", 2);
	expect(nl, &m, "stack-size of two bytes", EINVAL, "");
}

static void write_commit(struct nl *nl)
{
	static char data[ULS_WRITE_MAX + 4];
	struct raw_spa spa;
	struct nl other;
	struct msg m;

	static const struct {
		const char *what;
		uint64_t offset;
		size_t len;
		int err;
		const char *text;
	} bad[] = {
		{ "write nothing", RAW_TEXT, 0, EINVAL, "0 bytes of data" },
		{ "write too much", RAW_TEXT, ULS_WRITE_MAX + 1, EINVAL, "up" },
		{ "write outside", 0, 4, ERANGE, "not within one segment" },
		{ "write before", RAW_TEXT - 1, 4, ERANGE, "not within one" },
		{ "write across", RAW_DATA - 2, 4, ERANGE, "not within one" },
		{ "write behind", RAW_DATA + 4095, 2, ERANGE, "not within one" },
		{ "write at the end of numbers", -2ULL, 4, ERANGE, "not within" },
	};
	size_t i;

	if (raw_load(nl, &good, &spa))
		bail("load: %s", nl->text);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		msg_init(&m, ULS_CMD_SPA_WRITE);
		msg_u32(&m, ULS_A_SPA_ID, spa.id);
		msg_u64(&m, ULS_A_SPA_OFFSET, bad[i].offset);
		msg_put(&m, ULS_A_SPA_DATA, data, bad[i].len);
		expect(nl, &m, bad[i].what, bad[i].err,
		       i == 1 ? "must be 1 to" : bad[i].text);
	}

	/* Another socket has no business with it. */
	if (nl_open(&other))
		bail("second socket");
	raw_commit(&m, spa.id, &good);
	expect(&other, &m, "commit by another socket", EPERM, "another socket");
	msg_init(&m, ULS_CMD_SPA_DISCARD);
	msg_u32(&m, ULS_A_SPA_ID, spa.id);
	expect(&other, &m, "discard by another socket", EPERM, "another socket");
	nl_close(&other);

	msg_init(&m, ULS_CMD_SPA_DEL);
	msg_u32(&m, ULS_A_SPA_ID, spa.id);
	expect(nl, &m, "delete while loading", EBUSY, "still being loaded");
	ok(raw_control(nl, spa.id, 0) == EBUSY, "control while loading");
	ok(raw_bench(nl, spa.id, 1, 1) == EBUSY, "bench while loading");

	msg_init(&m, ULS_CMD_SPA_DISCARD);
	msg_u32(&m, ULS_A_SPA_ID, spa.id);
	ok(nl_call(nl, &m) == 0, "discard");
	ok(raw_get(nl, spa.id) == ENOENT, "it is gone");
}

/* Each is tried on a half-made SPA of its own, which must be gone afterwards. */
static void commit_one(struct nl *nl, const char *what, int a, uint64_t va,
		       int b, uint64_t vb, int err, const char *text)
{
	struct raw_spa spa;
	struct msg m;

	if (raw_load(nl, &good, &spa))
		bail("load: %s", nl->text);
	msg_init(&m, ULS_CMD_SPA_COMMIT);
	msg_u32(&m, ULS_A_SPA_ID, spa.id);
	if (a == ULS_A_SPA_XSK_FD || a == ULS_A_SPA_REPLACE_ID)
		msg_u32(&m, a, va);
	else
		msg_u64(&m, a, va);
	if (b == ULS_A_SPA_REPLACE_ID)
		msg_u32(&m, b, vb);
	else if (b)
		msg_u64(&m, b, vb);
	expect(nl, &m, what, err, text);
	ok(raw_get(nl, spa.id) == ENOENT, "  and the half-made SPA is gone");
}

static void commits(struct nl *nl)
{
	commit_one(nl, "budget of 1 ns", ULS_A_SPA_BUDGET_NS, 1, 0, 0, EINVAL,
		   "must be 20000 to 10000000");
	commit_one(nl, "budget of 19999 ns", ULS_A_SPA_BUDGET_NS, 19999, 0, 0,
		   EINVAL, "must be 20000 to 10000000");
	commit_one(nl, "budget of 1 s", ULS_A_SPA_BUDGET_NS, 1000000000, 0, 0,
		   EINVAL, "must be 20000 to 10000000");
	commit_one(nl, "fd that is not open", ULS_A_SPA_XSK_FD, 999, 0, 0,
		   EBADF, "not an open file");
	commit_one(nl, "replacing nobody", ULS_A_SPA_REPLACE_ID, 999999, 0, 0,
		   ENOENT, "no live SPA 999999");
	commit_one(nl, "both fd and replace-id", ULS_A_SPA_XSK_FD, 0,
		   ULS_A_SPA_REPLACE_ID, 1, EINVAL, "exclude each other");
	commit_one(nl, "reservation without a port", ULS_A_SPA_RUNTIME_NS, 1,
		   ULS_A_SPA_PERIOD_NS, 2, EINVAL, "needs a port");
}

static void unknown_ids(struct nl *nl)
{
	static const struct {
		uint8_t cmd;
		int attr;
	} cmds[] = {
		{ ULS_CMD_SPA_COMMIT, ULS_A_SPA_ID },
		{ ULS_CMD_SPA_DISCARD, ULS_A_SPA_ID },
		{ ULS_CMD_SPA_DEL, ULS_A_SPA_ID },
		{ ULS_CMD_SPA_GET, ULS_A_SPA_ID },
		{ ULS_CMD_SPA_SET, ULS_A_SPA_ID },
		{ ULS_CMD_STATS_GET, ULS_A_STATS_ID },
		{ ULS_CMD_LOG_GET, ULS_A_LOG_ID },
	};
	struct msg m;
	size_t i;

	for (i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		msg_init(&m, cmds[i].cmd);
		msg_u32(&m, cmds[i].attr, 0x7fffffff);
		expect(nl, &m, "unknown id", ENOENT, "no SPA 2147483647");
		msg_init(&m, cmds[i].cmd);
		expect(nl, &m, "no id", EINVAL, "");
		msg_init(&m, cmds[i].cmd);
		msg_u32(&m, cmds[i].attr, 0);
		expect(nl, &m, "id 0", ERANGE, "");
	}
	ok(raw_control(nl, 0x7fffffff, 0) == ENOENT, "control: unknown id");
	ok(raw_bench(nl, 0x7fffffff, 1, 1) == ENOENT, "bench: unknown id");
	msg_init(&m, ULS_CMD_SPA_DEL);
	msg_str(&m, ULS_A_SPA_NAME, "nobody");
	expect(nl, &m, "delete by an unknown name", ENOENT, "no SPA \"nobody\"");
	msg_init(&m, 200);
	ok(nl_call(nl, &m) == EOPNOTSUPP, "unknown command");
}

static void controls(struct nl *nl)
{
	static const struct {
		const char *what;
		uint16_t type, len;
		size_t bytes;
		uint32_t index;
		const char *text;
	} bad[] = {
		{ "short message", 1, 4, 4, 0, "must be 8 to 4096" },
		{ "unknown type", 9, 24, 24, 0, "unknown message type 9" },
		{ "length that lies", 1, 40, 24, 0, "says 40" },
		{ "param of a flow's length", 1, 40, 40, 0, "takes 24" },
		{ "flow of a param's length", 2, 24, 24, 0, "takes 40" },
		{ "parameter 1 of 1", 1, 24, 24, 1, "no parameter 1" },
	};
	struct raw_spa spa;
	struct msg m;
	char buf[64];
	size_t i;

	if (raw_start(nl, &good, &spa))
		bail("start: %s", nl->text);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct uls_msg_param p = {
			.hdr = { .type = bad[i].type, .len = bad[i].len },
			.index = bad[i].index,
		};

		memset(buf, 0, sizeof(buf));
		memcpy(buf, &p, sizeof(p));
		msg_init(&m, ULS_CMD_SPA_CONTROL);
		msg_u32(&m, ULS_A_SPA_ID, spa.id);
		msg_put(&m, ULS_A_SPA_DATA, buf, bad[i].bytes);
		expect(nl, &m, bad[i].what, EINVAL, bad[i].text);
	}
	msg_init(&m, ULS_CMD_BENCH);
	msg_u32(&m, ULS_A_BENCH_ID, spa.id);
	msg_u32(&m, ULS_A_BENCH_COUNT, ULS_BENCH_MAX);
	msg_u32(&m, ULS_A_BENCH_BATCH, ULS_BENCH_BATCH_MAX);
	expect(nl, &m, "endless bench", EINVAL, "too many");
	msg_init(&m, ULS_CMD_SPA_SET);
	msg_u32(&m, ULS_A_SPA_ID, spa.id);
	msg_u64(&m, ULS_A_SPA_RUNTIME_NS, 1000);
	expect(nl, &m, "runtime without period", EINVAL, "come together");
	msg_u64(&m, ULS_A_SPA_PERIOD_NS, 500);
	expect(nl, &m, "runtime beyond its period", EINVAL, "runtime 1000 of 500 ns");
	ok(raw_delete(nl, spa.id) == 0, "delete");
}

/* In a child without capabilities; its exit status is the number of failures. */
static int as_nobody(void)
{
	static const uint8_t admin[] = {
		ULS_CMD_SPA_BEGIN, ULS_CMD_SPA_WRITE, ULS_CMD_SPA_COMMIT,
		ULS_CMD_SPA_DISCARD, ULS_CMD_SPA_DEL, ULS_CMD_SPA_SET,
		ULS_CMD_SPA_CONTROL, ULS_CMD_LOG_GET, ULS_CMD_BENCH,
		ULS_CMD_LIMIT_SET, ULS_CMD_LIMIT_GET
	};
	static struct nl nl;
	struct msg m;
	int bad = 0;
	size_t i;

	if (setgid(65534) || setuid(65534) || nl_open(&nl))
		return 99;
	for (i = 0; i < sizeof(admin); i++) {
		msg_init(&m, admin[i]);
		bad += nl_call(&nl, &m) != EPERM;
	}
	msg_init(&m, ULS_CMD_INFO);
	bad += nl_call(&nl, &m) != 0;
	msg_init(&m, ULS_CMD_SPA_GET);
	bad += nl_dump(&nl, &m, NULL, NULL) != EPERM;
	msg_init(&m, ULS_CMD_STATS_GET);
	bad += nl_dump(&nl, &m, NULL, NULL) != EPERM;
	return bad;
}

static void privileges(void)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(as_nobody());
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && !WEXITSTATUS(status),
	   "without CAP_NET_ADMIN: info and nothing else (%d wrong)",
	   WEXITSTATUS(status));
}

void test_refuse(struct nl *nl)
{
	begin_values(nl);
	begin_segments(nl);
	begin_rest(nl);
	write_commit(nl);
	commits(nl);
	unknown_ids(nl);
	controls(nl);
	privileges();
}
