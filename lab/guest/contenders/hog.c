// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "hog.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct progress {
	volatile uint64_t units;
	uint64_t pad[7];	/* a cache line each */
};

static struct progress *progress;
static pid_t pids[HOG_MAX];
static int count;

/*
 * One unit is a straight run of HOG_UNIT arithmetic instructions: under emulation
 * such code runs fastest, so a busy guest costs the least real time.
 */
static void spin(struct progress *p)
{
	uint64_t a = 1, b = 2;

	for (;;) {
		__asm__ volatile(".rept 256\n\tlea 1(%0,%1), %0\n\tlea 3(%1,%0), %1\n\t.endr"
				 : "+r"(a), "+r"(b));
		p->units++;
	}
}

void hogs_start(int n)
{
	struct sched_param other = { 0 };

	if (n > HOG_MAX) {
		fprintf(stderr, "at most %d background processes\n", HOG_MAX);
		exit(2);
	}
	progress = mmap(NULL, HOG_MAX * sizeof(*progress), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (progress == MAP_FAILED) {
		perror("background: mmap");
		exit(1);
	}
	for (count = 0; count < n; count++) {
		pids[count] = fork();
		if (pids[count] < 0) {
			perror("background: fork");
			exit(1);
		}
		if (!pids[count]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			prctl(PR_SET_NAME, "hog");
			if (sched_setscheduler(0, SCHED_OTHER, &other))
				_exit(1);
			spin(&progress[count]);
		}
	}
}

void hogs_stop(void)
{
	for (int i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < count; i++)
		waitpid(pids[i], NULL, 0);
	count = 0;
}

uint64_t hogs_progress(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < count; i++)
		sum += progress[i].units;
	return sum;
}
