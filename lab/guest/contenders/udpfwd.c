// SPDX-License-Identifier: Apache-2.0
/*
 * udpfwd: the user-socket contender, in the fastest honest form: one blocking
 * recvmmsg() for whatever has come, one sendmmsg() on a connected socket.
 *
 *	udpfwd LOCAL-IP PORT DEST-IP PORT [fifo-priority]
 *
 * Writes "ready" to stdout once its sockets are open, and runs until killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH	64
#define FRAME	2048
#define BUFFER	(1 << 20)	/* bytes: some 1,300 small frames wait for the process */

static char data[BATCH][FRAME];
static struct iovec iov[BATCH];
static struct mmsghdr msgs[BATCH];

static void die(const char *what)
{
	fprintf(stderr, "udpfwd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in address(const char *ip, const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	if (inet_pton(AF_INET, ip, &a.sin_addr) != 1) {
		fprintf(stderr, "udpfwd: %s is not an IPv4 address\n", ip);
		exit(2);
	}
	return a;
}

static int open_socket(int option, int bytes)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof(bytes)))
		die("socket");
	return fd;
}

static void forward(int in, int out)
{
	for (;;) {
		int n = recvmmsg(in, msgs, BATCH, MSG_WAITFORONE, NULL);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			die("recvmmsg");
		}
		for (int i = 0; i < n; i++)
			iov[i].iov_len = msgs[i].msg_len;
		/* What the port does not take is dropped, as a router drops. */
		for (int done = 0; done < n;) {
			int sent = sendmmsg(out, msgs + done, n - done, 0);

			if (sent < 0 && errno != EINTR && errno != ENOBUFS)
				die("sendmmsg");
			done += sent > 0 ? sent : errno == ENOBUFS ? 1 : 0;
		}
		for (int i = 0; i < n; i++)
			iov[i].iov_len = FRAME;
	}
}

int main(int argc, char **argv)
{
	if (argc != 5 && argc != 6) {
		fprintf(stderr, "usage: udpfwd LOCAL-IP PORT DEST-IP PORT [fifo-priority]\n");
		return 2;
	}
	struct sockaddr_in local = address(argv[1], argv[2]), dest = address(argv[3], argv[4]);
	int in = open_socket(SO_RCVBUFFORCE, BUFFER), out = open_socket(SO_SNDBUFFORCE, BUFFER);

	if (bind(in, (struct sockaddr *)&local, sizeof(local)))
		die("bind");
	if (connect(out, (struct sockaddr *)&dest, sizeof(dest)))
		die("connect");
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ data[i], FRAME };
		msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		die("mlockall");
	if (argc == 6) {
		struct sched_param p = { .sched_priority = atoi(argv[5]) };

		if (sched_setscheduler(0, SCHED_FIFO, &p))
			die("sched_setscheduler");
	}
	if (write(1, "ready\n", 6) != 6)
		die("write");
	forward(in, out);
}
