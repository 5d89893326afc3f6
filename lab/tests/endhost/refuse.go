// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"sandstream/uls"
)

const nobody = 65534

// testCLI is what does not need a device.
func testCLI(t *tap) {
	newWorld(t)
	r := t.ok("status", "status")
	t.check(strings.Contains(r.out, "ready") && strings.Contains(r.out, "0 of 512 in use"), "status says ready", "%s", r.out)
	info := fromJSON[uls.Info](t, ulsctl("status", "--json"))
	t.check(info.Supported && info.Slices == 512, "status --json", "%+v", info)
	r = ulsctl("list")
	t.check(r.status == 0 && r.out == "" && strings.Contains(r.err, "no SPA"), "an empty list is no data", "%v", r)
	r = ulsctl("list", "--json")
	t.check(r.status == 0 && strings.TrimSpace(r.out) == "[]", "an empty list is [] in JSON", "%v", r)
	r = t.ok("verify", "verify", "/spa/forward.spa")
	t.check(strings.Contains(r.out, "ttl_decrement") && r.err == "", "verify tells parameters", "%v", r)

	t.ok("map without a port", "map", "/spa/tests/idle.spa", "--name", "lonely", "--param", "talk=on", "--param", "period_ns=1000000", "--budget", "10ms")
	ok := wait(5*time.Second, func() bool { return counter(t.stats("lonely"), "timer_runs") > 5 })
	t.check(ok, "an SPA without a port gets its ticks", "%+v", t.stats("lonely"))
	r = t.ok("log", "log", "lonely")
	t.check(strings.Contains(r.out, "idle: run 1 at "), "log", "%s", r.out)
	r = ulsctl("events", "--timeout", "100ms", "--count", "1")
	t.check(r.status == 5, "events --timeout ends with status 5", "%v", r)

	// What the machine can do is open to all, and nothing else.
	r = ulsctlAs(nobody, "status")
	t.check(r.status == 0 && r.out != "", "nobody may: status", "%v", r)
	for _, args := range [][]string{
		{"list", "--json"},
		{"show", "lonely"},
		{"stats", "lonely"},
		{"events", "--timeout=100ms"},
		{"map", "/spa/echo.spa"},
		{"map", "/spa/echo.spa", "--dev", "eth0", "--flow", steerFlow()},
		{"unmap", "lonely"},
		{"set", "lonely", "talk=off"},
		{"set", "lonely", "budget=1ms"},
		{"log", "lonely"},
		{"bench", "lonely"},
		{"replace", "lonely", "/spa/tests/idle.spa"},
	} {
		t.refused(4, "CAP_NET_ADMIN", "nobody may not: "+strings.Join(args[:2], " "), ulsctlAs(nobody, args...))
	}
	t.check(len(t.list()) == 1, "and nothing came of it", "%+v", t.list())

	t.refused(1, `no parameter "volume"`, "set of an unknown parameter", ulsctl("set", "lonely", "volume=11"))
	t.refused(1, "10000000", "a budget that is too large", ulsctl("set", "lonely", "budget=1s"))
	t.refused(1, "the name is in use", "a name that is in use", ulsctl("map", "/spa/echo.spa", "--name", "lonely"))
	t.refused(1, "flows need a device", "flows without a device", ulsctl("map", "/spa/echo.spa", "--flow", steerFlow()))
	t.ok("unmap", "unmap", "lonely")
	t.refused(1, "there is none of that name", "unmap of what is not there", ulsctl("unmap", "lonely"))
	t.refused(1, "there is none of that name", "stats of what is not there", ulsctl("stats", "lonely"))
}

// testRefuse is bad input on a device: each a clear error, nothing half-applied.
func testRefuse(t *tap) {
	w := newWorld(t)
	dir, err := os.MkdirTemp("", "endhost")
	t.need(err, "temporary folder")
	defer os.RemoveAll(dir)
	good, err := os.ReadFile("/spa/forward.spa")
	t.need(err, "read forward.spa")
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		t.need(os.WriteFile(path, b, 0o600), "write "+name)
		return path
	}
	spoil := func(at int, v byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = v
		return b
	}
	on := func(f string, more ...string) result {
		return ulsctl(append([]string{"map", f, "--dev", "eth0", "--flow", w.forwardFlow()}, more...)...)
	}
	for _, c := range []struct {
		what, words string
		status      int
		r           func() result
	}{
		{"truncated file", "truncated", 1, func() result { return on(file("cut.spa", good[:len(good)/2])) }},
		{"foreign file", "not an ELF file", 1, func() result { return on(file("sh.spa", []byte("#!/bin/sh\n"))) }},
		{"another architecture", "x86-64", 1, func() result { return on(file("arm.spa", spoil(18, 183))) }},
		{"an executable", "ET_EXEC", 1, func() result { return on(file("exec.spa", spoil(16, 2))) }},
		{"no such file", "no such file", 1, func() result { return on("/spa/none.spa") }},
		{"unknown device", "there is no such network device", 1, func() result {
			return ulsctl("map", "/spa/forward.spa", "--dev", "eth7", "--flow", steerFlow())
		}},
		{"device without zero copy", "e1000e (with this project's patches), ixgbe", 3, func() result {
			return ulsctl("map", "/spa/forward.spa", "--dev", "lo", "--flow", steerFlow())
		}},
		{"queue that is not there", "eth0 queue 9", 1, func() result { return on("/spa/forward.spa", "--queue", "9") }},
		{"INIT that fails", "INIT", 1, func() result { return on("/spa/tests/init-fails.spa") }},
		{"INIT that faults", "faulted", 1, func() result { return on(patched(t, dir, "/spa/tests/ud2.spa", setWhen(0))) }},
		{"unknown parameter", "it has: ", 1, func() result { return on("/spa/forward.spa", "--param", "colour=red") }},
		{"reservation beyond the limits", "the period must be", 1, func() result { return on("/spa/forward.spa", "--budget", "1ms", "--reserve", "1ms/2s") }},
		{"reservation that holds no upcall", "holds no upcall", 1, func() result {
			return on("/spa/forward.spa", "--budget", "500us", "--reserve", "499us/1ms")
		}},
		{"reservation below the least", "holds no upcall", 1, func() result {
			return on("/spa/forward.spa", "--budget", "20us", "--reserve", "19us/1ms")
		}},
		{"reservation that fits on no CPU", "450us (ask for less with --reserve, or lower", 1, func() result {
			return on("/spa/forward.spa", "--budget", "451us", "--reserve", "451us/1ms")
		}},
		{"more frames than a slice has room for", "slice", 1, func() result { return on("/spa/forward.spa", "--frames", "131072") }},
	} {
		r := c.r()
		t.refused(c.status, c.words, c.what, r)
		t.note("%s", strings.TrimSpace(r.err))
		w.untouched(c.what)
	}
	w.waitCarrier()

	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "veth0"}, PeerName: "veth1"}
	t.need(w.host.LinkAdd(veth), "make a veth pair")
	t.refused(3, "its driver (veth) cannot do AF_XDP zero copy", "veth: native XDP, but no zero copy",
		ulsctl("map", "/spa/forward.spa", "--dev", "veth0", "--flow", steerFlow()))
	w.untouched("veth")
	t.need(w.host.LinkDel(veth), "remove it")

	t.need(w.host.LinkSetDown(w.eth0), "eth0 down")
	t.refused(1, "ip link set eth0 up", "device that is down", on("/spa/forward.spa"))
	t.need(up(w.host, w.eth0, hostIP), "eth0 up")
	w.waitCarrier()

	// The queue has one SPA.
	w.mapOn("/spa/forward.spa", "first", w.forwardFlow())
	t.refused(1, "it is the port of SPA first", "a second SPA on the queue", on("/spa/echo.spa", "--name", "second"))
	t.refused(1, "flow 10.0.1.1:9000 is steered already", "the same flow twice", ulsctl("flow", "add", "first", steerFlow()))
	f := w.newFlood(outPort)
	err = f.run(200)
	f.close()
	t.check(err == nil, "the first one works on", "%v", err)
	t.ok("unmap", "unmap", "first")
	w.waitCarrier()
}

// untouched checks that a refused load has left nothing: no slice, no memory, no
// record, no pin, no XDP program.
func (w *world) untouched(what string) {
	t := w.t
	info := t.holds(uls.Memory{})
	_, err := os.Stat("/sys/fs/bpf/uls")
	l, lerr := w.host.LinkByIndex(w.eth0.Attrs().Index)
	xdp := lerr == nil && l.Attrs().Xdp != nil && l.Attrs().Xdp.Attached
	t.check(info.SlicesUsed == 0 && info.Memory == uls.Memory{} && len(t.list()) == 0 && os.IsNotExist(err) && !xdp,
		what+": nothing is left", "%d slices, %+v, %d SPAs, /sys/fs/bpf/uls: %v, XDP attached: %v", info.SlicesUsed, info.Memory, len(t.list()), err, xdp)
}

// testUnplug takes the device away from under a live SPA.
func testUnplug(t *tap) {
	w := newWorld(t)
	dev, err := os.Readlink("/sys/class/net/eth0/device")
	t.need(err, "find eth0's PCI device")
	slot := filepath.Base(dev)
	driver, err := filepath.EvalSymlinks("/sys/class/net/eth0/device/driver")
	t.need(err, "find eth0's driver")
	w.mapOn("/spa/forward.spa", "forward", w.forwardFlow())
	f := w.newFlood(outPort)
	err = f.run(100)
	f.close()
	t.need(err, "100 frames")
	collect := t.events()
	t.need(os.WriteFile(driver+"/unbind", []byte(slot), 0), "unbind the driver")
	evs := collect(atLeast(1))
	ok := len(evs) == 1 && evs[0].Kind == uls.EventAborted && evs[0].SPA.Abort != nil && evs[0].SPA.Abort.Cause == "device"
	t.check(ok, "the SPA is taken out of service: its device went away", "%+v", evs)
	t.ok("unmap drops the record", "unmap", "forward")
	t.need(os.WriteFile(driver+"/bind", []byte(slot), 0), "bind it again")
	ok = wait(10*time.Second, func() bool {
		w.eth0, err = w.host.LinkByName("eth0")
		return err == nil
	})
	t.must(ok, "eth0 is back", "%v", err)
	t.need(up(w.host, w.eth0, hostIP), "eth0 up")
	t.need(w.interrupts("eth0", 0), "interrupts of eth0")
	w.waitCarrier()
	w.mapOn("/spa/forward.spa", "again", w.forwardFlow())
	f = w.newFlood(outPort)
	err = f.run(100)
	f.close()
	t.check(err == nil, "an SPA works on the device that came back", "%v", err)
	t.ok("unmap again", "unmap", "again")
	w.waitCarrier()
	t.note("%s", fmt.Sprint("unplugged ", slot))
}
