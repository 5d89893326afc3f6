// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/uls_netlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "nl.h"
#include "tap.h"

static struct nlattr *tail(struct msg *m)
{
	return (struct nlattr *)(m->buf + m->len);
}

void msg_init(struct msg *m, uint8_t cmd)
{
	struct genlmsghdr *g = (void *)(m->buf + NLMSG_HDRLEN);

	memset(m->buf, 0, NLMSG_HDRLEN + GENL_HDRLEN);
	g->cmd = cmd;
	g->version = ULS_FAMILY_VERSION;
	m->len = NLMSG_HDRLEN + GENL_HDRLEN;
}

void msg_put(struct msg *m, int type, const void *data, size_t len)
{
	struct nlattr *a = tail(m);

	if (m->len + NLA_HDRLEN + NLA_ALIGN(len) > sizeof(m->buf))
		bail("message too long");
	a->nla_type = type;
	a->nla_len = NLA_HDRLEN + len;
	memset((char *)a + a->nla_len, 0, NLA_ALIGN(a->nla_len) - a->nla_len);
	if (len)
		memcpy((char *)a + NLA_HDRLEN, data, len);
	m->len += NLA_ALIGN(a->nla_len);
}

void msg_u32(struct msg *m, int type, uint32_t v)
{
	msg_put(m, type, &v, sizeof(v));
}

void msg_u64(struct msg *m, int type, uint64_t v)
{
	msg_put(m, type, &v, sizeof(v));
}

void msg_str(struct msg *m, int type, const char *s)
{
	msg_put(m, type, s, strlen(s) + 1);
}

size_t msg_nest(struct msg *m, int type)
{
	size_t at = m->len;

	msg_put(m, type | NLA_F_NESTED, NULL, 0);
	return at;
}

void msg_end(struct msg *m, size_t nest)
{
	((struct nlattr *)(m->buf + nest))->nla_len = m->len - nest;
}

static const struct nlattr *find(const void *from, size_t len, int type)
{
	const struct nlattr *a = from;

	while (len >= NLA_HDRLEN && a->nla_len >= NLA_HDRLEN &&
	       a->nla_len <= len) {
		size_t step = NLA_ALIGN(a->nla_len);

		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return a;
		if (step >= len)
			break;
		a = (const void *)((const char *)a + step);
		len -= step;
	}
	return NULL;
}

const struct nlattr *nl_attr(const struct nl *nl, int type)
{
	return find(nl->reply, nl->reply_len, type);
}

const struct nlattr *nl_nested(const struct nlattr *nest, int type)
{
	return nest ? find(nl_data(nest), nl_len(nest), type) : NULL;
}

const void *nl_data(const struct nlattr *attr)
{
	return attr ? (const char *)attr + NLA_HDRLEN : NULL;
}

size_t nl_len(const struct nlattr *attr)
{
	return attr ? attr->nla_len - NLA_HDRLEN : 0;
}

uint64_t nl_u64(const struct nlattr *attr)
{
	uint64_t v = 0;

	if (attr)
		memcpy(&v, nl_data(attr), nl_len(attr) < 8 ? nl_len(attr) : 8);
	return v;
}

static int send_msg(struct nl *nl, struct msg *m, int flags)
{
	struct nlmsghdr *h = (void *)m->buf;

	h->nlmsg_len = m->len;
	if (!h->nlmsg_type)
		h->nlmsg_type = nl->family;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = ++nl->seq;
	if (send(nl->fd, m->buf, m->len, 0) < 0)
		return errno;
	return 0;
}

static void keep_text(struct nl *nl, const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = NLMSG_DATA(h);
	size_t skip = sizeof(*e);
	const struct nlattr *a;

	nl->text[0] = 0;
	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(h->nlmsg_flags & NLM_F_CAPPED))
		skip += e->msg.nlmsg_len - NLMSG_HDRLEN;
	a = find((const char *)e + skip, h->nlmsg_len - NLMSG_HDRLEN - skip,
		 NLMSGERR_ATTR_MSG);
	if (a)
		snprintf(nl->text, sizeof(nl->text), "%s",
			 (const char *)nl_data(a));
}

static void keep_reply(struct nl *nl, const struct nlmsghdr *h)
{
	const struct genlmsghdr *g = NLMSG_DATA(h);

	nl->cmd = g->cmd;
	nl->reply_len = h->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN;
	if (nl->reply_len > sizeof(nl->reply))
		bail("reply too long");
	memcpy(nl->reply, (const char *)g + GENL_HDRLEN, nl->reply_len);
}

/* Read until the acknowledgement or the end of the dump. */
static int receive(struct nl *nl, void (*each)(struct nl *nl, void *),
		   void *arg)
{
	static char buf[65536];

	for (;;) {
		ssize_t n = recv(nl->fd, buf, sizeof(buf), 0);
		struct nlmsghdr *h = (void *)buf;

		if (n < 0)
			return errno;
		for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			const struct nlmsgerr *e = NLMSG_DATA(h);

			if (h->nlmsg_seq != nl->seq)
				continue;
			if (h->nlmsg_type == NLMSG_DONE)
				return -*(int *)NLMSG_DATA(h);
			if (h->nlmsg_type == NLMSG_ERROR) {
				keep_text(nl, h);
				return -e->error;
			}
			keep_reply(nl, h);
			if (each)
				each(nl, arg);
		}
	}
}

int nl_call(struct nl *nl, struct msg *m)
{
	int err;

	nl->reply_len = 0;
	nl->text[0] = 0;
	err = send_msg(nl, m, NLM_F_ACK);
	return err ? err : receive(nl, NULL, NULL);
}

int nl_dump(struct nl *nl, struct msg *m, void (*each)(struct nl *nl, void *),
	    void *arg)
{
	int err = send_msg(nl, m, NLM_F_DUMP);

	return err ? err : receive(nl, each, arg);
}

int nl_event(struct nl *nl, int timeout_ms)
{
	struct pollfd p = { .fd = nl->fd, .events = POLLIN };
	static char buf[32768];
	ssize_t n;

	if (poll(&p, 1, timeout_ms) != 1)
		return ETIMEDOUT;
	n = recv(nl->fd, buf, sizeof(buf), 0);
	if (n < 0)
		return errno;
	keep_reply(nl, (void *)buf);
	return 0;
}

static int resolve(struct nl *nl)
{
	const struct nlattr *groups, *first;
	struct msg m;
	int err;

	msg_init(&m, CTRL_CMD_GETFAMILY);
	((struct nlmsghdr *)m.buf)->nlmsg_type = GENL_ID_CTRL;
	msg_str(&m, CTRL_ATTR_FAMILY_NAME, ULS_FAMILY_NAME);
	err = nl_call(nl, &m);
	if (err)
		return err;
	nl->family = nl_u64(nl_attr(nl, CTRL_ATTR_FAMILY_ID));
	groups = nl_attr(nl, CTRL_ATTR_MCAST_GROUPS);
	first = groups ? nl_data(groups) : NULL;
	nl->group = nl_u64(nl_nested(first, CTRL_ATTR_MCAST_GRP_ID));
	return 0;
}

int nl_open(struct nl *nl)
{
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };
	/* A request that is never answered is a mistake, not the end. */
	struct timeval patience = { .tv_sec = 20 };
	int one = 1, err;

	memset(nl, 0, sizeof(*nl));
	nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (nl->fd < 0)
		return errno;
	if (bind(nl->fd, (void *)&self, sizeof(self)) ||
	    setsockopt(nl->fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) ||
	    setsockopt(nl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one,
		       sizeof(one)) ||
	    setsockopt(nl->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one,
		       sizeof(one)))
		err = errno;
	else
		err = resolve(nl);
	if (err)
		nl_close(nl);
	return err;
}

void nl_close(struct nl *nl)
{
	close(nl->fd);
	nl->fd = -1;
}

int nl_subscribe(struct nl *nl)
{
	if (setsockopt(nl->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &nl->group,
		       sizeof(nl->group)))
		return errno;
	return 0;
}
