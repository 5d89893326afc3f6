// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf.h"
#include "util.h"

/* The instructions used, in the order: destination, source, offset, constant. */
#define INSN(c, d, s, o, i) \
	((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })
#define MOV_REG(d, s)		INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOV_IMM(d, i)		INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD_IMM(d, i)		INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define LOAD(size, d, s, o)	INSN(BPF_LDX | BPF_MEM | (size), d, s, o, 0)
#define STORE(size, d, o, s)	INSN(BPF_STX | BPF_MEM | (size), d, s, o, 0)
#define JGT_REG(d, s, o)	INSN(BPF_JMP | BPF_JGT | BPF_X, d, s, o, 0)
#define JNE_IMM(d, i, o)	INSN(BPF_JMP | BPF_JNE | BPF_K, d, 0, o, i)
#define CALL(f)			INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define EXIT()			INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

enum { R0, R1, R2, R3, R4, R5, R6 };

/* offsets in struct xdp_md */
enum { MD_DATA = 0, MD_DATA_END = 4, MD_RX_QUEUE = 16 };

static int sys_bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

struct code {
	struct bpf_insn insn[64];
	int n;
};

static void emit(struct code *c, struct bpf_insn i)
{
	c->insn[c->n++] = i;
}

/* R6 = context, R2 = data, and leave with XDP_PASS unless data holds a header. */
static void emit_load(struct code *c)
{
	emit(c, LOAD(BPF_W, R2, R6, MD_DATA));
	emit(c, LOAD(BPF_W, R3, R6, MD_DATA_END));
	emit(c, MOV_REG(R4, R2));
	emit(c, ADD_IMM(R4, 14));
	emit(c, INSN(BPF_JMP | BPF_JLE | BPF_X, R4, R3, 2, 0));
	emit(c, MOV_IMM(R0, XDP_PASS));
	emit(c, EXIT());
}

static void emit_pass_others(struct code *c)
{
	emit(c, LOAD(BPF_H, R5, R2, 12));
	emit(c, INSN(BPF_JMP | BPF_JEQ | BPF_K, R5, 0, 2, htons(TEST_ETHERTYPE)));
	emit(c, MOV_IMM(R0, XDP_PASS));
	emit(c, EXIT());
}

static void emit_swap(struct code *c)
{
	emit(c, LOAD(BPF_W, R0, R2, 0));
	emit(c, LOAD(BPF_H, R1, R2, 4));
	emit(c, LOAD(BPF_W, R4, R2, 6));
	emit(c, LOAD(BPF_H, R5, R2, 10));
	emit(c, STORE(BPF_W, R2, 0, R4));
	emit(c, STORE(BPF_H, R2, 4, R5));
	emit(c, STORE(BPF_W, R2, 6, R0));
	emit(c, STORE(BPF_H, R2, 10, R1));
}

/* Call a helper with (context, imm); leave with XDP_ABORTED if it fails. */
static void emit_adjust(struct code *c, int helper, int imm)
{
	emit(c, MOV_REG(R1, R6));
	emit(c, MOV_IMM(R2, imm));
	emit(c, CALL(helper));
	emit(c, INSN(BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 2, 0));
	emit(c, MOV_IMM(R0, XDP_ABORTED));
	emit(c, EXIT());
}

int prog_load(enum prog_kind kind, int arg)
{
	static char log[16384];
	struct code c = { .n = 0 };
	union bpf_attr attr;
	int fd;

	emit(&c, MOV_REG(R6, R1));
	emit_load(&c);
	emit_pass_others(&c);

	switch (kind) {
	case PROG_VERDICT:
		emit(&c, MOV_IMM(R0, arg));
		break;
	case PROG_HEAD_TX:
		emit_adjust(&c, BPF_FUNC_xdp_adjust_head, -200);
		emit_adjust(&c, BPF_FUNC_xdp_adjust_head, 200);
		emit_load(&c);
		emit_swap(&c);
		emit(&c, MOV_IMM(R0, XDP_TX));
		break;
	case PROG_CUT_TX:
		emit_adjust(&c, BPF_FUNC_xdp_adjust_tail, -arg);
		emit_load(&c);
		emit_swap(&c);
		emit(&c, MOV_IMM(R0, XDP_TX));
		break;
	case PROG_SWAP_TX:
		emit_swap(&c);
		emit(&c, MOV_IMM(R0, XDP_TX));
		break;
	case PROG_SWAP_REDIRECT:
		emit_swap(&c);
		/* fall through */
	case PROG_REDIRECT:
		emit(&c, MOV_IMM(R1, arg));
		emit(&c, MOV_IMM(R2, 0));
		emit(&c, CALL(BPF_FUNC_redirect));
		break;
	case PROG_XSK:
		emit(&c, INSN(BPF_LD | BPF_IMM | BPF_DW, R1, BPF_PSEUDO_MAP_FD, 0, arg));
		emit(&c, INSN(0, 0, 0, 0, 0));
		emit(&c, LOAD(BPF_W, R2, R6, MD_RX_QUEUE));
		emit(&c, MOV_IMM(R3, XDP_PASS));
		emit(&c, CALL(BPF_FUNC_redirect_map));
		break;
	}
	emit(&c, EXIT());

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_XDP;
	attr.insns = (uintptr_t)c.insn;
	attr.insn_cnt = c.n;
	attr.license = (uintptr_t)"Apache-2.0";
	attr.log_buf = (uintptr_t)log;
	attr.log_size = sizeof(log);
	attr.log_level = 1;
	fd = sys_bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0)
		die("load XDP program %d: %s", kind, log);
	return fd;
}

int xskmap_create(void)
{
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_XSKMAP;
	attr.key_size = 4;
	attr.value_size = 4;
	attr.max_entries = 1;
	fd = sys_bpf(BPF_MAP_CREATE, &attr);
	if (fd < 0)
		die("create XSKMAP");
	return fd;
}

int xskmap_set(int map, int xsk_fd)
{
	uint32_t key = 0, val = xsk_fd;
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = map;
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)&val;
	return sys_bpf(BPF_MAP_UPDATE_ELEM, &attr) ? -errno : 0;
}
