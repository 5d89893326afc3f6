/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Raw generic netlink: requests put together by hand, so that wrong ones can
 * be made too.
 */
#ifndef _ULS_TESTS_NL_H
#define _ULS_TESTS_NL_H

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#define NL_REPLY_MAX	32768

struct nl {
	int fd;
	uint16_t family;
	uint32_t group;		/* number of the multicast group "events" */
	uint32_t seq;
	char text[256];		/* extended ack of the last error */
	uint8_t cmd;		/* of the last message received */
	size_t reply_len;	/* bytes of its attributes */
	char reply[NL_REPLY_MAX];
};

struct msg {
	size_t len;
	char buf[80 * 1024] __attribute__((aligned(4)));
};

/* 0 or a positive errno. */
int nl_open(struct nl *nl);
void nl_close(struct nl *nl);
int nl_subscribe(struct nl *nl);
int nl_call(struct nl *nl, struct msg *m);
/* Calls each for every message of a dump. */
int nl_dump(struct nl *nl, struct msg *m, void (*each)(struct nl *nl, void *),
	    void *arg);
/* The next event, ETIMEDOUT without one. */
int nl_event(struct nl *nl, int timeout_ms);

/* An attribute of the last message, or NULL. */
const struct nlattr *nl_attr(const struct nl *nl, int type);
const struct nlattr *nl_nested(const struct nlattr *nest, int type);
uint64_t nl_u64(const struct nlattr *attr);	/* any width; 0 for NULL */
const void *nl_data(const struct nlattr *attr);
size_t nl_len(const struct nlattr *attr);

void msg_init(struct msg *m, uint8_t cmd);
void msg_put(struct msg *m, int type, const void *data, size_t len);
void msg_u32(struct msg *m, int type, uint32_t v);
void msg_u64(struct msg *m, int type, uint64_t v);
void msg_str(struct msg *m, int type, const char *s);
size_t msg_nest(struct msg *m, int type);
void msg_end(struct msg *m, size_t nest);

#endif /* _ULS_TESTS_NL_H */
