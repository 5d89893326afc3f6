// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"sandstream/uls"
)

// Several tenants: SPAs that take all the time they can get (hostile.spa), busy
// processes beside them (lab/tests/hog), and what is left to whom.
//
// All times are guest virtual time: a tick of the time stamp counter is a
// nanosecond. Nobody measures while the guest may stand still: SPAs and processes
// know the window beforehand, and look at the counter themselves.

// stamp reads the time stamp counter.
func stamp() uint64

const hostileFile = "/spa/tests/hostile.spa"

// A window is a stretch of time, in time stamps.
type window struct {
	at     uint64
	length time.Duration
}

// soon is a window that begins after the set-up.
func soon(setup, length time.Duration) window {
	return window{at: stamp() + uint64(setup), length: length}
}

func (w window) until() uint64 { return w.at + uint64(w.length) }

// left is the time until the window is over.
func (w window) left() time.Duration { return time.Duration(int64(w.until() - stamp())) }

// progress is what the busy processes of one CPU did in a window.
type progress struct {
	units   uint64
	least   uint64        // of one of them
	longest time.Duration // in which none did anything
}

// hogs runs n busy processes on each CPU in that window. The function it returns
// waits for them.
func (t *tap) hogs(w window, n int, on ...int) (collect func() map[int]progress) {
	args := []string{fmt.Sprint(w.at), fmt.Sprint(w.until()), strconv.Itoa(n)}
	for _, cpu := range on {
		args = append(args, strconv.Itoa(cpu))
	}
	cmd := exec.Command("/tests/hog/hog", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	t.need(cmd.Start(), "start busy processes")
	return func() map[int]progress {
		if err := cmd.Wait(); err != nil {
			t.must(false, "busy processes", "%v: %s", err, errs.String())
		}
		did := map[int]progress{}
		for line := range strings.Lines(out.String()) {
			var cpu int
			var v progress
			if _, err := fmt.Sscan(line, &cpu, &v.units, &v.least, &v.longest); err != nil {
				t.must(false, "busy processes", "%q: %v", line, err)
			}
			did[cpu] = v
		}
		return did
	}
}

// alone is what they do when there is nothing else.
func (t *tap) alone(length time.Duration, n int, on ...int) map[int]progress {
	return t.hogs(soon(hogSetup(n), length), n, on...)()
}

// hogSetup is how long it takes until n processes are there, and awake.
func hogSetup(n int) time.Duration {
	return 60*time.Millisecond + time.Duration(n)*2*time.Millisecond
}

// kept is the part of their time that the processes of a CPU have kept.
func kept(did, alone map[int]progress, cpu int) float64 {
	return float64(did[cpu].units) / float64(alone[cpu].units)
}

// row prints one row of a table, for machines, beside the checks.
func (t *tap) row(table string, fields map[string]any) {
	fields["table"] = table
	b, err := json.Marshal(fields) // sorts the keys
	t.need(err, "row of "+table)
	t.note("row %s", b)
}

// A tenant is one hostile SPA.
type tenant struct {
	name    string
	file    string // hostile.spa if empty
	device  string // none if empty
	cpu     int    // of its ticks: the one it is committed on
	budget  time.Duration
	reserve string // "" leaves it to the module
	params  map[string]string
}

// admit maps a tenant, until the group ends.
func (t *tap) admit(a tenant) {
	if r := t.apply(a); r.status != 0 {
		t.must(false, "map "+a.name, "%v", r)
	}
}

// apply maps a tenant, until the group ends, if it is admitted.
func (t *tap) apply(a tenant) (r result) {
	if a.file == "" {
		a.file = hostileFile
	}
	args := []string{"map", a.file, "--name", a.name, "--budget", a.budget.String()}
	if a.device != "" {
		args = append(args, "--dev", a.device, "--flow", stormFlow)
	}
	if a.reserve != "" {
		args = append(args, "--reserve", a.reserve)
	}
	for name, value := range a.params {
		args = append(args, "--param", name+"="+value)
	}
	delete(t.tenants, a.name)
	onCPU(a.cpu, func() {
		r = ulsctl(args...)
	})
	if r.status == 0 {
		t.later(func() { t.unmap(a.name) })
	}
	return r
}

// admitMany maps n tenants without a port on one CPU, without a process for each.
func (t *tap) admitMany(n, cpu int, prefix string, budget func(i int) time.Duration, params map[string]string) (names []string) {
	for i := range n {
		name := fmt.Sprint(prefix, i)
		delete(t.tenants, name)
		_, err := mapOnCPU(t.client(), cpu, uls.MapOptions{File: hostileFile, Name: name, Budget: budget(i), Params: params})
		t.need(err, "map "+name)
		t.later(func() { t.unmap(name) })
		names = append(names, name)
	}
	return names
}

// arm tells tenants their window. They must all know it before it begins.
func (t *tap) arm(w window, names ...string) {
	for _, name := range names {
		spa := t.tenant(name)
		// Of all that were told, only when it changes: they tick meanwhile.
		if t.lengths[name] != w.length {
			t.need(t.client().SetParam(spa, "length", fmt.Sprint(uint64(w.length))), "length of "+name)
			t.lengths[name] = w.length
		}
		t.need(t.client().SetParam(spa, "at", fmt.Sprint(w.at)), "begin of "+name)
	}
	if late := int64(stamp() - w.at); late > 0 {
		t.must(false, "all is ready before the window begins", "%d ns late", late)
	}
}

// tenant is the SPA of that name; it is asked for once.
func (t *tap) tenant(name string) *uls.SPA {
	if t.tenants == nil {
		t.tenants, t.lengths = map[string]*uls.SPA{}, map[string]time.Duration{}
	}
	if t.tenants[name] == nil {
		spa, err := t.client().SPAByName(name)
		t.need(err, "find "+name)
		t.tenants[name] = spa
		delete(t.lengths, name)
	}
	return t.tenants[name]
}

// wait returns some time after the window, when what was left in the rings is gone.
func (w window) wait() {
	for w.left() > 0 {
		time.Sleep(w.left() + 20*time.Millisecond)
	}
}

// onCPU runs f on a CPU; programs that f starts are bound to it.
func onCPU(cpu int, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		setAffinity(cpu) // the thread ends with the goroutine
		f()
	}()
	<-done
}

// stormFlow is what hostile SPAs send each other.
const stormFlow = "udp dst 10.9.9.9:9999"

// wires brings up n ports; port i has its interrupts on CPU cpus[i].
func (t *tap) wires(cpus ...int) {
	for _, f := range []string{"all", "default"} {
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+f+"/disable_ipv6", []byte("1"), 0)
	}
	for i, cpu := range cpus {
		name := fmt.Sprint("eth", i)
		l, err := netlink.LinkByName(name)
		t.need(err, "find "+name)
		t.need(netlink.LinkSetUp(l), name+" up")
		t.need(interruptsOf(name, cpu), "interrupts of "+name)
	}
	t.carrier(len(cpus))
}

// carrier waits for the links of n ports.
func (t *tap) carrier(n int) {
	ok := wait(20*time.Second, func() bool {
		for i := range n {
			l, err := netlink.LinkByName(fmt.Sprint("eth", i))
			if err != nil || l.Attrs().OperState != netlink.OperUp {
				return false
			}
		}
		return true
	})
	if !ok {
		t.must(false, "all links are up", "they are not after 20 s")
	}
}

// settle waits until n ports carry frames after a change of their SPAs. QEMU's take
// none in the first second after their set-up.
func (t *tap) settle(n int) {
	t.carrier(n)
	time.Sleep(1200 * time.Millisecond)
}

// tickless is hostile.spa without ticks.
func (t *tap) tickless() string {
	dir, err := os.MkdirTemp("", "tenants")
	t.need(err, "temporary folder")
	t.later(func() { os.RemoveAll(dir) })
	return patched(t, dir, hostileFile, setManifest(func(m *manifest) { m.TickUS = 0 }))
}
