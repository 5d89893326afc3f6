// SPDX-License-Identifier: Apache-2.0
/*
 * microbench: what the ways to reach user code, or to leave it, cost in this
 * guest. Prints one JSON object a line: smallest, median and mean of COUNT
 * samples, in ticks of the time stamp counter (in an exact guest: instructions)
 * and in nanoseconds of CLOCK_MONOTONIC over the whole series.
 *
 *	microbench [COUNT]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define COUNT_MAX 100000

static uint64_t samples[COUNT_MAX];
static uint32_t count = 2000;
static volatile sig_atomic_t hits;
static pid_t self, other;
static int to[2], back[2];

static void die(const char *what)
{
	fprintf(stderr, "microbench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The raw instruction, so that no library code is measured. */
static inline long raw_syscall(long number)
{
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "0"(number) : "rcx", "r11", "memory");
	return result;
}

static void op_nothing(void) {}
static void op_getppid(void) { raw_syscall(SYS_getppid); }
static void op_getpid(void) { raw_syscall(SYS_getpid); }

static void on_signal(int sig)
{
	(void)sig;
	hits++;
}

/* A signal to oneself is delivered on the way out of kill(). */
static void op_signal_self(void)
{
	kill(self, SIGUSR1);
}

/* To the other process's handler, which signals back to ours. */
static void op_signal_other(void)
{
	sig_atomic_t before = hits;
	sigset_t none;

	sigemptyset(&none);
	kill(other, SIGUSR2);
	while (hits == before)
		sigsuspend(&none);
}

static void op_pipe(void)
{
	char c = 0;

	if (write(to[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
		die("pipe ping-pong");
}

static void answer(int sig)
{
	(void)sig;
	kill(getppid(), SIGUSR1);
}

/* Starts the process that answers; stop_other() ends it. */
static void start_other(int with_signals)
{
	sigset_t set;

	/* The answer must find us inside sigsuspend(), not before it. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (with_signals)
		sigprocmask(SIG_BLOCK, &set, NULL);
	if (pipe(to) || pipe(back))
		die("pipe");
	other = fork();
	if (other < 0)
		die("fork");
	if (!other) {
		char c;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGUSR2, answer);
		if (write(back[1], "r", 1) != 1)
			_exit(1);
		while (with_signals)
			pause();
		while (read(to[0], &c, 1) == 1 && write(back[1], &c, 1) == 1)
			;
		_exit(0);
	}
	char c;

	if (read(back[0], &c, 1) != 1)
		die("the other process did not start");
}

static void stop_other(void)
{
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	for (int i = 0; i < 2; i++) {
		close(to[i]);
		close(back[i]);
	}
}

static void measure(const char *name, void (*op)(void))
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < 100; i++)
		op(); /* caches and page tables */
	for (uint32_t i = 0; i < count; i++) {
		uint64_t begin = __rdtsc();

		op();
		samples[i] = __rdtsc() - begin;
		sum += samples[i];
	}
	uint64_t begin = now_ns();

	for (uint32_t i = 0; i < count; i++)
		op();
	uint64_t ns = now_ns() - begin;

	qsort(samples, count, sizeof(*samples), by_value);
	printf("{\"name\":\"%s\",\"count\":%u,\"min\":%" PRIu64 ",\"median\":%" PRIu64
	       ",\"mean\":%.6g,\"ns_mean\":%.6g}\n",
	       name, count, samples[0], samples[count / 2], (double)sum / count, (double)ns / count);
}

int main(int argc, char **argv)
{
	if (argc == 2)
		count = (uint32_t)strtoul(argv[1], NULL, 10);
	if (argc > 2 || !count || count > COUNT_MAX) {
		fprintf(stderr, "usage: microbench [COUNT], at most %d\n", COUNT_MAX);
		return 2;
	}
	self = getpid();

	struct sigaction act = { .sa_handler = on_signal };

	if (sigaction(SIGUSR1, &act, NULL) || mlockall(MCL_CURRENT | MCL_FUTURE))
		die("set-up");
	measure("nothing", op_nothing);
	measure("getppid", op_getppid);
	measure("getpid", op_getpid);
	measure("signal-self", op_signal_self);
	start_other(0);
	measure("pipe-pingpong", op_pipe);
	stop_other();
	start_other(1);
	measure("signal-other", op_signal_other);
	stop_other();
	return 0;
}
