// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os/exec"
	"strings"
	"time"

	"sandstream/uls"
)

// testLimit asks for reservations and shares of CPUs: which fit, what is said of
// them, and where they are kept.
func testLimit(t *tap) {
	w := newWorld(t)
	l := fromJSON[uls.CPULimit](t, ulsctl("limit", "--json"))
	t.check(l.Share == 50 && len(l.CPUs) == cpus() && l.CPUs[0].LeftPPM == 450000 && l.CPUs[0].PoolPPM == 500000 && l.CPUs[0].ReservedPPM == 0,
		"processes keep half of each CPU unless asked, and nothing is reserved", "%+v", l)
	r := t.ok("limit", "limit")
	t.check(strings.Contains(r.out, "50 % of each CPU") && strings.Contains(r.out, "45.0 %"), "the table says so", "%v", r)
	for _, c := range []struct {
		share, words string
		status       int
	}{
		{"4%", "must be 5 to 95 %", 2}, {"96", "must be 5 to 95 %", 2}, {"half", "no whole number", 2}, {"", "no whole number", 2},
	} {
		t.refused(c.status, c.words, "limit --cpu-share "+c.share, ulsctl("limit", "--cpu-share", c.share))
	}

	on := func(name string, more ...string) result {
		args := []string{"map", "/spa/forward.spa", "--dev", "eth0", "--name", name, "--flow", w.forwardFlow()}
		t.later(func() { t.unmap(name) })
		return ulsctl(append(args, more...)...)
	}
	says := func(r result, words string) {
		t.check(r.status == 0 && strings.Contains(r.err, words) && strings.Contains(r.err, "processes keep at least 50 % of each CPU"),
			fmt.Sprintf("map says %q and what processes keep", words), "%v", r)
	}
	for _, c := range []struct{ words, budget, reserve string }{
		{"reservation 500µs/5ms (default)", "", ""},
		{"reservation 100µs/1ms (default)", "25us", ""},
		{"reservation 1ms/10ms (default)", "1ms", ""},
		{"a tenth of a CPU holds no upcall of 1.001ms", "1001us", ""},
		{"no reservation: the pool of the CPU pays", "", "none"},
		{"reservation 450µs/1ms;", "450us", "450us/1ms"},
	} {
		var more []string
		if c.budget != "" {
			more = append(more, "--budget", c.budget)
		}
		if c.reserve != "" {
			more = append(more, "--reserve", c.reserve)
		}
		says(on("limited", more...), c.words)
		if c.reserve != "450us/1ms" {
			t.ok("unmap", "unmap", "limited")
		}
	}

	// 45 % are reserved, and no more fit with this share.
	t.refused(1, "make reservations smaller", "a share that what is reserved does not leave room for", ulsctl("limit", "--cpu-share", "51%"))
	t.refused(1, "holds no upcall", "a budget beyond the reservation", ulsctl("set", "limited", "budget=451us"))
	t.refused(1, "holds no upcall", "a reservation below the budget", ulsctl("set", "limited", "reserve=449us/1ms"))
	t.refused(1, "lower what processes keep", "a larger reservation", ulsctl("set", "limited", "reserve=451us/1ms"))
	s := find(t.list(), "limited")
	t.check(s != nil && s.RuntimeNS == 450000 && s.HomeCPU != nil, "what was refused has changed nothing", "%+v", s)
	t.ok("a share of 5 %", "limit", "--cpu-share", "5%")
	t.later(func() { ulsctl("limit", "--cpu-share", "50%") })
	t.ok("now it fits", "set", "limited", "reserve=855us/1ms")
	t.ok("a smaller one", "set", "limited", "reserve=450us/1ms")
	t.ok("the share set back", "limit", "--cpu-share", "50%")

	// It is kept where the port is polled, and goes along.
	w.waitCarrier()
	for cpu := range cpus() {
		t.need(w.interrupts("eth0", cpu), "interrupts of eth0")
		before := t.stats("limited").Polls
		f := w.newFlood(outPort)
		err := f.run(200)
		f.close()
		after, s := t.stats("limited").Polls, find(t.list(), "limited")
		t.check(err == nil, fmt.Sprintf("polled on CPU %d: 200 frames arrive", cpu), "%v", err)
		t.check(s != nil && s.HomeCPU != nil && int(*s.HomeCPU) == cpu, fmt.Sprintf("the reservation is kept on CPU %d", cpu), "%+v", s)
		t.check(after.Polls > before.Polls && after.Pool == before.Pool, "and pays for the polls", "before %+v, after %+v", before, after)
		t.check(strings.Contains(ulsctl("show", "limited").out, fmt.Sprintf("450µs/1ms, kept on CPU %d", cpu)), "show says so", "%v", ulsctl("show", "limited"))
	}
	t.need(w.interrupts("eth0", 0), "interrupts of eth0")

	t.ok("without a reservation", "set", "limited", "reserve=none")
	before := t.stats("limited").Polls
	f := w.newFlood(outPort)
	err := f.run(200)
	f.close()
	after := t.stats("limited").Polls
	t.check(err == nil && after.Polls > before.Polls && after.Polls-before.Polls == after.Pool-before.Pool, "the pool pays for all polls", "%v; before %+v, after %+v", err, before, after)
	t.ok("unmap", "unmap", "limited")
	l = fromJSON[uls.CPULimit](t, ulsctl("limit", "--json"))
	t.check(l.CPUs[0].ReservedPPM == 0 && l.CPUs[0].TakenNS > 0, "in the end nothing is reserved", "%+v", l)
	w.waitCarrier()
}

// deadline is how long a driver may wait for its port at the most, whatever has
// been reserved and is owed. All of it but the drivers' own times is ours.
const deadline = time.Second

// testWaits takes a flooded port down, and has its rings made anew, with the least
// that can be reserved.
func testWaits(t *tap) {
	w := newWorld(t)
	flow, err := uls.ParseFlow(w.forwardFlow())
	t.need(err, "flow")

	// Maps, floods until the reservation is used up again and again, does it.
	under := func(what string, do func() error) {
		_, err := t.client().Map(uls.MapOptions{
			File: "/spa/forward.spa", Device: "eth0", Name: "slow", Flows: []uls.Flow{flow}, Budget: 20 * time.Microsecond,
			Reserve: &uls.Reserve{Runtime: 20 * time.Microsecond, Period: 10 * time.Millisecond},
		})
		t.need(err, "map forward.spa with 20us/10ms")
		t.later(func() { t.unmap("slow") })
		w.waitCarrier()
		w.resolveHost()
		before := t.stats("slow").Polls
		var source *exec.Cmd
		t.need(w.inPeer(func() error {
			source = helperCommand("pour", "0", fmt.Sprintf("%s:%d", hostIP, inPort), "3000")
			return source.Start()
		}), "start the source")
		wait(5*time.Second, func() bool { return t.stats("slow").Polls.Throttled > before.Throttled+5 })
		after := t.stats("slow").Polls
		t.check(after.Throttled > before.Throttled+5, what+": the port is throttled", "before %+v, after %+v", before, after)
		start := time.Now()
		err = do()
		took := time.Since(start)
		t.check(err == nil && took <= deadline, fmt.Sprintf("%s: within %v", what, deadline), "%v, %v", took, err)
		t.note("%s took %v", what, took)
		_ = source.Process.Kill()
		_ = source.Wait()
	}

	under("ip link set down", func() error { return w.host.LinkSetDown(w.eth0) })
	t.unmap("slow")
	t.need(up(w.host, w.eth0, hostIP), "eth0 up")
	t.need(w.interrupts("eth0", 0), "interrupts of eth0")
	w.waitCarrier()
	under("a change of the MTU", func() error { return w.host.LinkSetMTU(w.eth0, 1400) })
	t.need(w.host.LinkSetMTU(w.eth0, 1500), "MTU as ever")
	t.unmap("slow")
	w.waitCarrier()
}
