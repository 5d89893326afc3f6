// SPDX-License-Identifier: GPL-2.0-only
/*
 * CONTROL upcalls: a message is put in the mailbox, the SPA is called in the
 * context of whoever sent it, and its answer is the answer to the sender.
 *
 * Owns the contents of the mailbox, under the SPA's control mutex or before it
 * is live, and the values of its parameters.  The mailbox's pages are spa.c's.
 */
#include <linux/netlink.h>
#include <linux/sched/clock.h>
#include <linux/string.h>
#include <linux/time64.h>
#include <net/genetlink.h>

#include "control.h"
#include "port.h"
#include "upcall.h"

/* Time for all messages of a spa-commit: frames wait meanwhile. */
#define FIRST_MS	20

static int check_message(const void *data, size_t len,
			 struct netlink_ext_ack *extack)
{
	struct uls_msg msg;
	size_t need;

	if (len < sizeof(msg) || len > ULS_MBOX_SIZE) {
		NL_SET_ERR_MSG_FMT(extack,
				   "message of %zu bytes: must be %zu to %d",
				   len, sizeof(msg), ULS_MBOX_SIZE);
		return -EINVAL;
	}
	memcpy(&msg, data, sizeof(msg));
	switch (msg.type) {
	case ULS_MSG_PARAM:
		need = sizeof(struct uls_msg_param);
		break;
	case ULS_MSG_FLOW_ADD:
	case ULS_MSG_FLOW_DEL:
		need = sizeof(struct uls_msg_flow);
		break;
	default:
		NL_SET_ERR_MSG_FMT(extack, "unknown message type %u", msg.type);
		return -EINVAL;
	}
	if (msg.len != len || len != need) {
		NL_SET_ERR_MSG_FMT(extack,
				   "message type %u has %zu bytes and says %u; it takes %zu",
				   msg.type, len, msg.len, need);
		return -EINVAL;
	}
	return 0;
}

static int check_param(const struct uls_spa *spa, const void *data,
		       struct netlink_ext_ack *extack)
{
	struct uls_msg_param msg;

	memcpy(&msg, data, sizeof(msg));
	if (msg.hdr.type != ULS_MSG_PARAM ||
	    msg.index < spa->config.nr_params)
		return 0;
	NL_SET_ERR_MSG_FMT(extack, "no parameter %u, the SPA has %u",
			   msg.index, spa->config.nr_params);
	return -EINVAL;
}

/* So that spa-get can tell what was set. */
static void remember_param(struct uls_spa *spa, const void *data)
{
	struct uls_msg_param msg;

	memcpy(&msg, data, sizeof(msg));
	if (msg.hdr.type == ULS_MSG_PARAM)
		WRITE_ONCE(spa->config.param[msg.index].value, msg.value);
}

static int call(struct uls_spa *spa, const void *data, size_t len, s64 *result,
		struct netlink_ext_ack *extack)
{
	struct uls_port *port = spa->port;
	int err;
	u64 start;

	err = uls_port_request(port, &start);
	if (err) {
		NL_SET_ERR_MSG(extack, "killed while the CPU had no time left");
	} else if (port->spa == spa) {
		memcpy(uls_area_address(&spa->mbox, 0), data, len);
		err = uls_upcall_run(spa, ULS_UP_CONTROL, len,
				     ULS_CONTEXT_NETLINK, result);
		if (err)
			uls_upcall_explain(spa, err, extack);
	} else {
		NL_SET_ERR_MSG_FMT(extack, "SPA %u is not live", spa->id);
		err = -ENODEV;
	}
	uls_port_request_end(port, start);
	return err;
}

/**
 * uls_control() - send a message to an SPA
 * @spa: the caller has a reference, and no lock
 * @data: a struct uls_msg_*
 * @len: its length in bytes
 * @result: what the SPA returned
 * @extack: says what was wrong
 *
 * Return: 0; -EINVAL for a bad message; -ENODEV if the SPA is not live; what
 * uls_upcall_run() says if it was aborted; -EREMOTEIO if the SPA refused.
 */
int uls_control(struct uls_spa *spa, const void *data, size_t len, s64 *result,
		struct netlink_ext_ack *extack)
{
	int err;

	err = check_message(data, len, extack);
	if (!err)
		err = check_param(spa, data, extack);
	if (err)
		return err;

	mutex_lock(&spa->control);
	err = call(spa, data, len, result, extack);
	if (!err)
		err = uls_upcall_answer(ULS_UP_CONTROL, *result, extack);
	if (!err)
		remember_param(spa, data);
	mutex_unlock(&spa->control);
	return err;
}

static bool is_message(const struct nlattr *attr)
{
	return nla_type(attr) == ULS_A_SPA_CONTROL;
}

/**
 * uls_control_check() - look at the messages of a spa-commit
 * @spa: half made
 * @request: the spa-commit
 * @extack: says what was wrong
 *
 * Return: 0 or -EINVAL.
 */
int uls_control_check(const struct uls_spa *spa, const struct nlmsghdr *request,
		      struct netlink_ext_ack *extack)
{
	const struct nlattr *attr;
	int rem, err;

	nlmsg_for_each_attr(attr, request, GENL_HDRLEN, rem) {
		if (!is_message(attr))
			continue;
		err = check_message(nla_data(attr), nla_len(attr), extack);
		if (!err)
			err = check_param(spa, nla_data(attr), extack);
		if (err)
			return err;
	}
	return 0;
}

static int first_message(struct uls_spa *spa, const struct nlattr *attr,
			 struct netlink_ext_ack *extack)
{
	s64 result = 0;
	u64 start;
	int err;

	memcpy(uls_area_address(&spa->mbox, 0), nla_data(attr), nla_len(attr));
	uls_port_lock(spa->port);
	start = local_clock();
	err = uls_upcall_run(spa, ULS_UP_CONTROL, nla_len(attr),
			     ULS_CONTEXT_NETLINK, &result);
	uls_port_request_end(spa->port, start);
	if (err) {
		uls_upcall_explain(spa, err, extack);
		return err;
	}
	err = uls_upcall_answer(ULS_UP_CONTROL, result, extack);
	if (!err)
		remember_param(spa, nla_data(attr));
	return err;
}

/**
 * uls_control_first() - hand over the messages of a spa-commit
 * @spa: has done its INIT, is not live yet; the caller holds its port
 * @request: the spa-commit, for which uls_control_check() returned 0
 * @extack: says what was wrong
 *
 * So a replacement knows its flows before it sees a frame.
 *
 * Return: 0, the error of the first message that was refused, or -ETIMEDOUT if
 * they take too long in sum.
 */
int uls_control_first(struct uls_spa *spa, const struct nlmsghdr *request,
		      struct netlink_ext_ack *extack)
{
	u64 end = local_clock() + FIRST_MS * NSEC_PER_MSEC;
	const struct nlattr *attr;
	unsigned int done = 0;
	int rem, err;

	nlmsg_for_each_attr(attr, request, GENL_HDRLEN, rem) {
		if (!is_message(attr))
			continue;
		if (local_clock() >= end) {
			NL_SET_ERR_MSG_FMT(extack,
					   "%u messages took %d ms: the others must come by spa-control",
					   done, FIRST_MS);
			return -ETIMEDOUT;
		}
		err = first_message(spa, attr, extack);
		if (err)
			return err;
		done++;
	}
	return 0;
}
