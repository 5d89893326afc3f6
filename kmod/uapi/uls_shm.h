/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * uls_shm.h - memory and registers shared by the kernel and a stream
 * processing agent (SPA): the binary interface of user-level sandboxing.
 *
 * Included as it is by the module, by sandboxlib and by the probe object from
 * whose DWARF the Go side takes its offsets.  Fixed-width types only; native
 * (little-endian x86-64) byte order; every layout is asserted below.
 *
 * A sandbox owns one 1 GiB slice of the region.  The region is one PML4 slot
 * of the kernel half: its addresses are the same in every address space, and
 * user mode can reach them only while the CPU runs on the sandbox's own root.
 * Inside the slice (offsets from the slice's base):
 *
 *	0x00000000  unmapped, so that small wrong pointers fault
 *	0x00010000  struct uls_info		r--	the kernel writes
 *	0x00020000  struct uls_counters		rw-	the SPA writes, the kernel reads
 *	0x00030000  mailbox of control messages	r--	the kernel writes
 *	0x00040000  log ring			rw-	the SPA writes, the kernel reads
 *	0x00100000  the image: text r-x, read-only data r--, data rw-
 *	0x08000000  heap			rw-
 *	0x10000000  stacks, one for each CPU	rw-	guard gaps between
 *	0x18000000  frame pool			rw-	stays when an SPA is replaced
 *	0x20000000  AF_XDP rings		rw-	rx, tx, fill, completion
 *	0x28000000  UMEM: the frames		rw-	the NIC's DMA target and source
 */
#ifndef _ULS_SHM_H
#define _ULS_SHM_H

#include <linux/types.h>

#define ULS_ABI_VERSION		1
#define ULS_INFO_MAGIC		0x30534c55	/* "ULS0" */

#define ULS_REGION_BASE		0xfffffe8000000000ULL
#define ULS_SLICE_SHIFT		30
#define ULS_SLICE_SIZE		(1ULL << ULS_SLICE_SHIFT)

#define ULS_OFF_INFO		0x00010000ULL
#define ULS_OFF_COUNTERS	0x00020000ULL
#define ULS_OFF_MBOX		0x00030000ULL
#define ULS_OFF_LOG		0x00040000ULL
#define ULS_OFF_IMAGE		0x00100000ULL
#define ULS_OFF_HEAP		0x08000000ULL
#define ULS_OFF_STACKS		0x10000000ULL
#define ULS_OFF_POOL		0x18000000ULL
#define ULS_OFF_RINGS		0x20000000ULL
#define ULS_OFF_UMEM		0x28000000ULL

#define ULS_IMAGE_MAX		(ULS_OFF_HEAP - ULS_OFF_IMAGE)
#define ULS_HEAP_MAX		(ULS_OFF_STACKS - ULS_OFF_HEAP)
#define ULS_UMEM_MAX		(ULS_SLICE_SIZE - ULS_OFF_UMEM)
#define ULS_STACK_STRIDE	0x00040000ULL	/* 256 KiB from one CPU's stack top to the next */
#define ULS_STACK_MAX		0x00020000ULL	/* 128 KiB */
#define ULS_RING_STRIDE		0x01000000ULL	/* rx at 0, tx 1, fill 2, completion 3 strides */
#define ULS_MBOX_SIZE		4096
#define ULS_LOG_SIZE		0x00010000ULL	/* header page included */
#define ULS_COUNTERS_MAX	64
#define ULS_NAME_MAX		32		/* with the terminating NUL */

/*
 * The upcall.  The kernel enters the image's entry point at CPL3 with
 *	rdi = reason, rsi = argument, rdx = address of struct uls_info,
 *	rsp = top of this CPU's stack (16-byte aligned, nothing pushed),
 *	rflags = IF, every other register 0; FPU, SSE and AVX trap (#NM)
 *	unless the manifest declares ULS_MANIFEST_FPU.
 * It ends with the RETURN service.  Any other way out aborts the SPA.
 */
enum uls_reason {
	ULS_UP_INIT	= 0,	/* once, before any other; argument 0. Returns 0 or -errno */
	ULS_UP_RX	= 1,	/* once per NAPI batch; argument: new frames in rx (a hint) */
	ULS_UP_TICK	= 2,	/* every tick_us, within a tenth of a CPU; argument: monotonic ns */
	ULS_UP_CONTROL	= 3,	/* a uls_msg is in the mailbox; argument: its length. 0 or -errno */
	ULS_UP_FINI	= 4,	/* before unmap or replace: give frames back to the pool */
	ULS_UP_NOP	= 5,	/* returns at once: the cost of a crossing */
};

/*
 * Services: `syscall` with the number in rax, argument in rdi, result in rax;
 * rcx and r11 are clobbered as always.  They neither block nor change kernel
 * state.  Any other number aborts the SPA.
 */
enum uls_service {
	ULS_SYS_RETURN	= 0,	/* rdi: result of the upcall; does not come back */
	ULS_SYS_CLOCK	= 1,	/* rax: CLOCK_MONOTONIC in ns */
	ULS_SYS_BUDGET	= 2,	/* rax: ns left of this upcall's budget */
	ULS_SYS_CPU	= 3,	/* rax: number of the CPU */
	ULS_SYS_ABORT	= 4,	/* rdi: code; the SPA gives itself up */
};

/* One AF_XDP ring as the SPA sees it; byte offsets are from addr. */
struct uls_ring_info {
	__u64 addr;		/* 0: absent */
	__u32 entries;		/* a power of two */
	__u32 producer;		/* __u32, free-running */
	__u32 consumer;		/* __u32, free-running */
	__u32 flags;		/* XDP_RING_NEED_WAKEUP */
	__u32 desc;		/* rx, tx: struct xdp_desc; fill, completion: __u64 UMEM offset */
	__u32 pad;
};

#define ULS_INFO_TAKEOVER	(1 << 0)	/* replaces a running SPA: the pool is set up */

struct uls_info {
	__u32 magic;		/* ULS_INFO_MAGIC */
	__u32 abi;		/* ULS_ABI_VERSION */
	__u64 base;		/* of the slice */
	__u32 flags;		/* ULS_INFO_* */
	__u32 cpus;		/* CPU numbers are below this */
	__u32 ifindex;		/* 0: no port attached */
	__u32 queue;
	__u8  mac[6];		/* of the port */
	__u8  pad0[2];
	__u32 mtu;
	__u32 pad2;
	__u64 umem_addr;
	__u64 umem_len;
	__u32 chunk_size;	/* bytes of a frame, headroom included */
	__u32 headroom;		/* bytes the kernel keeps free before a received frame */
	struct uls_ring_info rx, tx, fill, comp;
	__u64 pool_addr, pool_len;
	__u64 heap_addr, heap_len;
	__u64 log_addr, log_len;
	__u64 mbox_addr, mbox_len;
	__u64 counters_addr;
	__u64 budget_ns;	/* of one upcall */
	__u64 tick_ns;		/* 0: no ticks */
	__u32 tsc_khz;		/* 0: unknown */
	__u32 pad1;
};

struct uls_counters {
	__u64 v[ULS_COUNTERS_MAX];
};

/*
 * Frames that are in no ring: a stack of UMEM offsets.  Kept in pages of the
 * port, not of the image, so that an SPA can be replaced under traffic.  The
 * runtime sets it up in INIT unless ULS_INFO_TAKEOVER.  An upcall can be cut
 * off anywhere and another SPA go on with the port: a frame must be out of one
 * place before it is in the next.
 */
struct uls_pool {
	__u32 magic;		/* ULS_INFO_MAGIC once set up */
	__u32 top;		/* frames on the stack */
	__u64 frame[];		/* umem_len / chunk_size entries */
};

/*
 * Log: one producer (the SPA), read by the kernel without stopping it.  head
 * counts bytes ever written; byte i stands at data[i % size].  A reader that
 * is more than size behind has lost the difference.
 */
struct uls_log {
	__u64 head;
	__u32 size;		/* ULS_LOG_SIZE - 4096, set by the kernel */
	__u32 pad;
	__u8  pad1[4080];
	__u8  data[];
};

/* Control messages (ULS_UP_CONTROL). */
enum uls_msg_type {
	ULS_MSG_PARAM		= 1,	/* struct uls_msg_param */
	ULS_MSG_FLOW_ADD	= 2,	/* struct uls_msg_flow */
	ULS_MSG_FLOW_DEL	= 3,	/* struct uls_msg_flow, action ignored */
};

struct uls_msg {
	__u16 type;
	__u16 len;		/* of the whole message, this header included */
	__u32 pad;
};

struct uls_msg_param {
	struct uls_msg hdr;
	__u32 index;		/* of the parameter, in the order of the notes */
	__u32 pad;
	__u64 value;
};

/* Numbers in network byte order are marked "be". A match of 0 takes anything. */
struct uls_msg_flow {
	struct uls_msg hdr;
	__u32 match_dst_ip;	/* be */
	__u16 match_dst_port;	/* be */
	__u16 pad0;
	__u32 new_src_ip;	/* be; 0: keep */
	__u32 new_dst_ip;	/* be; 0: keep */
	__u16 new_src_port;	/* be; 0: keep */
	__u16 new_dst_port;	/* be; 0: keep */
	__u8  new_dst_mac[6];
	__u8  new_src_mac[6];	/* all 0: the port's own */
};

/*
 * The manifest: ELF notes of owner "ULS" in the section .note.uls.  Read by
 * the loader (Go), never by the kernel.
 */
#define ULS_NT_MANIFEST		1	/* one struct uls_manifest */
#define ULS_NT_PARAM		2	/* struct uls_note_param, any number, in index order */
#define ULS_NT_COUNTER		3	/* struct uls_note_counter, likewise */

#define ULS_MANIFEST_SERIAL	(1 << 0)	/* never on two CPUs at once */
#define ULS_MANIFEST_FPU	(1 << 1)	/* uses FPU/SSE/AVX: gets an initialised state */

struct uls_manifest {
	__u32 abi;
	__u32 flags;		/* ULS_MANIFEST_* */
	__u32 stack;		/* bytes, at most ULS_STACK_MAX */
	__u32 tick_us;		/* 0: none */
	__u64 heap;		/* bytes, at most ULS_HEAP_MAX */
	char  name[ULS_NAME_MAX];
	char  version[ULS_NAME_MAX];
};

enum uls_param_type {
	ULS_PARAM_U64	= 1,
	ULS_PARAM_BOOL	= 2,
	ULS_PARAM_IPV4	= 3,	/* be in the low 32 bits */
	ULS_PARAM_MAC	= 4,	/* six bytes from the lowest */
};

struct uls_note_param {
	__u32 type;		/* enum uls_param_type */
	__u32 pad;
	__u64 def;		/* value before any set */
	char  name[ULS_NAME_MAX];
	char  help[96];
};

struct uls_note_counter {
	char  name[ULS_NAME_MAX];
};

/* Pseudo-vectors: how an upcall can end besides an x86 vector (0..255). */
#define ULS_EXIT_SYSCALL	256
#define ULS_EXIT_SYSENTER	257
#define ULS_EXIT_SYSCALL32	258

/* Why an SPA was aborted; also an attribute of the genl event. */
enum uls_cause {
	ULS_CAUSE_NONE		= 0,
	ULS_CAUSE_FAULT		= 1,	/* exception: vector, error code, address, ip */
	ULS_CAUSE_BUDGET	= 2,	/* ran past its budget */
	ULS_CAUSE_SERVICE	= 3,	/* a system call outside enum uls_service */
	ULS_CAUSE_SELF		= 4,	/* ULS_SYS_ABORT, code in the address */
	ULS_CAUSE_DEVICE	= 5,	/* the port went away */
	ULS_CAUSE_INIT		= 6,	/* INIT returned an error */
};

#ifdef __KERNEL__
#include <linux/build_bug.h>
#define ULS_ASSERT(e) static_assert(e)
#elif !defined(__cplusplus)
#define ULS_ASSERT(e) _Static_assert(e, #e)
#else
#define ULS_ASSERT(e) static_assert(e, #e)
#endif
ULS_ASSERT(sizeof(struct uls_ring_info) == 32);
ULS_ASSERT(sizeof(struct uls_info) == 296);
ULS_ASSERT(sizeof(struct uls_counters) == 512);
ULS_ASSERT(sizeof(struct uls_log) == 4096);
ULS_ASSERT(sizeof(struct uls_msg) == 8);
ULS_ASSERT(sizeof(struct uls_msg_param) == 24);
ULS_ASSERT(sizeof(struct uls_msg_flow) == 40);
ULS_ASSERT(sizeof(struct uls_manifest) == 88);
ULS_ASSERT(sizeof(struct uls_note_param) == 144);

#endif /* _ULS_SHM_H */
