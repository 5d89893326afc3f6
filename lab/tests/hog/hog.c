// SPDX-License-Identifier: Apache-2.0
/*
 * hog - busy processes, pinned, and what they could do between two readings of
 * the time stamp counter.
 *
 *	hog FROM UNTIL PROCESSES CPU...
 *
 * Runs that many processes on each of the CPUs. Prints a line for each CPU:
 * its number, the units of work that all its processes did, the fewest that one
 * of them did, and the longest time in which none of them did any.
 *
 * Nobody has to measure while the guest stands still: each process looks at the
 * counter itself after each unit.
 *
 * PAUSE: with several CPUs in an exact guest one thread emulates them all in
 * turn, and QEMU lets the next one have its turn when this one pauses or halts,
 * but not when its time is over: a busy CPU 0 starves all others. So whatever
 * keeps a CPU busy in such a test pauses after equally many instructions, and
 * all CPUs go on side by side, each at its part of the speed. A share is
 * therefore told against the same processes in the idle guest.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define CPUS_MAX	8
#define PROCESSES_MAX	256
#define EARLY_NS	10000000u	/* awake before the time that is measured */

/* Of one CPU; its processes write it in turn. */
struct work {
	volatile uint64_t last;		/* time stamp of the last unit of any process */
	volatile uint64_t longest;	/* between two units */
	volatile uint64_t units[PROCESSES_MAX];
} __attribute__((aligned(4096)));

static uint64_t stamp(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static void unit(void)
{
	uint64_t a = 1, b = 2;

	__asm__ volatile(".rept 256\n\tlea 1(%0,%1), %0\n\tlea 3(%1,%0), %1\n\t.endr\n\tpause"
			 : "+r"(a), "+r"(b));
}

static void gap(struct work *w, uint64_t now)
{
	if (now > w->last && now - w->last > w->longest)
		w->longest = now - w->last;
	w->last = now;
}

static void run(struct work *w, int self, uint64_t from, uint64_t until)
{
	uint64_t now = stamp();

	/*
	 * Whoever starts the others shall not have to compete with them; but a
	 * wake-up may be late, so be there early. One tick is one nanosecond.
	 */
	if (now + EARLY_NS < from)
		usleep((useconds_t)((from - now - EARLY_NS) / 1000));
	now = stamp();
	while (now < from) {
		unit();
		now = stamp();
	}
	while (now < until) {
		gap(w, now);
		unit();
		now = stamp();
		if (now < until)
			w->units[self]++;
	}
	gap(w, until);
	_exit(0);
}

static void start(struct work *w, int cpu, int self, uint64_t from, uint64_t until)
{
	pid_t pid = fork();
	cpu_set_t set;

	if (pid < 0) {
		perror("hog: fork");
		exit(1);
	}
	if (pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("hog: sched_setaffinity");
		_exit(1);
	}
	run(w, self, from, until);
}

static void print(const struct work *w, int cpu, int processes)
{
	uint64_t sum = 0, least = UINT64_MAX;

	for (int i = 0; i < processes; i++) {
		sum += w->units[i];
		if (w->units[i] < least)
			least = w->units[i];
	}
	printf("%d %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", cpu, sum, least, w->longest);
}

int main(int argc, char **argv)
{
	int processes, status, bad = 0;
	uint64_t from, until;
	struct work *work;

	if (argc < 5 || argc > 4 + CPUS_MAX) {
		fprintf(stderr, "usage: hog FROM UNTIL PROCESSES CPU...\n");
		return 2;
	}
	from = strtoull(argv[1], NULL, 10);
	until = strtoull(argv[2], NULL, 10);
	processes = atoi(argv[3]);
	if (processes < 1 || processes > PROCESSES_MAX || until <= from || stamp() >= from) {
		fprintf(stderr, "hog: 1 to %d processes, and a time that is to come\n", PROCESSES_MAX);
		return 2;
	}
	work = mmap(NULL, CPUS_MAX * sizeof(*work), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (work == MAP_FAILED) {
		perror("hog: mmap");
		return 1;
	}
	for (int c = 0; c < argc - 4; c++) {
		work[c].last = from;
		for (int i = 0; i < processes; i++)
			start(&work[c], atoi(argv[4 + c]), i, from, until);
	}
	if (stamp() >= from) {
		fprintf(stderr, "hog: not all were there when the time began\n");
		return 1;
	}
	while (wait(&status) > 0 || errno == EINTR)
		bad |= status;
	if (bad)
		return 1;
	for (int c = 0; c < argc - 4; c++)
		print(&work[c], atoi(argv[4 + c]), processes);
	return 0;
}
