// SPDX-License-Identifier: GPL-2.0-only
/*
 * The request spa-begin: everything user space says about an image is checked
 * here, before any memory is spent on it.
 *
 * Owns nothing: the configuration it fills in is the caller's.
 */
#include <linux/mm.h>
#include <net/genetlink.h>
#include <uapi/linux/uls_netlink.h>

#include "generated/uls_netlink_gen.h"
#include "load.h"
#include "record.h"

#define ULS_MANIFEST_ALL	(ULS_MANIFEST_SERIAL | ULS_MANIFEST_FPU)

static int load_name(struct genl_info *info, struct uls_spa_config *c)
{
	struct nlattr *name = info->attrs[ULS_A_SPA_NAME];
	const char *p;

	if (GENL_REQ_ATTR_CHECK(info, ULS_A_SPA_NAME))
		return -EINVAL;
	nla_strscpy(c->name, name, sizeof(c->name));
	if (!c->name[0]) {
		NL_SET_ERR_MSG_ATTR(info->extack, name, "name is empty");
		return -EINVAL;
	}
	for (p = c->name; *p; p++) {
		if (*p > ' ' && *p < 0x7f)
			continue;
		NL_SET_ERR_MSG_ATTR(info->extack, name,
				    "name has other than printable ASCII characters");
		return -EINVAL;
	}
	if (info->attrs[ULS_A_SPA_VERSION])
		nla_strscpy(c->version, info->attrs[ULS_A_SPA_VERSION],
			    sizeof(c->version));
	return 0;
}

static int load_sizes(struct genl_info *info, struct uls_spa_config *c)
{
	struct nlattr *stack = info->attrs[ULS_A_SPA_STACK_SIZE];
	struct nlattr *heap = info->attrs[ULS_A_SPA_HEAP_SIZE];
	struct nlattr *tick = info->attrs[ULS_A_SPA_TICK_US];
	struct nlattr *flags = info->attrs[ULS_A_SPA_FLAGS];

	if (GENL_REQ_ATTR_CHECK(info, ULS_A_SPA_STACK_SIZE))
		return -EINVAL;
	c->stack_size = nla_get_u32(stack);
	if (!c->stack_size || !PAGE_ALIGNED(c->stack_size) ||
	    c->stack_size > ULS_STACK_MAX) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, stack,
					"stack of %u bytes: must be whole pages, up to %llu",
					c->stack_size, ULS_STACK_MAX);
		return -EINVAL;
	}
	if (heap)
		c->heap_size = nla_get_u64(heap);
	if (!PAGE_ALIGNED(c->heap_size) || c->heap_size > ULS_HEAP_MAX) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, heap,
					"heap of %llu bytes: must be whole pages, up to %llu",
					c->heap_size, ULS_HEAP_MAX);
		return -EINVAL;
	}
	if (tick)
		c->tick_us = nla_get_u32(tick);
	if (c->tick_us && (c->tick_us < ULS_TICK_MIN_US ||
			   c->tick_us > ULS_TICK_MAX_US)) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, tick,
					"tick of %u us: must be 0 or %d to %d",
					c->tick_us, ULS_TICK_MIN_US,
					ULS_TICK_MAX_US);
		return -EINVAL;
	}
	if (flags)
		c->flags = nla_get_u32(flags);
	if (c->flags & ~ULS_MANIFEST_ALL) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, flags,
					"unknown manifest flags %#x",
					c->flags & ~ULS_MANIFEST_ALL);
		return -EINVAL;
	}
	return 0;
}

/* Does it lie in the image, in whole pages? */
static bool segment_fits(const struct uls_spa_config *c, u64 offset, u64 size)
{
	return PAGE_ALIGNED(offset) && PAGE_ALIGNED(size) && size &&
	       offset >= ULS_OFF_IMAGE && size <= c->image_size &&
	       offset - ULS_OFF_IMAGE <= c->image_size - size;
}

static int load_segment(struct genl_info *info, const struct nlattr *attr,
			struct uls_spa_config *c)
{
	struct nlattr *tb[ULS_A_SEGMENT_MAX + 1];
	u64 offset, size;
	unsigned int i;
	u32 prot;
	int err;

	err = nla_parse_nested(tb, ULS_A_SEGMENT_PROT, attr,
			       uls_segment_nl_policy, info->extack);
	if (err)
		return err;
	if (NL_REQ_ATTR_CHECK(info->extack, attr, tb, ULS_A_SEGMENT_OFFSET) ||
	    NL_REQ_ATTR_CHECK(info->extack, attr, tb, ULS_A_SEGMENT_SIZE) ||
	    NL_REQ_ATTR_CHECK(info->extack, attr, tb, ULS_A_SEGMENT_PROT))
		return -EINVAL;
	offset = nla_get_u64(tb[ULS_A_SEGMENT_OFFSET]);
	size = nla_get_u64(tb[ULS_A_SEGMENT_SIZE]);
	prot = nla_get_u32(tb[ULS_A_SEGMENT_PROT]);

	if (c->nr_segments == ULS_SEGMENTS_MAX) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "too many segments");
		return -E2BIG;
	}
	if (!segment_fits(c, offset, size)) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, attr,
					"segment %#llx+%#llx: not whole pages in the image",
					offset, size);
		return -EINVAL;
	}
	if (!(prot & ULS_SEGMENT_PROT_READ) ||
	    (prot & (ULS_SEGMENT_PROT_WRITE | ULS_SEGMENT_PROT_EXEC)) ==
	    (ULS_SEGMENT_PROT_WRITE | ULS_SEGMENT_PROT_EXEC)) {
		NL_SET_ERR_MSG_ATTR(info->extack, tb[ULS_A_SEGMENT_PROT],
				    "protection must be r, rw or rx");
		return -EINVAL;
	}
	for (i = 0; i < c->nr_segments; i++) {
		if (offset >= c->segment[i].offset + c->segment[i].size ||
		    c->segment[i].offset >= offset + size)
			continue;
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, attr,
					"segments %#llx and %#llx overlap",
					c->segment[i].offset, offset);
		return -EINVAL;
	}
	c->segment[c->nr_segments].offset = offset;
	c->segment[c->nr_segments].size = size;
	c->segment[c->nr_segments].prot = prot;
	c->nr_segments++;
	return 0;
}

static int load_param(struct genl_info *info, const struct nlattr *attr,
		      struct uls_spa_config *c)
{
	struct nlattr *tb[ULS_A_PARAM_MAX + 1];
	struct uls_param *p;
	int err;

	err = nla_parse_nested(tb, ULS_A_PARAM_HELP, attr, uls_param_nl_policy,
			       info->extack);
	if (err)
		return err;
	if (NL_REQ_ATTR_CHECK(info->extack, attr, tb, ULS_A_PARAM_NAME) ||
	    NL_REQ_ATTR_CHECK(info->extack, attr, tb, ULS_A_PARAM_TYPE))
		return -EINVAL;
	if (c->nr_params == ULS_PARAMS_MAX) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "too many parameters");
		return -E2BIG;
	}
	p = &c->param[c->nr_params++];
	nla_strscpy(p->name, tb[ULS_A_PARAM_NAME], sizeof(p->name));
	p->type = nla_get_u32(tb[ULS_A_PARAM_TYPE]);
	if (tb[ULS_A_PARAM_VALUE])
		p->value = nla_get_u64(tb[ULS_A_PARAM_VALUE]);
	if (tb[ULS_A_PARAM_HELP])
		nla_strscpy(p->help, tb[ULS_A_PARAM_HELP], sizeof(p->help));
	return 0;
}

static int load_counter(struct genl_info *info, const struct nlattr *attr,
			struct uls_spa_config *c)
{
	if (c->nr_counters == ULS_COUNTERS_MAX) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "too many counters");
		return -E2BIG;
	}
	nla_strscpy(c->counter[c->nr_counters], attr,
		    sizeof(c->counter[0]));
	c->nr_counters++;
	return 0;
}

static int load_repeated(struct genl_info *info, struct uls_spa_config *c)
{
	struct nlattr *attr;
	int rem, err;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rem) {
		switch (nla_type(attr)) {
		case ULS_A_SPA_SEGMENT:
			err = load_segment(info, attr, c);
			break;
		case ULS_A_SPA_PARAM:
			err = load_param(info, attr, c);
			break;
		case ULS_A_SPA_COUNTER_NAME:
			err = load_counter(info, attr, c);
			break;
		default:
			err = 0;
		}
		if (err)
			return err;
	}
	return 0;
}

static int load_entry(struct genl_info *info, struct uls_spa_config *c)
{
	struct nlattr *entry = info->attrs[ULS_A_SPA_ENTRY];
	unsigned int i;

	if (GENL_REQ_ATTR_CHECK(info, ULS_A_SPA_ENTRY))
		return -EINVAL;
	c->entry = nla_get_u64(entry);
	for (i = 0; i < c->nr_segments; i++)
		if (c->segment[i].prot & ULS_SEGMENT_PROT_EXEC &&
		    c->entry >= c->segment[i].offset &&
		    c->entry - c->segment[i].offset < c->segment[i].size)
			return 0;
	NL_SET_ERR_MSG_ATTR_FMT(info->extack, entry,
				"entry point %#llx lies in no executable segment",
				c->entry);
	return -EINVAL;
}

/**
 * uls_load_config() - read and check spa-begin
 * @info: the request
 * @c: zeroed; filled in
 *
 * Return: 0, -EINVAL, or -E2BIG for too much of something.
 */
int uls_load_config(struct genl_info *info, struct uls_spa_config *c)
{
	int err;

	err = load_name(info, c);
	if (!err)
		err = load_sizes(info, c);
	if (err)
		return err;

	if (GENL_REQ_ATTR_CHECK(info, ULS_A_SPA_IMAGE_SIZE))
		return -EINVAL;
	c->image_size = nla_get_u64(info->attrs[ULS_A_SPA_IMAGE_SIZE]);
	if (!c->image_size || !PAGE_ALIGNED(c->image_size) ||
	    c->image_size > ULS_IMAGE_MAX) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack,
					info->attrs[ULS_A_SPA_IMAGE_SIZE],
					"image of %llu bytes: must be whole pages, up to %llu",
					c->image_size, ULS_IMAGE_MAX);
		return -E2BIG;
	}
	err = load_repeated(info, c);
	return err ?: load_entry(info, c);
}
