/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM uls

#if !defined(_ULS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _ULS_TRACE_H

#include <linux/tracepoint.h>
#include <linux/uls.h>

#include "record.h"

TRACE_EVENT(uls_upcall,
	TP_PROTO(u32 id, u32 reason, u32 context, const struct uls_report *rep,
		 u32 rx, u32 tx),
	TP_ARGS(id, reason, context, rep, rx, tx),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u32, reason)
		__field(u32, context)
		__field(u32, status)
		__field(u64, ns)
		__field(u32, interrupts)
		__field(u32, cs)
		__field(u32, rx)
		__field(u32, tx)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->reason = reason;
		__entry->context = context;
		__entry->status = rep->status;
		__entry->ns = rep->end_ns - rep->start_ns;
		__entry->interrupts = rep->interrupts;
		__entry->cs = rep->cs;
		__entry->rx = rx;
		__entry->tx = tx;
	),
	TP_printk("id=%u reason=%s context=%s status=%u ns=%llu interrupts=%u cs=%#x rx=%u tx=%u",
		  __entry->id,
		  __print_symbolic(__entry->reason,
				   { ULS_UP_INIT, "init" },
				   { ULS_UP_RX, "rx" },
				   { ULS_UP_TICK, "tick" },
				   { ULS_UP_CONTROL, "control" },
				   { ULS_UP_FINI, "fini" },
				   { ULS_UP_NOP, "nop" }),
		  __print_symbolic(__entry->context,
				   { ULS_CONTEXT_USER, "user" },
				   { ULS_CONTEXT_KERNEL, "kernel" },
				   { ULS_CONTEXT_KTHREAD, "kthread" },
				   { ULS_CONTEXT_IDLE, "idle" },
				   { ULS_CONTEXT_KSOFTIRQD, "ksoftirqd" },
				   { ULS_CONTEXT_NETLINK, "netlink" }),
		  __entry->status, __entry->ns, __entry->interrupts,
		  __entry->cs, __entry->rx, __entry->tx)
);

/* An upcall that was due and could not be made here. */
TRACE_EVENT(uls_refused,
	TP_PROTO(u32 id, u32 reason, int err),
	TP_ARGS(id, reason, err),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u32, reason)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->reason = reason;
		__entry->err = err;
	),
	TP_printk("id=%u reason=%u error=%d", __entry->id, __entry->reason,
		  -__entry->err)
);

TRACE_EVENT(uls_abort,
	TP_PROTO(u32 id, const struct uls_abort *why),
	TP_ARGS(id, why),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u32, cause)
		__field(u32, vector)
		__field(u32, reason)
		__field(u64, error_code)
		__field(u64, address)
		__field(u64, ip)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->cause = why->cause;
		__entry->vector = why->vector;
		__entry->reason = why->reason;
		__entry->error_code = why->error_code;
		__entry->address = why->address;
		__entry->ip = why->ip;
	),
	TP_printk("id=%u cause=%s vector=%u error=%#llx address=%#llx ip=%#llx reason=%u",
		  __entry->id,
		  __print_symbolic(__entry->cause,
				   { ULS_CAUSE_FAULT, "fault" },
				   { ULS_CAUSE_BUDGET, "budget" },
				   { ULS_CAUSE_SERVICE, "service" },
				   { ULS_CAUSE_SELF, "self" },
				   { ULS_CAUSE_DEVICE, "device" },
				   { ULS_CAUSE_INIT, "init" }),
		  __entry->vector, __entry->error_code, __entry->address,
		  __entry->ip, __entry->reason)
);

DECLARE_EVENT_CLASS(uls_life,
	TP_PROTO(const struct uls_spa *spa),
	TP_ARGS(spa),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u32, ifindex)
		__string(name, spa->config.name)
	),
	TP_fast_assign(
		__entry->id = spa->id;
		__entry->ifindex = spa->ifindex;
		__assign_str(name);
	),
	TP_printk("id=%u name=%s ifindex=%u", __entry->id, __get_str(name),
		  __entry->ifindex)
);

DEFINE_EVENT(uls_life, uls_mapped,
	TP_PROTO(const struct uls_spa *spa), TP_ARGS(spa));
DEFINE_EVENT(uls_life, uls_unmapped,
	TP_PROTO(const struct uls_spa *spa), TP_ARGS(spa));

#endif /* _ULS_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
