// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sandstream/uls"
)

// testPath follows frames through echo and forward, end to end.
func testPath(t *tap) {
	w := newWorld(t)
	t.note("forward: %s", w.forwardFlow())
	w.mapOn("/spa/forward.spa", "forward", w.forwardFlow())
	w.forwardFrames()
	w.missed()
	w.headers()
	w.aside()
	w.readers()
	t.ok("unmap", "unmap", "forward")
	w.waitCarrier()
	err := w.stackHears(inPort)
	t.check(err == nil, "after unmap the flow is the kernel stack's", "%v", err)
	err = w.ping()
	t.check(err == nil, "and ARP and ping work", "%v", err)

	w.mapOn("/spa/echo.spa", "echo", steerFlow())
	f := w.newFlood(sendPort)
	err = f.run(1000)
	f.close()
	t.check(err == nil, "echo: 1000 frames of 8 to 1472 bytes come back in order, unchanged", "%v", err)
	s := t.stats("echo")
	t.check(s.RXFrames == 1000 && s.TXFrames == 1000 && counter(s, "echoed") == 1000, "echo: counted by kernel and SPA", "%+v", s)
	t.ok("unmap echo", "unmap", "echo")
}

func (w *world) forwardFrames() {
	t := w.t
	const n = 2000
	f := w.newFlood(outPort)
	err := f.run(n)
	f.close()
	t.check(err == nil, fmt.Sprintf("forward: %d frames of 8 to 1472 bytes arrive in order, unchanged", n), "%v", err)
	t.check(f.from == fmt.Sprintf("%s:%d", hostIP, inPort), "forward: they come from the flow's new source", "%s", f.from)
	s := t.stats("forward")
	t.check(s.RXFrames == n && s.TXFrames == n, "the kernel counts each frame in and out", "received %d, sent %d", s.RXFrames, s.TXFrames)
	t.check(counter(s, "forwarded") == n && counter(s, "drops") == 0, "so does the SPA", "%+v", s.Counters)
	t.check(s.LastCS&3 == 3 && s.LastCS == 0x33, "the SPA ran at CPL3 (CS 0x33)", "CS %v", s.LastCS)
	t.check(s.Upcalls["rx"] > 0 && s.Upcalls["rx"] <= n, "upcalls are made once per batch", "%v", s.Upcalls)
	t.check(s.ContextSwitches == 0 && s.Migrations == 0, "no context switch and no migration in any upcall", "%+v", s)
	t.check(s.Aborts == 0, "no abort", "%d", s.Aborts)
}

// missed has eth0 polled by a kernel thread, in which no upcall is made: they are
// made up for. Without that the traffic would end when the ring is full.
func (w *world) missed() {
	t := w.t
	threaded := func(v string) error { return os.WriteFile("/sys/class/net/eth0/threaded", []byte(v), 0) }
	before := t.stats("forward")
	t.need(threaded("1"), "poll eth0 in a thread")
	t.later(func() { _ = threaded("0") })
	const n = 5000
	f := w.newFlood(outPort)
	err := f.run(n)
	f.close()
	t.need(threaded("0"), "poll eth0 as ever")
	after := t.stats("forward")
	t.check(err == nil, fmt.Sprintf("polled by a thread: %d frames arrive in order, unchanged", n), "%v; %+v", err, after)
	t.check(after.Deferred.BusyPoll > before.Deferred.BusyPoll && after.RXFrames-before.RXFrames == n, "upcalls are made for what was missed", "before %+v, after %+v", before, after)
}

// headers captures forwarded frames on the wire and verifies them byte by byte.
func (w *world) headers() {
	t := w.t
	fd := -1
	err := w.inPeer(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_IP)))
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IP), Ifindex: w.eth1.Attrs().Index})
		}
		return err
	})
	t.need(err, "packet socket of the peer")
	defer unix.Close(fd)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 3})
	f := w.newFlood(outPort)
	defer f.close()
	err = f.run(100)
	t.need(err, "100 more frames")
	var bad []string
	seen := 0
	b := make([]byte, 2048)
	for seen < 100 {
		n, from, err := unix.Recvfrom(fd, b, 0)
		if err != nil {
			break
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if n < 42 || b[23] != 17 || binary.BigEndian.Uint16(b[36:]) != outPort {
			continue
		}
		seen++
		if err := w.verifyFrame(b[:n]); err != nil {
			bad = append(bad, err.Error())
		}
	}
	t.check(seen == 100 && len(bad) == 0,
		"on the wire: MAC addresses, IP and UDP checksums, TTL less one", "%d of 100 seen: %s", seen, strings.Join(bad, "\n"))
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func (w *world) verifyFrame(b []byte) error {
	if !bytes.Equal(b[:6], w.eth1.Attrs().HardwareAddr) || !bytes.Equal(b[6:12], w.eth0.Attrs().HardwareAddr) {
		return fmt.Errorf("MAC addresses % x", b[:12])
	}
	if b[22] != 63 {
		return fmt.Errorf("TTL %d, want 63", b[22])
	}
	if !net.IP(b[26:30]).Equal(net.ParseIP(hostIP)) || !net.IP(b[30:34]).Equal(net.ParseIP(peerIP)) {
		return fmt.Errorf("from %v to %v", net.IP(b[26:30]), net.IP(b[30:34]))
	}
	if s := sum(b[14:34], 0); s != 0xffff {
		return fmt.Errorf("IP checksum: the header sums up to %#x", s)
	}
	udp := b[34 : 34+int(binary.BigEndian.Uint16(b[38:]))]
	pseudo := uint32(17) + uint32(len(udp))
	for i := 26; i < 34; i += 2 {
		pseudo += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if binary.BigEndian.Uint16(b[40:]) == 0 {
		return fmt.Errorf("the UDP checksum is missing")
	}
	if s := sum(udp, pseudo); s != 0xffff {
		return fmt.Errorf("UDP checksum: the datagram sums up to %#x", s)
	}
	return nil
}

// sum is the Internet checksum's: 0xffff over data that holds its checksum.
func sum(b []byte, s uint32) uint32 {
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		s += uint32(b[len(b)-1]) << 8
	}
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return s
}

// aside checks that what is not steered goes to the kernel as ever.
func (w *world) aside() {
	t := w.t
	before := t.stats("forward").RXFrames
	err := w.ping()
	t.check(err == nil, "ARP and ping go past the SPA to the kernel", "%v", err)
	err = w.stackHears(stackPort)
	t.check(err == nil, "UDP to another port goes past the SPA to the kernel", "%v", err)
	after := t.stats("forward").RXFrames
	t.check(before == after, "the SPA saw none of it", "%d frames before, %d after", before, after)
}

// readers runs each command that reads.
func (w *world) readers() {
	t := w.t
	spas := fromJSON[[]uls.SPA](t, ulsctl("list", "--json"))
	t.check(len(spas) == 1 && spas[0].Name == "forward" && spas[0].State == uls.StateLive && spas[0].Device == "eth0" &&
		spas[0].BudgetNS == 10e6, "list", "%+v", spas)
	r := t.ok("show", "show", "forward")
	t.check(strings.Contains(r.out, w.forwardFlow()) && strings.Contains(r.out, "ttl_decrement = on") && strings.Contains(r.out, "eth0/0"),
		"show names port, parameters and flow", "%s", r.out)
	shown := fromJSON[struct{ Flows []uls.Flow }](t, ulsctl("show", "forward", "--json"))
	t.check(len(shown.Flows) == 1 && shown.Flows[0].String() == w.forwardFlow(), "show --json has the flow", "%+v", shown)
	r = t.ok("stats", "stats", "forward")
	t.check(strings.Contains(r.out, "privilege level 3 (CS 0x33)") && strings.Contains(r.out, "####"), "stats draws a histogram", "%s", r.out)
	t.note("%s", r.out)
	st := fromJSON[uls.Stats](t, ulsctl("stats", "forward", "--json"))
	t.check(st.RXFrames == t.stats("forward").RXFrames && st.LastCS == 0x33, "stats --json", "%+v", st)

	t.ok("set", "set", "forward", "log_drops=on", "ttl_decrement=off", "budget=9ms")
	s := t.list()[0]
	t.check(s.BudgetNS == 9e6, "set budget", "%+v", s)
	r = t.ok("show after set", "show", "forward")
	t.check(strings.Contains(r.out, "ttl_decrement = off") && strings.Contains(r.out, "log_drops = on"), "show tells what was set", "%s", r.out)

	// A flow that is steered but not in the SPA's table is dropped and logged.
	other := fmt.Sprintf("udp dst %s:%d", hostIP, stackPort)
	t.ok("flow add", "flow", "add", "forward", other)
	w.sendTo(stackPort)
	logged := wait(3*time.Second, func() bool { return strings.Contains(ulsctl("log", "forward").out, "drop no_flow") })
	t.check(logged, "log shows what the SPA wrote", "%v", ulsctl("log", "forward"))
	t.ok("flow del", "flow", "del", "forward", other)
	r = t.ok("flow list", "flow", "list", "forward")
	t.check(strings.TrimSpace(r.out) == w.forwardFlow(), "flow list has the first flow only", "%s", r.out)
	err := w.stackHears(stackPort)
	t.check(err == nil, "after flow del the port is the kernel's again", "%v", err)

	b := fromJSON[uls.Bench](t, ulsctl("bench", "forward", "--samples", "100", "--batch", "16", "--json"))
	t.check(b.Samples == 100 && b.Batch == 16 && b.TSCMin > 0 && b.TSCMin <= b.TSCMedian && b.TSCMedian <= b.TSCMax,
		"bench", "%+v", b)
	t.note("bench: %+v", b)
}

func (w *world) sendTo(port int) {
	c, err := w.peerUDP(0)
	w.t.need(err, "socket of the peer")
	defer c.Close()
	_, err = c.WriteTo([]byte("to be dropped"), &net.UDPAddr{IP: net.ParseIP(hostIP), Port: port})
	w.t.need(err, "send")
}

// testReplace exchanges the SPA again and again while frames flow.
func testReplace(t *tap) {
	w := newWorld(t)
	w.mapOn("/spa/forward.spa", "forward", w.forwardFlow(), "--param", "log_drops=on")
	collect := t.events()
	f := w.newFlood(outPort)
	done := make(chan error)
	f.gap = 500 * time.Microsecond
	go func() { done <- f.run(3000) }()
	id := t.list()[0].ID
	replaced := 0
	for running := true; running; {
		select {
		case err := <-done:
			running = false
			t.check(err == nil, "replace under traffic: 3000 frames arrive in order, none lost, none twice", "%v", err)
		default:
			if r := ulsctl("replace", "forward", "/spa/forward.spa"); r.status != 0 {
				t.check(false, "replace", "%v", r)
				<-done
				running = false
				continue
			}
			replaced++
		}
	}
	f.close()
	t.check(replaced >= 3, "it was replaced several times meanwhile", "%d times", replaced)
	t.note("replaced %d times", replaced)
	s := t.list()
	t.check(len(s) == 1 && s[0].ID != id && s[0].Name == "forward", "one SPA of that name, a new one", "%+v", s)
	r := t.ok("show", "show", "forward")
	t.check(strings.Contains(r.out, "log_drops = on") && strings.Contains(r.out, w.forwardFlow()), "parameters and flows were carried over", "%s", r.out)
	evs := collect(atLeast(replaced))
	t.check(len(evs) == replaced && evs[0].Kind == uls.EventReplaced, "an event told each time", "%d events for %d replacements: %+v", len(evs), replaced, evs)

	// A replacement that cannot start leaves the old one in place.
	r = ulsctl("replace", "forward", "/spa/tests/init-fails.spa")
	t.refused(1, "INIT", "a replacement that fails in INIT", r)
	f = w.newFlood(outPort)
	err := f.run(100)
	f.close()
	t.check(err == nil, "the old one goes on", "%v", err)
	t.ok("unmap", "unmap", "forward")
}
