// SPDX-License-Identifier: Apache-2.0
/*
 * labpoint: one measured point inside the guest. Starts the background and, for
 * the user-socket contender, the forwarder; lets the generator offer frames;
 * prints one JSON object a line for each run.
 *
 *	labpoint [options] STEP...
 *
 * where a STEP is
 *	run RATE FRAMES		one run
 *	search MS		a ladder of rates, MS milliseconds each, then the loss-free
 *				rate and the rate at 0.5 % loss between its rungs
 *
 * RATE is in frames per second of guest virtual time. With --stamps FILE the
 * stamps of run n (from 0) go to FILE.n. See docs/experiments-endhost.md.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hog.h"
#include "ulsgen.h"

#define SHOTS_MAX	50000	/* per second: above, a shot carries more frames */

/* The search's rates: RATE_MIN * 2^(i/STEPS); its ladder has every STEPS-th. */
#define STEPS		8
#define RATE_MIN	390.625
#define LADDER_FIRST	32	/* 6,250 */
#define TOP		88	/* 800,000 */
#define FRAMES_MIN	400	/* so that one lost frame is less than 0.5 % */

static struct options {
	const char *port, *dst_ip, *stamps, *forwarder;
	unsigned int dst_port, len, hogs;
	unsigned char mac[6];
	unsigned int warm_ms, drain_ms, seed;
} opt = { .port = "eth0", .dst_ip = "10.0.0.1", .dst_port = 5000, .len = 200,
	  .warm_ms = 20, .drain_ms = 100 };

static int gen;
static pid_t forwarder;

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
	int saved = errno;
	va_list args;

	fprintf(stderr, "labpoint: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, saved ? ": %s\n" : "\n", strerror(saved));
	exit(1);
}

static void sleep_ns(int64_t ns)
{
	struct timespec t = { ns / 1000000000, ns % 1000000000 };

	while (ns > 0 && clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
		;
}

static void sleep_ms(unsigned int ms)
{
	sleep_ns(ms * INT64_C(1000000));
}

/* What else the kernel did: of CPU 0, the only one. */
struct kernel_side {
	uint64_t squeezed;	/* polls that ran out of budget or time */
	uint64_t backlog_drops;
	uint64_t ksoftirqd_ns;	/* run time of ksoftirqd/0 */
	uint64_t switches;	/* context switches */
};

static pid_t ksoftirqd(void)
{
	static pid_t found;
	char path[64], name[32];

	for (pid_t pid = 2; !found && pid < 300; pid++) {
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		FILE *f = fopen(path, "re");

		if (f && fgets(name, sizeof(name), f) && !strcmp(name, "ksoftirqd/0\n"))
			found = pid;
		if (f)
			fclose(f);
	}
	return found;
}

static struct kernel_side kernel_side(void)
{
	struct kernel_side k = { 0 };
	char line[256], path[64];
	unsigned int processed, dropped, squeezed;
	FILE *f = fopen("/proc/net/softnet_stat", "re");

	if (f && fscanf(f, "%x %x %x", &processed, &dropped, &squeezed) == 3) {
		k.squeezed = squeezed;
		k.backlog_drops = dropped;
	}
	if (f)
		fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/schedstat", ksoftirqd());
	f = fopen(path, "re");
	if (f && fscanf(f, "%" SCNu64, &k.ksoftirqd_ns) != 1)
		k.ksoftirqd_ns = 0;
	if (f)
		fclose(f);
	f = fopen("/proc/stat", "re");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "ctxt %" SCNu64, &k.switches);
	if (f)
		fclose(f);
	return k;
}

struct sample {
	struct ulsgen_stats gen;
	struct kernel_side kernel;
	uint64_t hogs;
};

static struct sample take(void)
{
	struct sample s = { .kernel = kernel_side() };

	s.hogs = hogs_progress();
	if (ioctl(gen, ULSGEN_STATS, &s.gen))
		die("generator: figures");
	return s;
}

static void print_run(const char *kind, double rate, const struct ulsgen_run *r,
		      const struct sample *a, const struct sample *b, const struct ulsgen_stats *end)
{
	const struct ulsgen_stats *g = &b->gen;

	printf("{\"kind\":\"%s\",\"rate\":%.6g,\"burst\":%u,\"count\":%u,\"hogs\":%u,\"len\":%u,",
	       kind, rate, r->burst, r->count, opt.hogs, opt.len);
	printf("\"offered\":%u,\"missed\":%u,\"returned\":%u,\"strange\":%u,\"first\":%llu,\"last\":%llu,",
	       end->offered, end->missed, end->returned, end->strange, end->first, end->last);
	printf("\"late_max\":%u,\"burst_max\":%u,\"shots\":%u,\"stamps\":%u,", end->late_max,
	       end->burst_max, end->shots, end->stamps);
	/* The window: from the end of the warm-up to the last frame offered. */
	printf("\"win_ticks\":%llu,\"win_spent\":%llu,\"win_offered\":%u,\"win_missed\":%u,\"win_returned\":%u,",
	       g->now - a->gen.now, g->spent - a->gen.spent, g->offered - a->gen.offered,
	       g->missed - a->gen.missed, g->returned - a->gen.returned);
	printf("\"win_hog_units\":%" PRIu64 ",\"win_squeezed\":%" PRIu64 ",\"win_backlog_drops\":%" PRIu64
	       ",\"win_ksoftirqd_ns\":%" PRIu64 ",\"win_switches\":%" PRIu64 "}\n",
	       b->hogs - a->hogs, b->kernel.squeezed - a->kernel.squeezed,
	       b->kernel.backlog_drops - a->kernel.backlog_drops,
	       b->kernel.ksoftirqd_ns - a->kernel.ksoftirqd_ns,
	       b->kernel.switches - a->kernel.switches);
	fflush(stdout);
}

/* Offers frames and returns the share that did not come back. */
static double run(const char *kind, double rate, uint32_t frames)
{
	struct ulsgen_run r = { .burst = (uint32_t)ceil(rate / SHOTS_MAX) };
	static uint32_t runs;
	struct ulsgen_stats end;
	struct sample a, b;

	r.count = (frames + r.burst - 1) / r.burst * r.burst;
	r.period_ns = (uint64_t)(1e8 * r.burst / rate + 0.5) * 10;
	r.spread_ns = (uint32_t)(r.period_ns / 8);
	r.seed = opt.seed + runs++;
	if (ioctl(gen, ULSGEN_START, &r))
		die("generator: start %u frames at %g per second", r.count, rate);
	sleep_ms(opt.warm_ms);
	a = take();
	/* The first shot comes 100 us after the start. */
	sleep_ns((int64_t)(r.count / r.burst * r.period_ns) - opt.warm_ms * INT64_C(1000000) - 100000);
	if (ioctl(gen, ULSGEN_WAIT))
		die("generator: wait");
	b = take();
	/* Until nothing has come back for a while: a forwarder may hold many frames. */
	for (uint32_t before = b.gen.returned + 1; ; before = end.returned) {
		sleep_ms(opt.drain_ms);
		if (ioctl(gen, ULSGEN_STATS, &end))
			die("generator: figures");
		if (end.returned == before)
			break;
	}
	print_run(kind, rate, &r, &a, &b, &end);
	return 1.0 - (double)end.returned / end.offered;
}

static double rate_of(int step)
{
	return step < 0 ? 0 : RATE_MIN * exp2((double)step / STEPS);
}

static double loss_at(int step, unsigned int ms)
{
	static double known[TOP + 1];
	double rate = rate_of(step);

	if (!known[step])
		known[step] = 1 + run("step", rate, (uint32_t)fmax(FRAMES_MIN, rate * ms / 1000));
	return known[step] - 1;
}

/*
 * The highest step whose loss is at most limit: -1 if there is none. Loss is taken
 * to grow with the rate, which the ladder shows.
 */
static int highest(double limit, unsigned int ms)
{
	int low = -1, high = TOP + 1;

	for (int step = LADDER_FIRST; step <= TOP; step += STEPS) {
		if (loss_at(step, ms) > limit) {
			high = step;
			break;
		}
		low = step;
	}
	while (high - low > 1 && low < TOP) {
		int mid = (low + high) / 2;

		if (loss_at(mid, ms) <= limit)
			low = mid;
		else
			high = mid;
	}
	return low;
}

static void search(unsigned int ms)
{
	for (int step = LADDER_FIRST; step <= TOP; step += STEPS)
		loss_at(step, ms);
	printf("{\"kind\":\"search\",\"loss_free\":%.6g,\"half_percent\":%.6g}\n",
	       rate_of(highest(0, ms)), rate_of(highest(0.005, ms)));
}

/* Starts the forwarder process and waits for its "ready". */
static void start_forwarder(void)
{
	struct sched_param other = { 0 };
	char word[16] = "";
	int pipes[2];

	if (pipe(pipes))
		die("pipe");
	forwarder = fork();
	if (forwarder < 0)
		die("fork");
	if (!forwarder) {
		dup2(pipes[1], 1);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sched_setscheduler(0, SCHED_OTHER, &other);
		execl("/bin/sh", "sh", "-c", opt.forwarder, NULL);
		_exit(127);
	}
	close(pipes[1]);
	if (read(pipes[0], word, sizeof(word) - 1) <= 0 || strcmp(word, "ready\n"))
		die("the forwarder did not start: %s", opt.forwarder);
	close(pipes[0]);
}

static void save_stamps(int number)
{
	static char buffer[1 << 16];
	char path[256];
	off_t at = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "%s.%d", opt.stamps, number);
	int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (out < 0)
		die("%s", path);
	for (; (n = pread(gen, buffer, sizeof(buffer), at)) > 0; at += n)
		if (write(out, buffer, (size_t)n) != n)
			die("%s", path);
	if (n < 0)
		die("generator: stamps");
	close(out);
}

static void set_frame(void)
{
	struct ulsgen_frame f = { .len = (uint16_t)opt.len, .src_port = htons(4000),
				  .dst_port = htons((uint16_t)opt.dst_port) };
	struct ulsgen_cost cost;

	memcpy(f.dst_mac, opt.mac, 6);
	inet_pton(AF_INET, "10.0.0.2", &f.src_ip);
	if (inet_pton(AF_INET, opt.dst_ip, &f.dst_ip) != 1)
		die("%s is not an IPv4 address", opt.dst_ip);
	snprintf(f.port, sizeof(f.port), "%s", opt.port);
	if (ioctl(gen, ULSGEN_SET_FRAME, &f))
		die("generator: port %s", opt.port);
	if (ioctl(gen, ULSGEN_COST, &cost))
		die("generator: cost");
	printf("{\"kind\":\"cost\",\"nmi_entry\":%u,\"tsc_khz\":%u}\n", cost.nmi_entry, cost.tsc_khz);
}

static void port_mac(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%s/address", opt.port);
	FILE *f = fopen(path, "re");

	if (!f || fscanf(f, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", opt.mac, opt.mac + 1, opt.mac + 2,
			 opt.mac + 3, opt.mac + 4, opt.mac + 5) != 6)
		die("%s", path);
	fclose(f);
}

/* A driver may restart its port when it is taken over: wait for the link. */
static void wait_link(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%s/carrier", opt.port);
	for (int tries = 0; tries < 200; tries++) {
		FILE *f = fopen(path, "re");
		int up = f ? fgetc(f) : EOF;

		if (f)
			fclose(f);
		if (up == '1')
			return;
		sleep_ms(50);
	}
	errno = 0;
	die("%s has no link", opt.port);
}

static void usage(void)
{
	fprintf(stderr, "usage: labpoint [--port DEV] [--dst-ip IP] [--dst-port N] [--len BYTES]\n"
			"       [--hogs N] [--forwarder COMMAND] [--stamps FILE] [--warm MS] [--drain MS] [--seed N]\n"
			"       { run RATE FRAMES | search MS }...\n");
	exit(2);
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "port", 1, NULL, 'p' }, { "dst-ip", 1, NULL, 'i' }, { "dst-port", 1, NULL, 'd' },
		{ "len", 1, NULL, 'l' }, { "hogs", 1, NULL, 'h' }, { "forwarder", 1, NULL, 'f' },
		{ "stamps", 1, NULL, 's' }, { "warm", 1, NULL, 'w' }, { "drain", 1, NULL, 'r' }, { "seed", 1, NULL, 'e' },
		{ 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		switch (c) {
		case 'p': opt.port = optarg; break;
		case 'i': opt.dst_ip = optarg; break;
		case 'd': opt.dst_port = (unsigned int)atoi(optarg); break;
		case 'l': opt.len = (unsigned int)atoi(optarg); break;
		case 'h': opt.hogs = (unsigned int)atoi(optarg); break;
		case 'f': opt.forwarder = optarg; break;
		case 's': opt.stamps = optarg; break;
		case 'w': opt.warm_ms = (unsigned int)atoi(optarg); break;
		case 'r': opt.drain_ms = (unsigned int)atoi(optarg); break;
		case 'e': opt.seed = (unsigned int)atoi(optarg); break;
		default: usage();
		}
	}
}

/* One step of the command line; returns how many words it took. */
static int step(int argc, char **argv)
{
	static int number;

	if (argc >= 3 && !strcmp(argv[0], "run") && atof(argv[1]) > 0 && atol(argv[2]) > 0) {
		run("run", atof(argv[1]), (uint32_t)atol(argv[2]));
		if (opt.stamps)
			save_stamps(number);
		number++;
		return 3;
	}
	if (argc >= 2 && !strcmp(argv[0], "search") && atoi(argv[1]) > 0) {
		search((unsigned int)atoi(argv[1]));
		return 2;
	}
	usage();
	return 0;
}

int main(int argc, char **argv)
{
	struct sched_param first = { .sched_priority = 99 };

	parse(argc, argv);
	argv += optind;
	argc -= optind;
	if (!argc)
		usage();
	gen = open(ULSGEN_DEV, O_RDWR | O_CLOEXEC);
	if (gen < 0)
		die("%s", ULSGEN_DEV);
	port_mac();
	wait_link();
	set_frame();
	if (mlockall(MCL_CURRENT))
		die("mlockall");
	if (sched_setscheduler(0, SCHED_FIFO, &first))
		die("sched_setscheduler");
	if (opt.forwarder)
		start_forwarder();
	hogs_start((int)opt.hogs);
	sleep_ms(200); /* the background settles */
	for (int taken; argc > 0; argc -= taken, argv += taken)
		taken = step(argc, argv);
	hogs_stop();
	if (forwarder)
		kill(forwarder, SIGKILL);
	return 0;
}
