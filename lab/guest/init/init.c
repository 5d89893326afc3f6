// SPDX-License-Identifier: Apache-2.0
/*
 * PID 1 of a lab guest.
 *
 * It mounts the usual file systems, does what /etc/job says, reports on a
 * virtio-serial port and powers the machine off. The console is left to the
 * kernel: what the programs print and how they ended travels on the port, and
 * the verdict is the last frame there. A guest that hangs, panics or loses its
 * init therefore never reports success.
 *
 * It is C, not Go, so that nothing of PID 1 runs while a program is measured:
 * one process, asleep in poll().
 *
 * /etc/job: one step a line, fields separated by tabs, done in order.
 *
 *	write   PATH  TEXT                        write TEXT to a file (sysctls, hugepages)
 *	module  PATH  PARAMETERS                  load a kernel module
 *	run     NAME  SECONDS  MODE  DIR  ARGV... run a program to its end
 *	collect DIR                               send every file below DIR
 *	shell                                     an interactive shell on the console
 *
 * MODE is "stream" (output is sent as it comes) or "hold" (it is kept in memory
 * and sent when the program has ended, so that sending disturbs nothing).
 *
 * Port frames: one byte of type, four bytes of length (little endian), payload.
 *
 *	B name         a program begins
 *	O bytes        its standard output and error
 *	E how          it ended: "exit N", "signal N", "timeout"
 *	P "MODE PATH"  a file begins (octal mode); D bytes: its content; C: it ends
 *	L text         a remark of init's own
 *	V verdict      "ok" or "failed: why"; nothing follows
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_NAME "sandstream.report"
#define MAX_FIELDS 128

static int port = -1;
static int interactive; /* a shell ran: somebody watches the console */
static char failure[512]; /* the first one; empty means ok */

/* send writes one frame. Without a port (make shell) there is nobody to tell. */
static void send(char type, const void *data, size_t len)
{
	uint8_t head[5] = { (uint8_t)type, len & 0xff, (len >> 8) & 0xff, (len >> 16) & 0xff,
			    (len >> 24) & 0xff };
	const uint8_t *parts[2] = { head, data };
	size_t lens[2] = { sizeof(head), len };

	for (int i = 0; i < 2 && port >= 0; i++) {
		size_t done = 0;

		while (done < lens[i]) {
			ssize_t n = write(port, parts[i] + done, lens[i] - done);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0) {
				fprintf(stderr, "init: report port: %s\n", strerror(errno));
				port = -1; /* no verdict will arrive: the run fails */
				return;
			}
			done += (size_t)n;
		}
	}
}

static void send_text(char type, const char *text)
{
	send(type, text, strlen(text));
}

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...)
{
	char text[sizeof(failure)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	send_text('L', text);
	fprintf(stderr, "init: %s\n", text);
	if (!failure[0])
		memcpy(failure, text, sizeof(failure));
}

static void do_mount(const char *what, const char *where, const char *type, const char *options)
{
	mkdir(where, 0755);
	if (mount(what, where, type, 0, options) && errno != EBUSY)
		fail("mount %s on %s: %s", type, where, strerror(errno));
}

static void mount_all(void)
{
	do_mount("proc", "/proc", "proc", NULL);
	do_mount("sys", "/sys", "sysfs", NULL);
	do_mount("dev", "/dev", "devtmpfs", NULL);
	do_mount("pts", "/dev/pts", "devpts", NULL);
	do_mount("shm", "/dev/shm", "tmpfs", NULL);
	do_mount("tmp", "/tmp", "tmpfs", NULL);
	do_mount("run", "/run", "tmpfs", NULL);
	do_mount("results", "/results", "tmpfs", NULL);
	do_mount("debug", "/sys/kernel/debug", "debugfs", NULL);
	do_mount("tracing", "/sys/kernel/tracing", "tracefs", NULL);
	do_mount("bpf", "/sys/fs/bpf", "bpf", NULL);
	do_mount("cgroup", "/sys/fs/cgroup", "cgroup2", NULL);
	do_mount("huge", "/dev/hugepages", "hugetlbfs", NULL);
}

static char *read_line_of(const char *path, char *buffer, size_t size)
{
	FILE *f = fopen(path, "re");
	char *line = f ? fgets(buffer, (int)size, f) : NULL;

	if (f)
		fclose(f);
	if (line)
		line[strcspn(line, "\n")] = 0;
	return line;
}

/* open_port finds the virtio-serial port by its name: its number may vary. */
static int open_port(void)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	int fd = -1;

	while (dir && fd < 0 && (entry = readdir(dir))) {
		char path[PATH_MAX], name[64];

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		if (!read_line_of(path, name, sizeof(name)) || strcmp(name, PORT_NAME))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		fd = open(path, O_WRONLY | O_CLOEXEC);
	}
	if (dir)
		closedir(dir);
	return fd;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail("write %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void load_module(const char *path, const char *parameters)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, parameters, 0))
		fail("load module %s %s: %s", path, parameters, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* held is what a program printed in mode "hold". */
struct held {
	char *data;
	size_t len, cap;
};

static void hold(struct held *h, const char *data, size_t len)
{
	if (h->len + len > h->cap) {
		size_t cap = 2 * (h->len + len);
		char *bigger = realloc(h->data, cap);

		if (!bigger) {
			fail("out of memory for a program's output");
			return;
		}
		h->data = bigger;
		h->cap = cap;
	}
	memcpy(h->data + h->len, data, len);
	h->len += len;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static pid_t spawn(const char *dir, char *const argv[], int output)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	setsid();
	int null = open("/dev/null", O_RDONLY);

	dup2(null, 0);
	dup2(output, 1);
	dup2(output, 2);
	if (chdir(dir)) {
		fprintf(stderr, "cd %s: %s\n", dir, strerror(errno));
		_exit(127);
	}
	execvp(argv[0], argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* run_program returns when the program has ended and its output is read. */
static void run_program(const char *name, int seconds, int holding, const char *dir,
			char *const argv[])
{
	int pipes[2], status = 0, ended = 0, timed_out = 0;
	struct held held = { 0 };
	char how[64];

	send_text('B', name);
	if (pipe2(pipes, O_CLOEXEC)) {
		fail("%s: pipe: %s", name, strerror(errno));
		return;
	}
	pid_t pid = spawn(dir, argv, pipes[1]);

	close(pipes[1]);
	if (pid < 0) {
		fail("%s: fork: %s", name, strerror(errno));
		close(pipes[0]);
		return;
	}
	int64_t end = now_ms() + (int64_t)seconds * 1000;
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	/*
	 * The program has ended when it exited and the pipe is drained. A child
	 * it left behind may keep the pipe open: do not wait for that.
	 */
	for (int open_end = 1; !ended || open_end;) {
		struct pollfd fds[2] = { { .fd = open_end ? pipes[0] : -1, .events = POLLIN },
					 { .fd = ended ? -1 : pidfd, .events = POLLIN } };
		int64_t left = end - now_ms();

		if (left <= 0 && !timed_out && !ended) {
			timed_out = 1;
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
		}
		int ready = poll(fds, 2, ended ? 0 : timed_out ? -1 : (int)left);

		if (ready < 0 && errno != EINTR)
			break;
		if (ready == 0 && ended)
			break; /* exited, nothing left to read */
		if (ready > 0 && fds[0].revents) {
			char buffer[16384];
			ssize_t n = read(pipes[0], buffer, sizeof(buffer));

			if (n <= 0)
				open_end = 0;
			else if (holding)
				hold(&held, buffer, (size_t)n);
			else
				send('O', buffer, (size_t)n);
		}
		if (ready > 0 && fds[1].revents && waitpid(pid, &status, WNOHANG) == pid)
			ended = 1;
	}
	kill(-pid, SIGKILL); /* whatever it left in its process group */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	close(pidfd);
	close(pipes[0]);
	for (size_t at = 0; at < held.len; at += 65536)
		send('O', held.data + at, held.len - at < 65536 ? held.len - at : 65536);
	free(held.data);
	if (timed_out)
		snprintf(how, sizeof(how), "timeout");
	else if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "signal %d", WTERMSIG(status));
	else
		snprintf(how, sizeof(how), "exit %d", WEXITSTATUS(status));
	send_text('E', how);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void send_file(const char *path, mode_t mode)
{
	char head[PATH_MAX + 16], buffer[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0) {
		fail("collect %s: %s", path, strerror(errno));
		return;
	}
	snprintf(head, sizeof(head), "%o %s", mode & 0777, path);
	send_text('P', head);
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		send('D', buffer, (size_t)n);
	if (n < 0)
		fail("collect %s: %s", path, strerror(errno));
	send('C', "", 0);
	close(fd);
}

/* collect sends the files below dir in the order of their names. */
static void collect(const char *dir)
{
	struct dirent **entries;
	int count = scandir(dir, &entries, NULL, by_name);

	if (count < 0) {
		fail("collect %s: %s", dir, strerror(errno));
		return;
	}
	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;
		char path[PATH_MAX];
		struct stat st;

		if (strcmp(name, ".") && strcmp(name, "..") &&
		    snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) &&
		    !lstat(path, &st)) {
			if (S_ISDIR(st.st_mode))
				collect(path);
			else if (S_ISREG(st.st_mode))
				send_file(path, st.st_mode);
		}
		free(entries[i]);
	}
	free(entries);
}

/* send_kernel_log sends the kernel's messages: the console shows only the grave ones. */
static void send_kernel_log(void)
{
	int size = klogctl(10 /* SIZE_BUFFER */, NULL, 0);
	char *buffer = size > 0 ? malloc((size_t)size) : NULL;
	int n = buffer ? klogctl(3 /* READ_ALL */, buffer, size) : -1;

	if (n < 0) {
		fail("kernel log: %s", strerror(errno));
	} else {
		send_text('P', "644 /kernel.log");
		for (int at = 0; at < n; at += 65536)
			send('D', buffer + at, (size_t)(n - at < 65536 ? n - at : 65536));
		send('C', "", 0);
	}
	free(buffer);
}

static void shell(void)
{
	pid_t pid = fork();

	interactive = 1;
	if (pid == 0) {
		setsid();
		int tty = open("/dev/ttyS0", O_RDWR);

		ioctl(tty, TIOCSCTTY, 1);
		for (int fd = 0; fd < 3; fd++)
			dup2(tty, fd);
		execl("/bin/sh", "-sh", NULL);
		_exit(127);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void step(char *line)
{
	char *fields[MAX_FIELDS + 1] = { 0 };
	int n = 0;

	for (char *field; n < MAX_FIELDS && (field = strsep(&line, "\t"));)
		fields[n++] = field;
	if (line)
		fail("job: more than %d fields: %s", MAX_FIELDS, fields[0]);
	else if (!strcmp(fields[0], "write") && n == 3)
		write_file(fields[1], fields[2]);
	else if (!strcmp(fields[0], "module") && n == 3)
		load_module(fields[1], fields[2]);
	else if (!strcmp(fields[0], "run") && n >= 6)
		run_program(fields[1], atoi(fields[2]), !strcmp(fields[3], "hold"), fields[4],
			    fields + 5);
	else if (!strcmp(fields[0], "collect") && n == 2)
		collect(fields[1]);
	else if (!strcmp(fields[0], "shell") && n == 1)
		shell();
	else
		fail("job: cannot do \"%s\" with %d fields", fields[0], n);
}

static void do_job(void)
{
	FILE *job = fopen("/etc/job", "re");
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	if (!job) {
		fail("/etc/job: %s", strerror(errno));
		return;
	}
	while (!failure[0] && (len = getline(&line, &size, job)) > 0) {
		line[strcspn(line, "\n")] = 0;
		if (line[0])
			step(line);
	}
	free(line);
	fclose(job);
}

int main(void)
{
	if (getpid() != 1) {
		fprintf(stderr, "init: this is the lab guest's first process, not a command\n");
		return 2;
	}
	setenv("PATH", "/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", "linux", 0);
	umask(022);
	mount_all();
	port = open_port();
	do_job();
	if (port < 0 && !interactive)
		fprintf(stderr, "init: no report port \"%s\": nothing is reported\n", PORT_NAME);
	send_kernel_log();
	if (failure[0]) {
		char verdict[sizeof(failure) + 16];

		snprintf(verdict, sizeof(verdict), "failed: %s", failure);
		send_text('V', verdict);
	} else {
		send_text('V', "ok");
	}
	sync();
	reboot(RB_POWER_OFF);
	return 1; /* the kernel panics: no power-off came */
}
