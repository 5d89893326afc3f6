// SPDX-License-Identifier: Apache-2.0
/* boot CPUS PORTS: the guest is the machine the lab promises. Prints TAP. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int checks, failed;

static void check(int good, const char *what, const char *detail)
{
	checks++;
	failed += !good;
	printf("%sok %d - %s%s%s\n", good ? "" : "not ", checks, what, detail[0] ? ": " : "", detail);
	fflush(stdout);
}

/* Reads a whole file of /proc; the text is empty if there is none. */
static const char *file_text(const char *path)
{
	static char text[65536];
	size_t n = 0;
	FILE *f = fopen(path, "r");

	if (f) {
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
	}
	text[n] = 0;
	return text;
}

/* Runs on each CPU in turn: finding a CPU and being able to use it are two things. */
static void check_cpus(int want)
{
	char detail[64];
	int ran = 0;

	for (int cpu = 0; cpu < want; cpu++) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		ran += sched_setaffinity(0, sizeof(set), &set) == 0 && sched_getcpu() == cpu;
	}
	snprintf(detail, sizeof(detail), "%ld online, ran on %d of %d", sysconf(_SC_NPROCESSORS_ONLN), ran, want);
	check(sysconf(_SC_NPROCESSORS_ONLN) == want && ran == want, "every CPU is online and runs", detail);
}

static void check_flags(void)
{
	static const char *const wanted[] = { " smep", " smap", " fsgsbase", " pku" };
	const char *info = file_text("/proc/cpuinfo");

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		check(strstr(info, wanted[i]) != NULL, "the CPU has", wanted[i] + 1);
	check(strstr(info, " la57") == NULL, "page tables have four levels", "");
}

static void check_ports(int want)
{
	char detail[32];
	int found = 0;

	for (int i = 0; i < want; i++) {
		char path[64], driver[256];
		ssize_t n;

		snprintf(path, sizeof(path), "/sys/class/net/eth%d/device/driver", i);
		n = readlink(path, driver, sizeof(driver) - 1);
		driver[n > 0 ? n : 0] = 0;
		found += strstr(driver, "/e1000e") != NULL;
	}
	snprintf(detail, sizeof(detail), "%d of %d", found, want);
	check(found == want, "e1000e ports", detail);
}

static void check_mounts(void)
{
	static const char *const wanted[] = {
		" /proc proc ", " /sys sysfs ", " /dev devtmpfs ", " /sys/kernel/debug debugfs ",
		" /sys/kernel/tracing tracefs ", " /sys/fs/bpf bpf ", " /dev/hugepages hugetlbfs ",
		" /results tmpfs ",
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		check(strstr(file_text("/proc/mounts"), wanted[i]) != NULL, "mounted", wanted[i] + 1);
}

static void check_huge_page(void)
{
	const size_t size = 2 << 20;
	int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY);
	void *page = MAP_FAILED;

	if (fd >= 0 && write(fd, "4", 1) == 1)
		page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (page != MAP_FAILED)
		memset(page, 1, size);
	check(page != MAP_FAILED, "a huge page can be had", page == MAP_FAILED ? strerror(errno) : "");
}

/* Time must pass while the machine sleeps, or nothing can be paced. */
static void check_clock(void)
{
	struct timespec before, after, nap = { .tv_nsec = 20000000 };

	clock_gettime(CLOCK_MONOTONIC, &before);
	nanosleep(&nap, NULL);
	clock_gettime(CLOCK_MONOTONIC, &after);
	long ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
	char detail[32];

	snprintf(detail, sizeof(detail), "%ld ms", ms);
	check(ms >= 20 && ms < 5000, "a nap of 20 ms takes about that", detail);
}

int main(int argc, char **argv)
{
	struct utsname name;

	if (argc != 3) {
		fprintf(stderr, "usage: boot CPUS PORTS\n");
		return 2;
	}
	uname(&name);
	check(strstr(name.release, "-uls") != NULL, "this is our kernel", name.release);
	check_cpus(atoi(argv[1]));
	check_flags();
	check_ports(atoi(argv[2]));
	check_mounts();
	check_huge_page();
	check_clock();
	printf("1..%d\n", checks);
	return failed != 0;
}
