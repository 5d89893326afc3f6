// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dispatch: one upcall, its services, its account, and what it may end in.
 *
 * Owns nothing: whoever wants an upcall holds the port's lock, which keeps the
 * SPA live, and what is written of port and SPA here is written under it.
 */
#include <linux/minmax.h>
#include <linux/netlink.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <asm/trapnr.h>

#include "abort.h"
#include "frames.h"
#include "record.h"
#include "stats.h"
#include "trace.h"
#include "upcall.h"

static_assert(ULS_PROT_READ == (int)ULS_SEGMENT_PROT_READ);
static_assert(ULS_PROT_WRITE == (int)ULS_SEGMENT_PROT_WRITE);
static_assert(ULS_PROT_EXEC == (int)ULS_SEGMENT_PROT_EXEC);

/**
 * uls_context_now() - what the running softirq interrupted
 *
 * An interrupt out of user mode is handled on the task's own stack, one out
 * of the kernel, or a softirq run by local_bh_enable(), on the CPU's interrupt
 * stack.
 *
 * Return: anything but ULS_CONTEXT_NETLINK.
 */
enum uls_context uls_context_now(void)
{
	if (is_idle_task(current))
		return ULS_CONTEXT_IDLE;
	if (current->flags & PF_KTHREAD)
		return strncmp(current->comm, "ksoftirqd/", 10) ?
		       ULS_CONTEXT_KTHREAD : ULS_CONTEXT_KSOFTIRQD;
	return on_thread_stack() ? ULS_CONTEXT_USER : ULS_CONTEXT_KERNEL;
}

/*
 * Called with interrupts off, and with every register but the number of the
 * service at the SPA's choice.
 */
static bool service(void *priv, struct pt_regs *regs, u64 deadline)
{
	struct uls_services *state = priv;
	u64 now;

	switch (regs->ax) {
	case ULS_SYS_CLOCK:
		regs->ax = ktime_get_ns();
		return true;
	case ULS_SYS_BUDGET:
		now = local_clock();
		regs->ax = now < deadline ? deadline - now : 0;
		return true;
	case ULS_SYS_CPU:
		regs->ax = smp_processor_id();
		return true;
	case ULS_SYS_ABORT:
		state->abort_code = regs->di;
		return false;
	default:
		return false;
	}
}

/*
 * The SPA's own budget bounds what it may take of others at interrupt time.
 * Setting up, control and tidying up are done for, and in the time of, whoever
 * asked for them.
 */
static u64 uls_upcall_budget(const struct uls_spa *spa, enum uls_reason reason)
{
	switch (reason) {
	case ULS_UP_INIT:
	case ULS_UP_CONTROL:
	case ULS_UP_FINI:
	case ULS_UP_NOP:	/* of the bench command alone */
		return ULS_BUDGET_MAX_NS;
	default:
		return READ_ONCE(spa->budget_ns);
	}
}

/* The CPU must not change between this and the upcall. */
void uls_upcall_prepare(struct uls_spa *spa, enum uls_reason reason, u64 arg,
			struct uls_services *state, struct uls_call *call)
{
	*call = (struct uls_call){
		.entry = spa->base + spa->config.entry,
		.stack = uls_region_stack(spa->base, smp_processor_id()),
		.arg = { reason, arg, spa->base + ULS_OFF_INFO },
		.budget_ns = uls_upcall_budget(spa, reason),
		.fpu = spa->config.flags & ULS_MANIFEST_FPU,
		.service = service,
		.priv = state,
	};
}

/* Other vectors leave what the entry code put in the error code's place. */
static bool pushes_error_code(unsigned int vector)
{
	switch (vector) {
	case X86_TRAP_DF:
	case X86_TRAP_TS:
	case X86_TRAP_NP:
	case X86_TRAP_SS:
	case X86_TRAP_GP:
	case X86_TRAP_PF:
	case X86_TRAP_AC:
	case X86_TRAP_CP:
		return true;
	default:
		return false;
	}
}

/**
 * uls_upcall_verdict() - was that the end of the SPA?
 * @rep: how the upcall ended
 * @state: of its services
 * @reason: of the upcall
 * @why: filled in if it was
 *
 * Return: 0 if the SPA may go on, or the errno that stands for its abort.
 */
int uls_upcall_verdict(const struct uls_report *rep,
		       const struct uls_services *state,
		       enum uls_reason reason, struct uls_abort *why)
{
	if (likely(rep->status == ULS_RETURNED))
		return 0;

	*why = (struct uls_abort){
		.vector = rep->vector,
		.error_code = rep->error_code,
		.address = rep->addr,
		.ip = rep->ip,
		.sp = rep->sp,
		.reason = reason,
	};
	switch (rep->status) {
	case ULS_OVERRAN:
		why->cause = ULS_CAUSE_BUDGET;
		return -ETIME;
	case ULS_BAD_SERVICE:
		/* The 32-bit entries share no service with this one. */
		if (rep->vector == ULS_EXIT_SYSCALL &&
		    rep->addr == ULS_SYS_ABORT) {
			why->cause = ULS_CAUSE_SELF;
			why->address = state->abort_code;
			return -ECANCELED;
		}
		why->cause = ULS_CAUSE_SERVICE;
		return -EPROTO;
	default:
		why->cause = ULS_CAUSE_FAULT;
		if (!pushes_error_code(rep->vector))
			why->error_code = 0;
		return -EFAULT;
	}
}

static void account(struct uls_spa *spa, enum uls_reason reason,
		    enum uls_context context, const struct uls_report *rep,
		    u32 rx, u32 tx)
{
	struct uls_stats *s = this_cpu_ptr(spa->stats);

	s->upcalls[reason]++;
	s->contexts[context]++;
	s->rx_frames += rx;
	s->tx_frames += tx;
	s->interrupts += rep->interrupts;
	s->last_ns = rep->end_ns;
	s->last_cs = rep->cs;
	s->last_cpu = smp_processor_id();
	uls_stats_duration(s, rep->end_ns - rep->start_ns, 1);
}

/**
 * uls_upcall_run() - call into an SPA
 * @spa: has a port, whose lock the caller holds
 * @reason: why
 * @arg: second argument of the entry point; for RX it is found out here
 * @context: what the upcall interrupts
 * @result: where to put what the SPA returned, or NULL
 *
 * An SPA that did not come back properly is aborted before this returns.
 *
 * Return: 0, -EFAULT, -ETIME, -EPROTO or -ECANCELED if it was aborted, or the
 * error of uls_upcall() if no upcall could be made here.
 */
int uls_upcall_run(struct uls_spa *spa, enum uls_reason reason, u64 arg,
		   enum uls_context context, s64 *result)
{
	const struct task_struct *task = current;
	unsigned long switches = task->nvcsw + task->nivcsw;
	unsigned int cpu = smp_processor_id();
	struct uls_port *port = spa->port;
	struct uls_services state = {};
	struct uls_abort why;
	struct uls_report rep;
	struct uls_call call;
	u32 rx, tx, seen;
	int err;

	lockdep_assert_held(&port->lock);

	seen = port->rx_seen;
	rx = uls_port_rx_frames(port);
	if (reason == ULS_UP_RX)
		arg = rx;
	uls_upcall_prepare(spa, reason, arg, &state, &call);
	err = uls_upcall(spa->sandbox, &call, &rep);
	if (unlikely(err)) {
		/* The next one counts and announces these frames. */
		port->rx_seen = seen;
		trace_uls_refused(spa->id, reason, err);
		return err;
	}

	port->kick = true;
	tx = uls_port_tx_frames(port);
	account(spa, reason, context, &rep, rx, tx);
	if (unlikely(task->nvcsw + task->nivcsw != switches))
		this_cpu_ptr(spa->stats)->context_switches +=
			task->nvcsw + task->nivcsw - switches;
	if (unlikely(task != current || cpu != smp_processor_id()))
		this_cpu_ptr(spa->stats)->migrations++;
	trace_uls_upcall(spa->id, reason, context, &rep, rx, tx);

	err = uls_upcall_verdict(&rep, &state, reason, &why);
	if (unlikely(err)) {
		uls_spa_abort(spa, &why);
		return err;
	}
	if (result)
		*result = rep.value;
	return 0;
}

/**
 * uls_upcall_explain() - why uls_upcall_run() failed
 * @spa: it was called for
 * @err: what it returned
 * @extack: one line for a person; an abort's event has the numbers as well
 */
void uls_upcall_explain(const struct uls_spa *spa, int err,
			struct netlink_ext_ack *extack)
{
	const struct uls_abort *why = &spa->abort;

	switch (why->cause) {
	case ULS_CAUSE_FAULT:
		NL_SET_ERR_MSG_FMT(extack,
				   "SPA faulted: vector %u, address %#llx, ip %#llx",
				   why->vector, why->address, why->ip);
		break;
	case ULS_CAUSE_BUDGET:
		NL_SET_ERR_MSG_FMT(extack, "SPA ran past its budget at ip %#llx",
				   why->ip);
		break;
	case ULS_CAUSE_SERVICE:
		NL_SET_ERR_MSG_FMT(extack,
				   "SPA called unknown service %#llx at ip %#llx",
				   why->address, why->ip);
		break;
	case ULS_CAUSE_SELF:
		NL_SET_ERR_MSG_FMT(extack, "SPA gave up with code %#llx",
				   why->address);
		break;
	default:
		/* With the caller's own FPU state nothing else says so. */
		if (err == -EAGAIN)
			NL_SET_ERR_MSG(extack,
				       "this CPU holds state of a virtual machine: try again from another CPU");
		else
			NL_SET_ERR_MSG_FMT(extack,
					   "no upcall could be made: error %d",
					   -err);
	}
}

/**
 * uls_upcall_answer() - may the request that an upcall was made for go on?
 * @reason: INIT or CONTROL
 * @result: what the SPA returned
 * @extack: tells the SPA's own number
 *
 * An SPA must not choose the error of a request: -EINTR would have netlink give
 * no answer, -EPERM be taken for the caller's lack of a capability, and
 * what is no errno at all be passed to whoever takes it for one.
 *
 * Return: 0, or -EREMOTEIO whatever negative number it was.
 */
int uls_upcall_answer(enum uls_reason reason, s64 result,
		      struct netlink_ext_ack *extack)
{
	if (result >= 0)
		return 0;
	NL_SET_ERR_MSG_FMT(extack, "the SPA's %s returned %lld",
			   reason == ULS_UP_INIT ? "INIT" : "CONTROL", result);
	return -EREMOTEIO;
}
