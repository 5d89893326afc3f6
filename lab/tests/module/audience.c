// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who sees and hears what: an SPA, and three readers beside the one who loaded
 * it.
 */
#include <errno.h>
#include <linux/uls_netlink.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "tests.h"

#define NOT_HERE 3	/* a reader that this kernel cannot make */

static const struct raw good = { CODE(good) };

/* What a reader found out; errors are as nl_call() has them. */
struct view {
	int info, dump, get, by_name, stats_dump, stats, log;
	bool seen, heard;
};

struct shared {
	int ready, go;
	uint32_t id;
	struct view view;
};

static int nobody(void)
{
	return setgid(65534) || setuid(65534);
}

static int root(void)
{
	return unshare(CLONE_NEWNET);
}

static int guest(void)
{
	return nobody() || unshare(CLONE_NEWUSER | CLONE_NEWNET);
}

static void see_one(struct nl *nl, void *arg)
{
	struct shared *s = arg;

	s->view.seen |= nl_u64(nl_attr(nl, ULS_A_SPA_ID)) == s->id;
}

static void look(struct nl *nl, struct nl *events, struct shared *s)
{
	struct view *v = &s->view;
	struct msg m;

	msg_init(&m, ULS_CMD_INFO);
	v->info = nl_call(nl, &m);
	msg_init(&m, ULS_CMD_SPA_GET);
	v->dump = nl_dump(nl, &m, see_one, s);
	msg_init(&m, ULS_CMD_SPA_GET);
	msg_str(&m, ULS_A_SPA_NAME, good.name);
	v->by_name = nl_call(nl, &m);
	v->get = raw_get(nl, s->id);
	msg_init(&m, ULS_CMD_STATS_GET);
	v->stats_dump = nl_dump(nl, &m, NULL, NULL);
	v->stats = raw_stats(nl, s->id);
	msg_init(&m, ULS_CMD_LOG_GET);
	msg_u32(&m, ULS_A_LOG_ID, s->id);
	v->log = nl_call(nl, &m);
	while (!nl_event(events, 300))
		v->heard |= nl_u64(nl_attr(events, ULS_A_SPA_ID)) == s->id;
}

static int reader(int (*become)(void), struct shared *s)
{
	static struct nl nl, events;

	if (become())
		return NOT_HERE;
	if (nl_open(&nl) || nl_open(&events) || nl_subscribe(&events))
		return 1;
	*(volatile int *)&s->ready = 1;
	while (!*(volatile int *)&s->go)
		usleep(1000);
	look(&nl, &events, s);
	return 0;
}

/* What there is to see begins when the reader listens. */
static bool view_of(struct nl *nl, int (*become)(void), const char *who,
		    struct shared *s)
{
	struct raw_spa spa;
	int status = 0;
	pid_t pid;

	memset(s, 0, sizeof(*s));
	pid = fork();
	if (!pid)
		_exit(reader(become, s));
	while (!*(volatile int *)&s->ready) {
		if (waitpid(pid, &status, WNOHANG)) {
			ok(WIFEXITED(status) && WEXITSTATUS(status) == NOT_HERE,
			   "%s # SKIP this kernel has none", who);
			return false;
		}
		usleep(1000);
	}
	if (raw_start(nl, &good, &spa))
		bail("start: %s", nl->text);
	s->id = spa.id;
	*(volatile int *)&s->go = 1;
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && !WEXITSTATUS(status) && !s->view.info,
	   "%s may ask for info", who);
	raw_delete(nl, spa.id);
	return true;
}

static void sees_none(struct nl *nl, int (*become)(void), const char *who,
		      struct shared *s)
{
	const struct view *v = &s->view;

	if (!view_of(nl, become, who, s))
		return;
	ok(v->dump == EPERM && !v->seen, "%s lists no SPA: %s%s", who,
	   strerrorname_np(v->dump), v->seen ? ", saw one" : "");
	ok(v->get == EPERM && v->by_name == EPERM,
	   "%s gets none by number or name: %s, %s", who,
	   strerrorname_np(v->get), strerrorname_np(v->by_name));
	ok(v->stats_dump == EPERM && v->stats == EPERM,
	   "%s has no statistics, all or one: %s, %s", who,
	   strerrorname_np(v->stats_dump), strerrorname_np(v->stats));
	ok(v->log == EPERM, "%s reads no log", who);
	ok(!v->heard, "%s hears no event", who);
}

static void sees_all(struct nl *nl, int (*become)(void), const char *who,
		     struct shared *s)
{
	const struct view *v = &s->view;

	if (!view_of(nl, become, who, s))
		return;
	ok(!v->dump && v->seen && !v->get && !v->by_name,
	   "%s lists and gets the SPA", who);
	ok(!v->stats_dump && !v->stats && !v->log,
	   "%s has its statistics and its log", who);
	ok(v->heard, "%s hears its events", who);
}

void test_audience(struct nl *nl)
{
	struct shared *s;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		bail("audience: %s", strerror(errno));
	sees_none(nl, nobody, "nobody", s);
	sees_none(nl, guest, "root of a user namespace", s);
	sees_all(nl, root, "root in another network namespace", s);
	munmap(s, sizeof(*s));
}
