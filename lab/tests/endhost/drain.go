// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"sandstream/uls"
)

// pour sends small frames to an address for some milliseconds, as fast as it can.
//
//	pour CPU IP:PORT MS
func pour(args []string) {
	helperCPU(args)
	c, err := net.Dial("udp4", args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "pour:", err)
		os.Exit(1)
	}
	ms, _ := strconv.Atoi(args[2])
	b := make([]byte, 64)
	for end := time.Now().Add(time.Duration(ms) * time.Millisecond); time.Now().Before(end); {
		_, _ = c.Write(b)
	}
}

// work prints how much it could do in some milliseconds.
//
//	work CPU MS
func work(args []string) {
	helperCPU(args)
	ms, _ := strconv.Atoi(args[1])
	n, x := 0, uint64(1)
	for end := time.Now().Add(time.Duration(ms) * time.Millisecond); time.Now().Before(end); n++ {
		for range 1000 {
			x = x*6364136223846793005 + 1
		}
	}
	fmt.Println(n, x)
}

// worked runs work on the last CPU.
func (t *tap) worked(ms int) int {
	out, err := helperCommand("work", strconv.Itoa(cpus()-1), strconv.Itoa(ms)).CombinedOutput()
	t.need(err, "work")
	n, err := strconv.Atoi(strings.Fields(string(out))[0])
	t.need(err, "work")
	return n
}

// testDrain receives on CPU 0, with a reservation far below what the SPA takes for
// the frames, and has it tick on the last CPU. A tick during which frames arrive
// must not make that CPU the one that handles all frames to come, outside of every
// account: a process there goes on. And no frame is left behind when they end.
func testDrain(t *tap) {
	w := newWorld(t)
	if cpus() < 2 {
		t.skip("ticks while another CPU receives", "one CPU only")
		return
	}
	t.need(w.interrupts("eth1", 0), "interrupts of eth1")
	const ms = 1500
	// The emulator's CPUs take turns, so CPU 0 is busy here as it will be then.
	other := t.spawn("burn-user", "0")
	alone := t.worked(ms)
	_ = other.Process.Kill()
	_ = other.Wait()
	flow, err := uls.ParseFlow(steerFlow())
	t.need(err, "flow")
	c := t.client()
	_, err = mapOnCPU(c, cpus()-1, uls.MapOptions{
		File: "/spa/tests/busy.spa", Device: "eth0", Name: "busy", Flows: []uls.Flow{flow}, Budget: 2500 * time.Microsecond,
		Reserve: &uls.Reserve{Runtime: 2500 * time.Microsecond, Period: 10 * time.Millisecond},
	})
	t.need(err, "map busy.spa, to tick on the last CPU")
	t.later(func() { t.unmap("busy") })
	w.waitCarrier()
	w.resolveHost()

	var source *exec.Cmd
	t.need(w.inPeer(func() error {
		source = helperCommand("pour", "0", fmt.Sprintf("%s:%d", hostIP, inPort), strconv.Itoa(ms+1000))
		source.Stderr = os.Stdout
		return source.Start()
	}), "start the source")
	before := t.stats("busy")
	got := t.worked(ms)
	after := t.stats("busy")
	t.need(source.Wait(), "end the source")

	rx, ticks := after.Upcalls["rx"]-before.Upcalls["rx"], after.Upcalls["tick"]-before.Upcalls["tick"]
	ns := time.Duration(after.UpcallNS - before.UpcallNS)
	t.note("in %d ms: %d RX upcalls, %d ticks, %v; %d of %d units of work on the last CPU; contexts %v",
		ms, rx, ticks, ns, got, alone, after.Contexts)
	t.check(rx > 0 && after.RXFrames > before.RXFrames, "frames are received meanwhile", "%+v", after)
	t.check(alone > 1000, "there is work to compare with", "%d units", alone)
	t.check(got*100 >= alone*48, "a process on the CPU that ticks keeps its half of it", "%d of %d units of work", got, alone)

	seen := counter(t.stats("busy"), "ticks")
	ok := wait(5*time.Second, func() bool {
		s := t.stats("busy")
		return counter(s, "ticks") > seen+1 && counter(s, "standing") == 0
	})
	t.check(ok, "at the end no frame is left in the ring", "%+v", t.stats("busy"))
	spa := find(t.list(), "busy")
	t.check(spa != nil && spa.State == uls.StateLive, "the SPA is live", "%+v", spa)
	t.ok("unmap", "unmap", "busy")
}
