/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * ulsgen.h - how lab programs drive the traffic generator, /dev/ulsgen.
 *
 * One run sends `count` UDP frames at a fixed pace from a NIC of its own and
 * stamps each one twice: when it was handed to the wire and when it came back.
 * All times are ticks of the time stamp counter; in an exact guest (-icount
 * shift=0) one tick is one instruction is one nanosecond.
 */
#ifndef ULSGEN_H
#define ULSGEN_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define ULSGEN_DEV		"/dev/ulsgen"
#define ULSGEN_MAX_FRAMES	4194304u
#define ULSGEN_MIN_LEN		60	/* bytes of a frame, without FCS */
#define ULSGEN_MAX_LEN		1514
#define ULSGEN_MAX_BURST	64
#define ULSGEN_MAX_FLOOD	128
#define ULSGEN_MAX_NS		40000000000ull	/* a run's duration */

/* What the frames look like. They are written to the ring once. */
struct ulsgen_frame {
	__u8  dst_mac[6];
	__u16 len;		/* bytes without FCS */
	__u32 src_ip;		/* be */
	__u32 dst_ip;		/* be */
	__u16 src_port;		/* be */
	__u16 dst_port;		/* be */
	char  port[16];		/* network device of the forwarder's receiving port */
	/* Where the flood of a run goes. */
	__u8  flood_mac[6];
	__u16 flood_port;	/* be */
	__u32 flood_ip;		/* be */
};

struct ulsgen_run {
	__u64 period_ns;	/* from one shot to the next, a multiple of 10 */
	__u32 burst;		/* frames of one shot */
	__u32 count;		/* frames of the run; a multiple of burst */
	/*
	 * Shot k is due at k * period_ns plus a random time below spread_ns, so
	 * that it does not march in step with the kernel's tick.
	 */
	__u32 spread_ns;	/* at most half a period */
	__u32 seed;
	/*
	 * Frames to the flood's destination, sent after those of each shot. They are
	 * neither numbered nor stamped, and no room is asked for: QEMU keeps them
	 * until the port that they go to has some, so that it is never idle.
	 */
	__u32 flood;
	__u32 pad;
};

/* Totals since the run began. Ticks are of the time stamp counter. */
struct ulsgen_stats {
	__u64 now;		/* ticks, at this reading */
	__u64 first;		/* ticks of the first and the last frame offered */
	__u64 last;
	__u32 offered;		/* frames whose turn has come: sent + missed */
	__u32 missed;		/* of these, not sent: the receive ring had no room */
	__u32 returned;		/* frames that came back, each counted once */
	__u32 strange;		/* frames that came back and are none of ours, or twice */
	__u32 shots;		/* interrupts of the timer */
	__u32 stamps;		/* interrupts that stamped returns */
	__u32 late_max;		/* from a shot's time to the shot, largest, in units of 10 ns */
	__u32 burst_max;	/* frames of the largest shot: more than burst when one was late */
	__u64 spent;		/* ticks that the generator took from the guest, in all */
	__u32 running;		/* 0: every frame was offered */
	__u32 pad;
};

/* What the generator itself costs, measured by ULSGEN_SET_FRAME (ticks). */
struct ulsgen_cost {
	__u32 nmi_entry;	/* a non-maskable interrupt without its handler */
	__u32 tsc_khz;
};

/*
 * A run's stamps are read with pread() from offset 0: count pairs of __u64,
 * {sent, returned}; sent is 0 when the frame was missed, returned is 0 when it
 * did not come back.
 */
struct ulsgen_stamp {
	__u64 sent;
	__u64 returned;
};

/* ULSGEN_SET_FRAME is for callers on CPU 0: EXDEV elsewhere. */
#define ULSGEN_SET_FRAME	_IOW('g', 1, struct ulsgen_frame)
#define ULSGEN_START		_IOW('g', 2, struct ulsgen_run)
#define ULSGEN_STATS		_IOR('g', 3, struct ulsgen_stats)
#define ULSGEN_WAIT		_IO('g', 4)	/* until every frame was offered */
#define ULSGEN_COST		_IOR('g', 5, struct ulsgen_cost)

#endif /* ULSGEN_H */
