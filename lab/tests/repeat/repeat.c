// SPDX-License-Identifier: Apache-2.0
/*
 * repeat TX RX COUNT WORKERS: COUNT frames from port TX to port RX, 1,000 a second
 * of guest time, while WORKERS processes spin. Writes each frame's send and arrival
 * time (guest ns) to /results/arrivals.csv. The host runs this twice and compares
 * every byte. Prints TAP.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME 200
#define PERIOD_NS 1000000
#define ETHERTYPE_EXPERIMENT 0x88b5 /* IEEE: local experiments */

static void die(const char *what)
{
	printf("not ok 1 - %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Brings a port up, waits for its link and returns a packet socket bound to it. */
static int open_port(const char *name)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_EXPERIMENT) };
	struct ifreq request = { 0 };
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETHERTYPE_EXPERIMENT));

	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request))
		die(name);
	request.ifr_flags |= IFF_UP | IFF_PROMISC;
	if (ioctl(fd, SIOCSIFFLAGS, &request))
		die(name);
	for (int tries = 0; tries < 1000; tries++) {
		struct timespec nap = { .tv_nsec = 10000000 };

		if (ioctl(fd, SIOCGIFFLAGS, &request))
			die(name);
		if (request.ifr_flags & IFF_RUNNING)
			break;
		nanosleep(&nap, NULL);
	}
	if (!(request.ifr_flags & IFF_RUNNING)) {
		errno = ENETDOWN;
		die(name);
	}
	if (ioctl(fd, SIOCGIFINDEX, &request))
		die(name);
	address.sll_ifindex = request.ifr_ifindex;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		die(name);
	return fd;
}

static void spin(pid_t parent)
{
	volatile uint64_t n = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent)
		for (int i = 0; i < 100000; i++)
			n++;
	_exit(0);
}

static void sender(int fd, int count, int64_t start)
{
	uint8_t frame[FRAME] = { 0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x88, 0xb5 };

	for (int i = 0; i < count; i++) {
		int64_t due = start + (int64_t)i * PERIOD_NS, sent;
		struct timespec t = { .tv_sec = due / 1000000000, .tv_nsec = due % 1000000000 };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		memcpy(frame + 16, &i, sizeof(i));
		sent = now();
		memcpy(frame + 24, &sent, sizeof(sent));
		if (send(fd, frame, sizeof(frame), 0) != sizeof(frame))
			die("send");
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: repeat TX RX COUNT WORKERS\n");
		return 2;
	}
	int count = atoi(argv[3]), workers = atoi(argv[4]), received = 0, ordered = 1;
	int tx = open_port(argv[1]), rx = open_port(argv[2]);
	FILE *out = fopen("/results/arrivals.csv", "w");
	pid_t self = getpid();

	if (!out)
		die("/results/arrivals.csv");
	fprintf(out, "frame,sent_ns,arrived_ns\n");
	for (int i = 0; i < workers; i++)
		if (fork() == 0)
			spin(self);
	if (fork() == 0)
		sender(tx, count, now() + 50000000);
	while (received < count) {
		struct pollfd p = { .fd = rx, .events = POLLIN };
		uint8_t frame[2048];
		int64_t sent;
		int number;

		if (poll(&p, 1, 20000) <= 0)
			break;
		if (recv(rx, frame, sizeof(frame), 0) < FRAME)
			continue;
		memcpy(&number, frame + 16, sizeof(number));
		memcpy(&sent, frame + 24, sizeof(sent));
		ordered &= number == received++;
		fprintf(out, "%d,%lld,%lld\n", number, (long long)sent, (long long)now());
	}
	fclose(out);
	printf("%sok 1 - %d of %d frames arrived\n", received == count ? "" : "not ", received, count);
	printf("%sok 2 - in order\n1..2\n", ordered ? "" : "not ");
	return received != count || !ordered;
}
