// SPDX-License-Identifier: Apache-2.0

// Package vm boots a kernel under QEMU, gives it a job, and brings back what
// happened.
//
// A [Machine] describes the hardware, a [Job] what PID 1 (lab/guest/init)
// does, an [Image] the initramfs. [Run] boots the machine, waits for its end and
// returns a [Result]: how each program ended, its output, the files it left, the
// kernel's log. Nothing but the guest's own report, on a virtio-serial port of its
// own, makes a run a success; a guest that hangs, panics or powers off early has
// not reported and so has failed, and a kernel splat (BUG, WARNING, lockdep, KASAN,
// ...) fails a run whatever the programs said.
//
// Emulation is always software (TCG). With [Machine.Exact] guest time is a count
// of instructions (-icount shift=0), nothing in the guest depends on the host's
// clock, and two runs of the same image give the same bytes: report and captures
// go to plain files, which never make the guest wait.
package vm
