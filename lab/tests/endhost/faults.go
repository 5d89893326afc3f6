// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"sandstream/uls"
)

// ending is how an SPA of /spa/tests must end.
type ending struct {
	cause   string
	vector  uint32                          // 0: any
	address func(s *uls.SPA, a uint64) bool // nil: any
	or      *ending                         // depends on the CPU's make
}

const (
	divideError = 0
	debugTrap   = 1
	breakpoint  = 3
	invalidOp   = 6
	noFPU       = 7
	protection  = 13
	pageFault   = 14
)

// at wants one address, inSlice one of the SPA's own slice between two offsets.
func at(want uint64) func(*uls.SPA, uint64) bool {
	return func(_ *uls.SPA, a uint64) bool { return a == want }
}

func inSlice(from, to uint64) func(*uls.SPA, uint64) bool {
	return func(s *uls.SPA, a uint64) bool { return a >= uint64(s.Base)+from && a < uint64(s.Base)+to }
}

func fault(vector uint32, address func(*uls.SPA, uint64) bool) ending {
	return ending{cause: "fault", vector: vector, address: address}
}

// endings has one entry for each file of /spa/tests that must be stopped.
var endings = map[string]ending{
	"bad-service":       {cause: "service", address: at(110)},
	"cli":               fault(protection, nil),
	"direct-map-read":   fault(pageFault, at(0xffff888000000000)),
	"div0":              fault(divideError, nil),
	"exec-data":         fault(pageFault, inSlice(0x100000, 0x8000000)),
	"exec-umem":         fault(pageFault, inSlice(0x28000000, 0x40000000)),
	"far-kernel-jump":   fault(pageFault, at(0xffffffff81000000)),
	"hang-irq-off-try":  {cause: "budget"},
	"hlt":               fault(protection, nil),
	"int3":              fault(breakpoint, nil),
	"int80":             {cause: "service", vector: 0x80, address: at(20)},
	"kernel-read":       fault(pageFault, at(0xffffffff81000000)),
	"neighbour-read":    fault(pageFault, inSlice(0x40010000, 0x40011000)),
	"neighbour-write":   fault(pageFault, inSlice(0x40020000, 0x40021000)),
	"no-tick":           {cause: "self", address: at(3)},
	"noncanonical-read": fault(protection, nil),
	"null-read":         fault(pageFault, at(0)),
	"null-write":        fault(pageFault, at(0)),
	"outb":              fault(protection, nil),
	"popf-tf":           fault(debugTrap, nil),
	"rdmsr":             fault(protection, nil),
	"selector-bad":      fault(protection, nil),
	"selector-ldt":      fault(protection, nil),
	"self-abort":        {cause: "self", address: at(0x1234)},
	"spin":              {cause: "budget"},
	"sse":               fault(noFPU, nil),
	"stack-overflow":    fault(pageFault, inSlice(0x10000000, 0x18000000)),
	"sysenter":          {cause: "service", or: &ending{cause: "fault", vector: invalidOp}}, // AMD: none in 64-bit mode
	"ud2":               fault(invalidOp, nil),
	"user-stack-read":   fault(pageFault, at(0x7fffffffe000)),
	"wrcr3":             fault(protection, nil),
	"write-info":        fault(pageFault, inSlice(0x10000, 0x11000)),
	"write-rodata":      fault(pageFault, inSlice(0x100000, 0x8000000)),
	"write-text":        fault(pageFault, inSlice(0x100000, 0x8000000)),
	"x87":               fault(noFPU, nil),
}

// survivors may do what they do; the interrupted process must not see it, which
// the group "registers" checks.
var survivors = []string{"bad-stack", "general-regs", "popf-leak", "selectors", "wrfsgsbase"}

// elsewhere are files other groups are about, or that fail before they run.
var elsewhere = []string{"busy", "hostile", "idle", "init-fails", "relocs", "wrpkru"}

// onPort are the cases that are also done by a frame on a device, one of each
// kind: there the traffic must go back to the kernel's stack. A map takes seconds,
// since each change of a card's XDP program resets it.
var onPort = []string{"kernel-read", "exec-umem", "neighbour-write", "stack-overflow", "spin", "bad-service", "self-abort"}

// testFaults lets each of them do its worst, in a tick.
func testFaults(t *tap) {
	files, err := filepath.Glob("/spa/tests/*.spa")
	t.need(err, "list /spa/tests")
	known := map[string]bool{}
	for _, name := range append(survivors, elsewhere...) {
		known[name] = true
	}
	seen := 0
	t.traceAborts()
	collect := t.events()
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".spa")
		e, ok := endings[name]
		if !ok {
			t.check(known[name], "the test knows "+name, "%s has no expected end in lab/tests/endhost/faults.go", file)
			continue
		}
		if t.param != "" && t.param != name {
			continue
		}
		seen++
		if name == "exec-umem" {
			continue // it needs frames
		}
		o := uls.MapOptions{File: file, Name: name, Budget: 5 * time.Millisecond}
		if name != "no-tick" { // it has no parameters
			o.Params = map[string]string{"when": "2"}
		}
		t.stopped(name, e, func() {}, collect, o)
		t.unmap(name)
	}
	t.check(seen == len(endings) || t.param != "", "all cases are there", "%d of %d", seen, len(endings))
}

// testFaultsPort does it when a frame arrives. "faults-port=all" does all cases.
func testFaultsPort(t *tap) {
	w := newWorld(t)
	flow, err := uls.ParseFlow(steerFlow())
	t.need(err, "flow")
	t.traceAborts()
	collect := t.events()
	names := onPort
	if t.param == "all" {
		names = nil
		for name := range endings {
			names = append(names, name)
		}
		sort.Strings(names)
	}
	for _, name := range names {
		o := uls.MapOptions{
			File: "/spa/tests/" + name + ".spa", Device: "eth0", Name: name, Flows: []uls.Flow{flow}, Budget: 5 * time.Millisecond,
		}
		if !t.stopped(name, endings[name], func() { w.waitCarrier(); w.poke(100) }, collect, o) {
			continue
		}
		w.waitCarrier()
		err := w.stackHears(inPort)
		t.check(err == nil, name+": its traffic is back with the kernel's stack", "%v", err)
		t.ok(name+": unmap drops the record", "unmap", name)
	}
	// The host is alive, and a good SPA works where all the bad ones were.
	w.mapOn("/spa/forward.spa", "forward", w.forwardFlow())
	f := w.newFlood(outPort)
	err = f.run(200)
	f.close()
	t.check(err == nil, "afterwards forward works as ever", "%v", err)
	t.ok("unmap", "unmap", "forward")
	w.waitCarrier()
	err = w.ping()
	t.check(err == nil, "and ping", "%v", err)
}

// stopped maps an SPA, provokes it until it is taken out of service, and compares
// how that is told with what is expected.
func (t *tap) stopped(name string, e ending, provoke func(), collect func(func([]uls.Event) bool) []uls.Event, o uls.MapOptions) bool {
	_, err := t.client().Map(o)
	t.later(func() { t.unmap(name) })
	if !t.check(err == nil, name+": mapped", "%v", err) {
		return false
	}
	var spa *uls.SPA
	for range 20 { // a frame may fall into a reset of the card
		provoke()
		if wait(300*time.Millisecond, func() bool { spa = find(t.list(), name); return spa != nil && spa.State == uls.StateAborted }) {
			break
		}
	}
	if !t.check(spa != nil && spa.Abort != nil, name+": taken out of service", "%+v", spa) {
		return false
	}
	t.check(e.matches(spa, spa.Abort), fmt.Sprintf("%s: %s", name, e), "%+v", spa.Abort)
	var told *uls.Event
	collect(func(evs []uls.Event) bool {
		for i, ev := range evs {
			if ev.Kind == uls.EventAborted && ev.SPA.Name == name {
				told = &evs[i]
			}
		}
		return told != nil
	})
	t.check(told != nil && told.SPA.Abort != nil && told.SPA.Abort.Text == spa.Abort.Text,
		name+": the event tells cause and address", "%+v", told)
	t.tracedOnce(spa)
	t.note("%s: %s", name, spa.Abort.Text)
	if st := t.stats(name); name != "no-tick" {
		t.check(counter(st, "survived") == 0, name+": it did not survive the attempt", "%+v", st)
	}
	return true
}

const tracing = "/sys/kernel/tracing/"

// traceAborts has the kernel record the tracepoint uls_abort until the group ends.
func (t *tap) traceAborts() {
	set := func(file, value string) error { return os.WriteFile(tracing+file, []byte(value), 0) }
	t.need(set("trace", ""), "empty the trace")
	t.need(set("events/uls/uls_abort/enable", "1"), "trace uls_abort")
	t.later(func() { _ = set("events/uls/uls_abort/enable", "0") })
}

// tracedOnce checks that the trace has one event of that SPA, and that it tells
// what the record of the abort does.
func (t *tap) tracedOnce(spa *uls.SPA) {
	b, err := os.ReadFile(tracing + "trace")
	t.need(err, "read the trace")
	var got []string
	for _, line := range strings.Split(string(b), "\n") {
		if _, event, ok := strings.Cut(line, " uls_abort: "); ok && strings.HasPrefix(event, fmt.Sprintf("id=%d ", spa.ID)) {
			got = append(got, event)
		}
	}
	a := spa.Abort
	want := fmt.Sprintf("id=%d cause=%s vector=%d error=%#x address=%#x ip=%#x reason=", spa.ID, a.Cause, a.Vector,
		uint64(a.ErrorCode), uint64(a.Address), uint64(a.IP))
	t.check(len(got) == 1 && strings.HasPrefix(got[0], want), spa.Name+": one trace event tells the same", "%q, want %q", got, want)
}

func find(spas []uls.SPA, name string) *uls.SPA {
	for i := range spas {
		if spas[i].Name == name {
			return &spas[i]
		}
	}
	return nil
}

func (e ending) String() string {
	text := "ended by " + e.cause
	if e.vector != 0 {
		text += fmt.Sprint(", vector ", e.vector)
	}
	if e.address != nil {
		text += ", address as expected"
	}
	if e.or != nil {
		text += ", or " + e.or.String()
	}
	return text
}

func (e ending) matches(s *uls.SPA, a *uls.Abort) bool {
	if e.or != nil && e.or.matches(s, a) {
		return true
	}
	return a.Cause == e.cause && (e.vector == 0 || a.Vector == e.vector) &&
		(e.address == nil || e.address(s, uint64(a.Address)))
}

// testSurvivors: what is allowed does not stop an SPA.
func testSurvivors(t *tap) {
	w := newWorld(t)
	for _, name := range append(survivors, "idle", "relocs") {
		file := "/spa/tests/" + name + ".spa"
		if _, err := os.Stat(file); err != nil {
			t.check(false, name+" is there", "%v", err)
			continue
		}
		w.mapOn(file, name, steerFlow())
		before := t.stats(name).Upcalls["rx"]
		for range 20 {
			w.poke(100)
			if t.stats(name).Upcalls["rx"] > before+3 {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		spa := find(t.list(), name)
		s := t.stats(name)
		t.check(spa != nil && spa.State == uls.StateLive && s.Upcalls["rx"] > before, name+": lives on", "%+v %+v", spa, s)
		if name == "idle" {
			ok := wait(3*time.Second, func() bool { return counter(t.stats(name), "timer_runs") > 3 })
			s = t.stats(name)
			t.check(ok && counter(s, "ticks") > 3 && counter(s, "clock_backwards") == 0, "idle: ticks and timers run", "%+v", s)
			t.check(strings.Contains(ulsctl("log", name).out, "idle: port"), "idle: its log is read", "%v", ulsctl("log", name))
		}
		t.ok("unmap "+name, "unmap", name)
	}
}
