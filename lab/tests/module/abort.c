// SPDX-License-Identifier: GPL-2.0-only
/*
 * SPAs that misbehave: each is aborted with the right cause, vector, address
 * and instruction, an event says so, and the host goes on.
 */
#include <errno.h>
#include <linux/uls_netlink.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"
#include "tests.h"
#include "uls_shm.h"

/* What an address in a report is counted from. */
enum from { ABSOLUTE, BASE, TEXT, DATA, STACK, ANY };

#define ANYTHING	0xffffffff

struct crime {
	struct raw raw;
	int err;
	uint32_t cause, vector, error;
	enum from from;
	uint64_t address;
};

#define CRIME(n) .raw = { CODE(n) }
#define BLAMED(n) .raw = { CODE(n), .fault = code_##n##_fault }
#define DECLARE_BLAMED(n) DECLARE_CODE(n); extern const char code_##n##_fault[]

DECLARE_BLAMED(ud2);
DECLARE_BLAMED(div);
DECLARE_BLAMED(loop);
DECLARE_BLAMED(cli);
DECLARE_BLAMED(hlt);
DECLARE_BLAMED(inb);
DECLARE_BLAMED(rdmsr);
DECLARE_CODE(int3);
DECLARE_CODE(int80);
DECLARE_BLAMED(int32);
DECLARE_BLAMED(sse);
DECLARE_BLAMED(x87);
DECLARE_BLAMED(avx);
DECLARE_BLAMED(xgetbv);
DECLARE_BLAMED(xinuse);
DECLARE_BLAMED(xsave);
DECLARE_BLAMED(xrstor);
DECLARE_CODE(sysenter);
DECLARE_BLAMED(userread);
DECLARE_BLAMED(kernelread);
DECLARE_BLAMED(infowrite);
DECLARE_BLAMED(otherslice);
DECLARE_BLAMED(noncanonical);
DECLARE_BLAMED(textwrite);
DECLARE_CODE(dataexec);
DECLARE_BLAMED(stackover);
DECLARE_CODE(recursion);
DECLARE_CODE(kernelcall);
DECLARE_CODE(service);
DECLARE_CODE(getpid);
DECLARE_CODE(abort);
DECLARE_CODE(trapflag);
DECLARE_BLAMED(crash);
DECLARE_CODE(hang);
DECLARE_BLAMED(lastword);

#define FAULT(v, e) .err = EFAULT, .cause = ULS_CAUSE_FAULT, .vector = v, .error = e
#define SERVICE(v) .err = EPROTO, .cause = ULS_CAUSE_SERVICE, .vector = v, .error = 0

static const struct crime crimes[] = {
	{ BLAMED(ud2), FAULT(6, 0) },
	{ BLAMED(div), FAULT(0, 0) },
	{ CRIME(int3), FAULT(3, 0) },
	{ CRIME(trapflag), FAULT(1, 0), .from = ANY },
	{ BLAMED(cli), FAULT(13, 0) },
	{ BLAMED(hlt), FAULT(13, 0) },
	{ BLAMED(inb), FAULT(13, 0) },
	{ BLAMED(rdmsr), FAULT(13, 0) },
	/* Vector * 8 + 2; but QEMU's emulation says vector * 16 + 2. */
	{ BLAMED(int32), FAULT(13, ANYTHING) },
	{ BLAMED(sse), FAULT(7, 0) },
	{ BLAMED(x87), FAULT(7, 0) },
	/* There is no XSAVE for them, and without it no AVX. */
	{ BLAMED(avx), FAULT(6, 0) },
	{ BLAMED(xgetbv), FAULT(6, 0) },
	{ BLAMED(xinuse), FAULT(6, 0) },
	{ BLAMED(xsave), FAULT(6, 0) },
	{ BLAMED(xrstor), FAULT(6, 0) },
	{ BLAMED(noncanonical), FAULT(13, 0) },
	{ BLAMED(userread), FAULT(14, 4), ABSOLUTE, 0x400000 },
	{ BLAMED(kernelread), FAULT(14, ANYTHING), ABSOLUTE,
	  0xffffffff81000000 },
	{ CRIME(kernelcall), FAULT(14, ANYTHING), ABSOLUTE,
	  0xffffffff81000000 },
	{ BLAMED(otherslice), FAULT(14, 4), BASE, ULS_OFF_INFO + 0x40000000 },
	{ BLAMED(infowrite), FAULT(14, 7), BASE, ULS_OFF_INFO },
	{ BLAMED(textwrite), FAULT(14, 7), TEXT, 0 },
	{ CRIME(dataexec), FAULT(14, 0x15), DATA, 0 },
	{ BLAMED(stackover), FAULT(14, 6), STACK, -4104ULL },
	{ CRIME(recursion), FAULT(14, 6), STACK, -4104ULL },
	{ CRIME(service), SERVICE(ULS_EXIT_SYSCALL), ABSOLUTE, 99 },
	{ CRIME(getpid), SERVICE(ULS_EXIT_SYSCALL), ABSOLUTE, 39 },
	{ CRIME(abort), .err = ECANCELED, .cause = ULS_CAUSE_SELF,
	  .vector = ULS_EXIT_SYSCALL, .address = 0x1234 },
	{ BLAMED(loop), .err = ETIME, .cause = ULS_CAUSE_BUDGET,
	  .vector = ANYTHING },
};

static uint64_t expected(const struct crime *c, const struct raw_spa *spa,
			 uint32_t cpu)
{
	switch (c->from) {
	case BASE:
		return spa->base + c->address;
	case TEXT:
		return spa->base + RAW_TEXT + c->address;
	case DATA:
		return spa->base + RAW_DATA + c->address;
	case STACK:
		return spa->base + ULS_OFF_STACKS +
		       (cpu + 1) * ULS_STACK_STRIDE + c->address;
	default:
		return c->address;
	}
}

static bool matches(const struct crime *c, const struct raw_spa *spa,
		    const struct nlattr *abort, const char *where)
{
	uint64_t cause = nl_u64(nl_nested(abort, ULS_A_ABORT_CAUSE));
	uint64_t vector = nl_u64(nl_nested(abort, ULS_A_ABORT_VECTOR));
	uint64_t error = nl_u64(nl_nested(abort, ULS_A_ABORT_ERROR_CODE));
	uint64_t address = nl_u64(nl_nested(abort, ULS_A_ABORT_ADDRESS));
	uint64_t ip = nl_u64(nl_nested(abort, ULS_A_ABORT_IP));
	uint64_t want = expected(c, spa,
				 nl_u64(nl_nested(abort, ULS_A_ABORT_CPU)));
	bool good;

	good = abort && cause == c->cause &&
	       (c->vector == ANYTHING || vector == c->vector) &&
	       (c->error == ANYTHING || error == c->error) &&
	       (c->from == ANY || address == want) &&
	       nl_u64(nl_nested(abort, ULS_A_ABORT_REASON)) == ULS_UP_NOP &&
	       (!c->raw.fault || ip == spa->base + RAW_TEXT +
				       (c->raw.fault - c->raw.code));
	return ok(good, "%s: %s: cause %u vector %u error %#llx address %#llx ip base+%#llx",
		  c->raw.name, where, (unsigned int)cause,
		  (unsigned int)vector, (unsigned long long)error,
		  (unsigned long long)address,
		  (unsigned long long)(ip - spa->base));
}

/* Skips events of others. */
static bool next_event(struct nl *events, uint8_t cmd, uint32_t id)
{
	while (!nl_event(events, 3000))
		if (events->cmd == cmd &&
		    nl_u64(nl_attr(events, ULS_A_SPA_ID)) == id)
			return true;
	return false;
}

static void commit_crime(struct nl *nl, struct nl *events,
			 const struct crime *c)
{
	struct raw_spa spa;
	int err;

	err = raw_start(nl, &c->raw, &spa);
	if (err) {
		ok(false, "%s: start: %s", c->raw.name, nl->text);
		return;
	}
	err = raw_bench(nl, spa.id, 1, 1);
	ok(err == c->err && nl->text[0], "%s: %s: \"%s\"", c->raw.name,
	   err ? strerrorname_np(err) : "no error", nl->text);
	if (ok(next_event(events, ULS_CMD_SPA_ABORTED_NTF, spa.id),
	       "%s: event", c->raw.name))
		matches(c, &spa, nl_attr(events, ULS_A_SPA_ABORT), "event");
	ok(!raw_get(nl, spa.id) &&
	   nl_u64(nl_attr(nl, ULS_A_SPA_STATE)) == ULS_STATE_ABORTED,
	   "%s: state is aborted", c->raw.name);
	matches(c, &spa, nl_attr(nl, ULS_A_SPA_ABORT), "spa-get");
	ok(raw_bench(nl, spa.id, 1, 1) == ENODEV, "%s: no more upcalls",
	   c->raw.name);
	ok(!raw_delete(nl, spa.id), "%s: delete", c->raw.name);
}

/* Intel enters the kernel, AMD says #UD; both ways it is the end. */
static void sysenter(struct nl *nl, struct nl *events)
{
	const struct raw raw = { CODE(sysenter) };
	struct raw_spa spa;
	uint64_t cause;

	ok(!raw_start(nl, &raw, &spa), "sysenter: start");
	ok(raw_bench(nl, spa.id, 1, 1) != 0, "sysenter: \"%s\"", nl->text);
	ok(next_event(events, ULS_CMD_SPA_ABORTED_NTF, spa.id),
	   "sysenter: event");
	cause = nl_u64(nl_nested(nl_attr(events, ULS_A_SPA_ABORT),
				 ULS_A_ABORT_CAUSE));
	ok(cause == ULS_CAUSE_SERVICE || cause == ULS_CAUSE_FAULT,
	   "sysenter: cause %u", (unsigned int)cause);
	ok(!raw_delete(nl, spa.id), "sysenter: delete");
}

/* With IA-32 emulation it is a system call, without a forbidden vector. */
static void int80(struct nl *nl, struct nl *events)
{
	const struct raw raw = { CODE(int80) };
	const struct nlattr *abort;
	struct raw_spa spa;
	uint64_t cause, vector;

	ok(!raw_start(nl, &raw, &spa), "int80: start");
	ok(raw_bench(nl, spa.id, 1, 1) != 0, "int80: \"%s\"", nl->text);
	ok(next_event(events, ULS_CMD_SPA_ABORTED_NTF, spa.id), "int80: event");
	abort = nl_attr(events, ULS_A_SPA_ABORT);
	cause = nl_u64(nl_nested(abort, ULS_A_ABORT_CAUSE));
	vector = nl_u64(nl_nested(abort, ULS_A_ABORT_VECTOR));
	ok((cause == ULS_CAUSE_SERVICE && vector == 0x80) ||
	   (cause == ULS_CAUSE_FAULT && vector == 13),
	   "int80: cause %u vector %u", (unsigned int)cause,
	   (unsigned int)vector);
	ok(!raw_delete(nl, spa.id), "int80: delete");
}

/* A failed INIT undoes the load, and says why. */
static void init_fails(struct nl *nl)
{
	static const struct {
		struct raw raw;
		int err;
		const char *text;
	} bad[] = {
		{ { CODE(refuse) }, EREMOTEIO, "INIT returned -12" },
		{ { CODE(crash) }, EFAULT, "vector 6" },
		{ { CODE(hang) }, ETIME, "past its budget" },
	};
	struct raw_spa spa;
	size_t i;
	int err;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err = raw_start(nl, &bad[i].raw, &spa);
		ok(err == bad[i].err && strstr(nl->text, bad[i].text),
		   "INIT of %s: %s, \"%s\"", bad[i].raw.name,
		   err ? strerrorname_np(err) : "success", nl->text);
		ok(raw_get(nl, spa.id) == ENOENT, "  and it is gone");
	}
}

/* The last word does not stop the deletion; the event tells of both. */
static void fini_fails(struct nl *nl, struct nl *events)
{
	const struct raw raw = { CODE(lastword) };
	struct raw_spa spa;

	ok(!raw_start(nl, &raw, &spa), "lastword: start");
	ok(!raw_delete(nl, spa.id), "lastword: delete");
	ok(next_event(events, ULS_CMD_SPA_ABORTED_NTF, spa.id),
	   "lastword: aborted");
	ok(nl_u64(nl_nested(nl_attr(events, ULS_A_SPA_ABORT),
			    ULS_A_ABORT_REASON)) == ULS_UP_FINI,
	   "lastword: in FINI");
	ok(next_event(events, ULS_CMD_SPA_UNMAPPED_NTF, spa.id),
	   "lastword: unmapped");
	ok(raw_get(nl, spa.id) == ENOENT, "lastword: gone");
}

void test_abort(struct nl *nl)
{
	static struct nl events;
	size_t i;

	if (nl_open(&events) || nl_subscribe(&events))
		bail("events");
	for (i = 0; i < sizeof(crimes) / sizeof(crimes[0]); i++)
		commit_crime(nl, &events, &crimes[i]);
	int80(nl, &events);
	sysenter(nl, &events);
	init_fails(nl);
	fini_fails(nl, &events);
	nl_close(&events);
}
