// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// spawn runs the program itself as a helper; it is killed when the group ends.
func (t *tap) spawn(args ...string) *exec.Cmd {
	cmd := helperCommand(args...)
	cmd.Stderr = os.Stdout
	t.need(cmd.Start(), "start helper "+args[0])
	t.later(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// helperCommand is the program itself as a helper. It chooses its own CPU.
func helperCommand(args ...string) *exec.Cmd {
	return exec.Command("/proc/self/exe", append([]string{"helper"}, args...)...)
}

func helperCPU(args []string) {
	cpu, err := strconv.Atoi(args[0])
	if err != nil {
		os.Exit(2)
	}
	setAffinity(cpu)
}

// burnUser spends all its time in user mode.
func burnUser(args []string) {
	helperCPU(args)
	for i := uint64(1); ; i++ {
		if i*i == 2 { // never
			fmt.Println(i)
		}
	}
}

// burnKernel spends nearly all its time inside one system call after the other.
func burnKernel(args []string) {
	helperCPU(args)
	f, err := os.Open("/dev/zero")
	if err != nil {
		os.Exit(1)
	}
	b := make([]byte, 8<<20)
	for {
		if _, err := f.Read(b); err != nil {
			os.Exit(1)
		}
	}
}

// testContexts sends frames while CPU 0, which takes eth0's interrupts, is in user
// mode, in a system call, or idle; each time the upcall must run right there.
func testContexts(t *tap) {
	w := newWorld(t)
	if cpus() < 2 {
		t.skip("user, kernel and idle context", "one CPU only: the sender would be part of every case")
		return
	}
	// With a reservation: that is what keeps a busy port away from ksoftirqd.
	w.mapOn("/spa/forward.spa", "forward", w.forwardFlow(), "--budget", "500us", "--reserve", "500us/2ms")
	for _, c := range []struct{ context, load string }{
		{"idle", ""}, {"user", "burn-user"}, {"kernel", "burn-kernel"},
	} {
		var load *exec.Cmd
		if c.load != "" {
			load = t.spawn(c.load, "0")
		}
		before := t.stats("forward")
		f := w.newFlood(outPort)
		f.window = 1 // one frame, one interrupt, one upcall
		err := f.run(200)
		f.close()
		after := t.stats("forward")
		if load != nil {
			_ = load.Process.Kill()
			_ = load.Wait()
		}
		t.check(err == nil, c.context+": 200 frames arrive", "%v", err)
		grew := after.Contexts[c.context] - before.Contexts[c.context]
		all := after.Upcalls["rx"] - before.Upcalls["rx"]
		t.check(all > 0 && grew*10 >= all*6, fmt.Sprintf("%s: the upcalls ran over it", c.context),
			"%d of %d upcalls; before %v, after %v", grew, all, before.Contexts, after.Contexts)
		t.check(after.Contexts["ksoftirqd"] == before.Contexts["ksoftirqd"], c.context+": none was left to ksoftirqd",
			"before %v, after %v", before.Contexts, after.Contexts)
		t.check(after.ContextSwitches == 0 && after.Migrations == 0 && after.LastCS == 0x33 && after.LastCPU == 0,
			c.context+": at CPL3, on the interrupted CPU, without a context switch", "%+v", after)
		t.note("%s: contexts %v", c.context, after.Contexts)
	}
	t.ok("unmap", "unmap", "forward")
}
