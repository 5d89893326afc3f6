// SPDX-License-Identifier: GPL-2.0-only
/*
 * One account of time for each CPU.
 *
 * What upcalls take of a CPU, and all that is done for them at interrupt time,
 * is paid by a server: by the reservation of the port, on the CPU where that is
 * kept, or else by the CPU's pool.  With a share s that processes keep,
 *
 *	pool = (1 - s) - sum of the reservations that the CPU keeps
 *
 * so all servers of a CPU come to 1 - s, and that is the bound, without another
 * mechanism.  Reservations are admitted up to 0.9 (1 - s): the pool keeps at
 * least a tenth, for those who have none.
 *
 * Requests, upcalls made in a process that asked for them, are longer than what
 * a reservation holds and come on any CPU.  They are the pool's too, and wait
 * for a server of their own with half of its rate, so that neither they nor the
 * pool's other users can shut the other out.
 *
 * Owns the servers.  Those of a CPU are used on it alone, with bottom halves
 * off; a reservation, which moves, has a lock.
 */
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/lockdep.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/netlink.h>
#include <linux/percpu.h>
#include <linux/sched/clock.h>
#include <linux/smp.h>
#include <linux/time64.h>
#include <uapi/linux/uls_netlink.h>

#include "account.h"

/* So that parts per million of a CPU are nanoseconds of the pool's period. */
#define WHOLE			1000000U
#define POOL_PERIOD_NS		NSEC_PER_MSEC
static_assert(POOL_PERIOD_NS == WHOLE);

/*
 * What a pool may owe: all upcalls of a commit, with room.  Only the polls of a
 * device that goes down, which nobody may hold up, can come to more.
 */
#define POOL_DEBT_MAX_NS	(10 * ULS_BUDGET_MAX_NS)

struct cpu_account {
	struct uls_server pool, requests;
	u32 reserved;		/* account_lock; parts per million */
	u32 reservations;	/* account_lock */
	u64 taken_ns;
};

static DEFINE_PER_CPU(struct cpu_account, accounts);

/* Sums and placing; outside the lock of a reservation. */
static DEFINE_SPINLOCK(account_lock);
static LIST_HEAD(reservations);			/* account_lock */
static u32 share = ULS_CPU_SHARE_DEFAULT;	/* account_lock; per cent */
static enum cpuhp_state hotplug;

/* ---- Servers ---- */

/* Begin the period that now lies in; what was overdrawn stays owed. */
static void refill(struct uls_server *s, u64 now)
{
	unsigned int i;
	u64 n;

	/* The clock of another CPU may be a little ahead. */
	if ((s64)(now - s->start_ns) < (s64)s->period_ns)
		return;
	n = div64_u64(now - s->start_ns, s->period_ns);
	s->start_ns += n * s->period_ns;
	s->used_ns -= min(s->used_ns, n * READ_ONCE(s->runtime_ns));
	for (i = 0; i < ULS_DRAWERS; i++)
		s->by_ns[i] >>= min(n, 63ULL);
}

/* The ns until a period begins in which there is time again; 0: there is. */
static u64 server_wait(struct uls_server *s, u64 now)
{
	u64 runtime = READ_ONCE(s->runtime_ns);
	u64 n;

	if (s->used_ns < runtime)
		return 0;
	n = div64_u64(s->used_ns, runtime);
	return max_t(s64, s->start_ns + n * s->period_ns - now, 1);
}

/*
 * The same for a drawer.  NAPI instances come first in every period, since
 * their softirq does, and could leave nothing to ticks.  So where both want
 * some, the one who had more of late waits a moment for the other.
 */
static u64 draw_wait(struct uls_server *s, enum uls_drawer who, u64 now)
{
	enum uls_drawer other = !who;
	u64 wait;

	refill(s, now);
	wait = server_wait(s, now);
	if (!wait && s->wants[other] > now && s->by_ns[who] > s->by_ns[other])
		wait = s->period_ns / 16;
	s->wants[who] = wait ? now + wait + s->period_ns : 0;
	return wait;
}

static void server_charge(struct uls_server *s, u64 spent, u64 debt_max)
{
	s->used_ns = min(s->used_ns + spent,
			 READ_ONCE(s->runtime_ns) + debt_max);
}

/* Rounded up: so many parts per million are reserved. */
static u32 rate(const struct uls_server *s)
{
	if (!s->runtime_ns)
		return 0;
	return div64_u64(s->runtime_ns * WHOLE + s->period_ns - 1, s->period_ns);
}

/* ---- Pools ---- */

/* What all reservations of a CPU may come to. */
static u32 room(u32 percent)
{
	return (WHOLE - percent * (WHOLE / 100)) / 10 * 9;
}

static void pool_resize(struct cpu_account *a)
{
	u32 part = WHOLE - share * (WHOLE / 100) - a->reserved;

	lockdep_assert_held(&account_lock);
	WRITE_ONCE(a->pool.runtime_ns, part);
	WRITE_ONCE(a->requests.runtime_ns, part / 2);
}

/* ---- Reservations ---- */

static void take_home(struct uls_reservation *r, int cpu)
{
	struct cpu_account *a = per_cpu_ptr(&accounts, cpu);

	lockdep_assert_held(&account_lock);
	a->reserved += rate(&r->server);
	a->reservations++;
	pool_resize(a);
	WRITE_ONCE(r->cpu, cpu);
}

static void leave_home(struct uls_reservation *r)
{
	struct cpu_account *a;

	lockdep_assert_held(&account_lock);
	if (r->cpu < 0)
		return;
	a = per_cpu_ptr(&accounts, r->cpu);
	a->reserved -= rate(&r->server);
	a->reservations--;
	pool_resize(a);
	WRITE_ONCE(r->cpu, -1);
}

static u32 left(int cpu)
{
	u32 reserved = per_cpu_ptr(&accounts, cpu)->reserved;
	u32 most = room(share);

	return reserved < most ? most - reserved : 0;
}

/* The CPU with most room for reservations; @keep wins if it has @need. */
static int roomiest(int keep, u32 need)
{
	int cpu, best = -1;

	lockdep_assert_held(&account_lock);
	if (keep >= 0 && cpu_active(keep) && left(keep) >= need)
		return keep;
	for_each_cpu(cpu, cpu_active_mask)
		if (best < 0 || left(cpu) > left(best))
			best = cpu;
	return best;
}

void uls_account_init_reservation(struct uls_reservation *r)
{
	spin_lock_init(&r->lock);
	INIT_LIST_HEAD(&r->list);
	r->cpu = -1;
}

static void no_room(const struct uls_server *s, int best,
		    struct netlink_ext_ack *extack)
{
	u64 most = div_u64(s->period_ns * left(best), WHOLE);

	NL_SET_ERR_MSG_FMT(extack,
			   "no CPU has %lluus/%lluus left: CPU %d has most, %lluus",
			   div_u64(s->runtime_ns, NSEC_PER_USEC),
			   div_u64(s->period_ns, NSEC_PER_USEC), best,
			   div_u64(most, NSEC_PER_USEC));
}

/**
 * uls_account_reserve() - make, change or end a reservation
 * @r: a port's
 * @runtime_ns: within each period; 0: the pool pays
 * @period_ns: checked by the caller, as the runtime
 * @extack: if there is no room, says how much there is
 *
 * Return: 0, or -ENOSPC without room; then nothing has changed.
 */
int uls_account_reserve(struct uls_reservation *r, u64 runtime_ns,
			u64 period_ns, struct netlink_ext_ack *extack)
{
	struct uls_server wanted = {
		.runtime_ns = runtime_ns,
		.period_ns = period_ns,
		.start_ns = local_clock(),
	};
	int cpu, old, err = 0;

	spin_lock_bh(&account_lock);
	old = r->cpu;
	leave_home(r);
	cpu = roomiest(old, rate(&wanted));
	if (runtime_ns && left(cpu) < rate(&wanted)) {
		no_room(&wanted, cpu, extack);
		if (old >= 0)
			take_home(r, old);
		err = -ENOSPC;
		goto out;
	}
	spin_lock(&r->lock);
	/* Debt stays, or who asks for a change would be rid of it. */
	if (runtime_ns)
		wanted.used_ns = min(r->server.used_ns, runtime_ns + period_ns);
	r->server = wanted;
	if (runtime_ns)
		take_home(r, cpu);
	spin_unlock(&r->lock);
	if (runtime_ns && list_empty(&r->list))
		list_add_tail(&r->list, &reservations);
	else if (!runtime_ns)
		list_del_init(&r->list);
out:
	spin_unlock_bh(&account_lock);
	return err;
}

/* Nobody polls any more. */
void uls_account_release(struct uls_reservation *r)
{
	uls_account_reserve(r, 0, 0, NULL);
}

/* A NAPI instance is polled elsewhere than its reservation is kept. */
static void move_here(struct uls_reservation *r, u64 now)
{
	int cpu = smp_processor_id();

	if (now < r->retry_ns)
		return;
	/* It may have been this CPU's last. */
	r->retry_ns = now + 10 * POOL_PERIOD_NS;
	spin_lock(&account_lock);
	if (r->server.runtime_ns && r->cpu != cpu && cpu_active(cpu) &&
	    left(cpu) >= rate(&r->server)) {
		spin_lock(&r->lock);
		leave_home(r);
		take_home(r, cpu);
		spin_unlock(&r->lock);
	}
	spin_unlock(&account_lock);
}

/* Does the reservation pay on this CPU? */
static bool is_own(const struct uls_reservation *r)
{
	return READ_ONCE(r->cpu) == smp_processor_id();
}

static u64 own_wait(struct uls_reservation *r, enum uls_drawer who, u64 now)
{
	u64 wait;

	spin_lock(&r->lock);
	/* Unless it has just ended. */
	wait = r->server.runtime_ns ? draw_wait(&r->server, who, now) : 0;
	spin_unlock(&r->lock);
	return wait;
}

static void charge(struct uls_reservation *r, enum uls_drawer who, u64 spent)
{
	struct cpu_account *a = this_cpu_ptr(&accounts);

	a->taken_ns += spent;
	if (is_own(r)) {
		spin_lock(&r->lock);
		r->server.by_ns[who] += spent;
		server_charge(&r->server, spent, r->server.period_ns);
		spin_unlock(&r->lock);
	} else {
		a->pool.by_ns[who] += spent;
		server_charge(&a->pool, spent, POOL_DEBT_MAX_NS);
	}
}

/* ---- What is drawn ---- */

/**
 * uls_account_poll_begin() - may a NAPI instance be polled?
 * @r: of its port
 * @now: local_clock()
 *
 * Softirq.
 *
 * Return: 0, or ns until there is time again.
 */
u64 uls_account_poll_begin(struct uls_reservation *r, u64 now)
{
	if (READ_ONCE(r->server.runtime_ns) && !is_own(r))
		move_here(r, now);
	if (is_own(r))
		return own_wait(r, ULS_DRAWER_NAPI, now);
	return draw_wait(this_cpu_ptr(&accounts.pool), ULS_DRAWER_NAPI, now);
}

void uls_account_poll_end(struct uls_reservation *r, u64 now, u64 spent)
{
	if (!is_own(r))
		r->pool_polls++;
	charge(r, ULS_DRAWER_NAPI, spent);
}

/**
 * uls_account_wait() - may a timer make upcalls?
 * @r: of the port
 * @own: whether its reservation pays, or the pool
 *
 * Bottom halves are off.
 *
 * Return: 0, or ns until there is time again.
 */
u64 uls_account_wait(struct uls_reservation *r, bool *own)
{
	u64 now = local_clock();

	*own = is_own(r);
	if (*own)
		return own_wait(r, ULS_DRAWER_TIMER, now);
	return draw_wait(this_cpu_ptr(&accounts.pool), ULS_DRAWER_TIMER, now);
}

/* What a timer took, on the CPU on which it did. */
void uls_account_charge(struct uls_reservation *r, u64 spent)
{
	charge(r, ULS_DRAWER_TIMER, spent);
}

/* May a process have an upcall made on this CPU?  As uls_account_wait(). */
u64 uls_account_request_wait(void)
{
	struct cpu_account *a = this_cpu_ptr(&accounts);
	u64 now = local_clock();

	refill(&a->requests, now);
	return server_wait(&a->requests, now);
}

void uls_account_request_charge(u64 spent)
{
	struct cpu_account *a = this_cpu_ptr(&accounts);

	a->taken_ns += spent;
	refill(&a->pool, local_clock());
	server_charge(&a->pool, spent, POOL_DEBT_MAX_NS);
	server_charge(&a->requests, spent, POOL_DEBT_MAX_NS);
}

/* ---- The share of processes ---- */

/* Per cent of each CPU. */
u32 uls_account_share(void)
{
	return READ_ONCE(share);
}

/**
 * uls_account_set_share() - change what processes keep of each CPU
 * @percent: checked by the caller
 * @extack: says what is in the way
 *
 * Return: 0, or -EBUSY if more is reserved than would be left.
 */
int uls_account_set_share(u32 percent, struct netlink_ext_ack *extack)
{
	u32 most = 0, reserved;
	int cpu, worst = 0;

	spin_lock_bh(&account_lock);
	for_each_possible_cpu(cpu) {
		reserved = per_cpu_ptr(&accounts, cpu)->reserved;
		if (reserved > most) {
			most = reserved;
			worst = cpu;
		}
	}
	if (most > room(percent)) {
		spin_unlock_bh(&account_lock);
		NL_SET_ERR_MSG_FMT(extack,
				   "%u.%u %% of CPU %d are reserved; a share of %u %% has room for %u.%u %%",
				   most / 10000, most / 1000 % 10, worst,
				   percent, room(percent) / 10000,
				   room(percent) / 1000 % 10);
		return -EBUSY;
	}
	WRITE_ONCE(share, percent);
	for_each_possible_cpu(cpu)
		pool_resize(per_cpu_ptr(&accounts, cpu));
	spin_unlock_bh(&account_lock);
	return 0;
}

void uls_account_describe(unsigned int cpu, struct uls_cpu_account *out)
{
	const struct cpu_account *a = per_cpu_ptr(&accounts, cpu);

	spin_lock_bh(&account_lock);
	*out = (struct uls_cpu_account){
		.reservations = a->reservations,
		.reserved = a->reserved,
		.left = left(cpu),
		.pool = a->pool.runtime_ns,
		.taken_ns = READ_ONCE(a->taken_ns),
	};
	spin_unlock_bh(&account_lock);
}

/*
 * Its reservations go where there is room.  One that finds none is kept nowhere
 * until it is polled on a CPU that has some.
 */
static int cpu_goes(unsigned int cpu)
{
	struct uls_reservation *r;
	int next;

	/* It is not active any more, so none comes back to it. */
	spin_lock_bh(&account_lock);
	list_for_each_entry(r, &reservations, list) {
		if (r->cpu != cpu)
			continue;
		spin_lock(&r->lock);
		leave_home(r);
		next = roomiest(-1, 0);
		if (next >= 0 && left(next) >= rate(&r->server))
			take_home(r, next);
		spin_unlock(&r->lock);
	}
	spin_unlock_bh(&account_lock);
	return 0;
}

int uls_account_init(void)
{
	struct cpu_account *a;
	int cpu, err;

	spin_lock_bh(&account_lock);
	for_each_possible_cpu(cpu) {
		a = per_cpu_ptr(&accounts, cpu);
		a->pool.period_ns = POOL_PERIOD_NS;
		a->requests.period_ns = POOL_PERIOD_NS;
		pool_resize(a);
	}
	spin_unlock_bh(&account_lock);
	err = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "uls/account",
					NULL, cpu_goes);
	if (err < 0)
		return err;
	hotplug = err;
	return 0;
}

void uls_account_exit(void)
{
	cpuhp_remove_state_nocalls(hotplug);
	WARN_ON(!list_empty(&reservations));
}
