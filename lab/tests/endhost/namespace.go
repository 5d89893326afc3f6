// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"sandstream/uls"
)

// exitMax is how long a network namespace may live on after its last process, in
// guest time.
const exitMax = time.Second

// An nsTenant is a process with a network namespace of its own, to which eth0 goes.
// Nothing but the process keeps the namespace when end is called.
type nsTenant struct {
	w     *world
	root  *netlink.Handle // the world's while the tenant lives is the tenant's
	cmd   *exec.Cmd
	stdin io.Closer
	ns    netns.NsHandle
}

// tenantHelper is the process: it lives until its input ends.
func tenantHelper([]string) { _, _ = io.Copy(io.Discard, os.Stdin) }

func (w *world) newTenant() *nsTenant {
	n := &nsTenant{w: w, root: w.host, cmd: exec.Command("/proc/self/exe", "helper", "tenant")}
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	var err error
	n.stdin, err = n.cmd.StdinPipe()
	w.t.need(err, "pipe")
	w.t.need(n.cmd.Start(), "start a process in a network namespace of its own")
	w.t.need(w.host.LinkSetNsPid(w.eth0, n.cmd.Process.Pid), "give it eth0")
	n.ns, err = netns.GetFromPid(n.cmd.Process.Pid)
	w.t.need(err, "open its namespace")
	w.host, err = netlink.NewHandleAt(n.ns, unix.NETLINK_ROUTE)
	w.t.need(err, "rtnetlink in its namespace")
	w.settle()
	return n
}

// settle brings eth0 up where the world now has it.
func (w *world) settle() {
	var err error
	w.eth0, err = w.host.LinkByName("eth0")
	w.t.need(err, "find eth0")
	w.t.need(up(w.host, w.eth0, hostIP), "eth0 up")
	w.t.need(w.interrupts("eth0", 0), "interrupts of eth0")
	w.waitCarrier()
}

// in runs f in the tenant's namespace.
func (n *nsTenant) in(f func()) {
	err := inNamespace(n.ns, func() error { f(); return nil })
	n.w.t.need(err, "enter the namespace")
}

// end ends the process, and with it all that keeps the namespace. It returns when
// that was.
func (n *nsTenant) end() time.Time {
	n.w.host.Close()
	n.ns.Close()
	n.w.host = n.root
	n.stdin.Close()
	_ = n.cmd.Wait()
	return time.Now()
}

// cameBack waits for eth0 in the world's own namespace, and returns after what time
// it was there.
func (w *world) cameBack(since time.Time) (time.Duration, bool) {
	ok := wait(5*time.Second, func() bool {
		_, err := w.host.LinkByName("eth0")
		return err == nil
	})
	return time.Since(since), ok
}

// lost tells whether the SPA is aborted because its device went away.
func (t *tap) lost(name string) bool {
	return wait(exitMax, func() bool {
		s, err := t.client().SPAByName(name)
		return err == nil && s.State == uls.StateAborted && s.Abort != nil && s.Abort.Cause == "device"
	})
}

// forwards sends n frames through the SPA on eth0, wherever that is.
func (w *world) forwards(n uint64) error {
	f := w.newFlood(outPort)
	defer f.close()
	return f.run(n)
}

// pour sends frames to the steered port until it is told to stop.
func (w *world) pour() (sent *atomic.Uint64, stop func()) {
	w.resolveHost()
	c, err := w.peerUDP(0)
	w.t.need(err, "socket of the peer")
	sent, done, over := &atomic.Uint64{}, make(chan struct{}), atomic.Bool{}
	go func() {
		defer close(done)
		b := make([]byte, 60)
		for !over.Load() {
			// The link goes down meanwhile, and then this fails.
			if _, err := c.WriteTo(b, &net.UDPAddr{IP: net.ParseIP(hostIP), Port: inPort}); err == nil {
				sent.Add(1)
			}
			time.Sleep(100 * time.Microsecond)
		}
	}()
	return sent, func() {
		over.Store(true)
		<-done
		c.Close()
	}
}

// testNamespace ends network namespaces whose NIC has an SPA: the NIC comes back, the
// SPA is told of, and nothing stays.
func testNamespace(t *tap) {
	w := newWorld(t)
	t.namespaceEnds(w, "idle", nil)
	t.namespaceEnds(w, "once more", nil)
	t.namespaceEnds(w, "replaced", func(n *nsTenant) {
		n.in(func() { t.ok("replace it there", "replace", "forward", "/spa/forward.spa") })
	})
	sent, stop := w.pour()
	t.namespaceEnds(w, "flooded", func(*nsTenant) {
		before := sent.Load()
		wait(2*time.Second, func() bool { return sent.Load() > before+200 })
		t.check(t.stats("forward").RXFrames > 200, "the SPA is flooded", "%+v", t.stats("forward"))
	})
	stop()
	t.namespaceHeld(w)
	t.namespaceUnmapped(w)
}

// namespaceEnds is one life of a namespace; before runs in the middle of it.
func (t *tap) namespaceEnds(w *world, what string, before func(*nsTenant)) {
	n := w.newTenant()
	n.in(func() { w.mapOn("/spa/forward.spa", "forward", w.forwardFlow()) })
	if before == nil {
		err := w.forwards(100)
		t.check(err == nil, what+": an SPA in a namespace forwards", "%v", err)
	} else {
		before(n)
	}
	ended := n.end()
	t.isBack(w, what, ended)
	t.ok("unmap drops the record", "unmap", "forward")
	info := t.holds(uls.Memory{})
	t.check(info.Memory == uls.Memory{} && info.SlicesUsed == 0, what+": nothing is left", "%+v", info)
	w.restore()
}

// isBack checks that all is as it should be after a namespace.
func (t *tap) isBack(w *world, what string, ended time.Time) {
	took, ok := w.cameBack(ended)
	t.check(ok && took <= exitMax, fmt.Sprintf("%s: eth0 is back within %v of the last process", what, exitMax), "back: %v, after %v", ok, took)
	t.check(t.lost("forward"), what+": its SPA is aborted with cause device", "%+v", t.list())
	t.note("%s: eth0 was back after %v", what, took.Round(time.Millisecond))
}

// restore makes eth0 what other groups expect, and checks that it works.
func (w *world) restore() {
	_, ok := w.cameBack(time.Now())
	w.t.must(ok, "eth0 is back after unmap at the latest", "it is not")
	w.settle()
	err := w.ping()
	w.t.check(err == nil, "and the kernel's stack answers on it", "%v", err)
}

// namespaceHeld has a process outside hold the SPA's socket: as with any socket, the
// namespace stays as long as that does.
func (t *tap) namespaceHeld(w *world) {
	n := w.newTenant()
	fd := -1
	n.in(func() { fd = t.mapAndGrab(w) })
	w.waitCarrier()
	n.end()
	time.Sleep(exitMax / 2)
	_, err := w.host.LinkByName("eth0")
	s := t.list()
	t.check(err != nil && len(s) == 1 && s[0].State == uls.StateLive, "held: the namespace lives as long as somebody has the socket", "%v %+v", err, s)
	unix.Close(fd)
	t.isBack(w, "held", time.Now())
	// The device is free for another SPA while the record of the first is there.
	w.settle()
	w.mapOn("/spa/forward.spa", "second", w.forwardFlow())
	err = w.forwards(100)
	t.check(err == nil, "held: another SPA works on the device that came back", "%v", err)
	t.ok("unmap drops the record", "unmap", "forward")
	err = w.forwards(100)
	t.check(err == nil, "held: which does not disturb it", "%v", err)
	t.ok("unmap the other one", "unmap", "second")
	w.restore()
}

// namespaceUnmapped unmaps the SPA while the namespace goes, some moments apart.
func (t *tap) namespaceUnmapped(w *world) {
	for i := range 4 {
		n := w.newTenant()
		n.in(func() { w.mapOn("/spa/forward.spa", "forward", w.forwardFlow()) })
		ended := n.end()
		time.Sleep(time.Duration(i) * 3 * time.Millisecond)
		t.need(t.client().Unmap("forward"), "unmap")
		took, ok := w.cameBack(ended)
		t.check(ok && took <= exitMax, fmt.Sprintf("unmapped %d ms after the end of the namespace: eth0 is back", i*3), "back: %v, after %v", ok, took)
		w.settle()
	}
	// From outside, unmap does not reach the steering of a device that is elsewhere.
	// It passes everything by now, and goes with the next SPA.
	w.mapOn("/spa/forward.spa", "last", w.forwardFlow())
	err := w.forwards(100)
	t.check(err == nil, "and another SPA works on it", "%v", err)
	t.ok("unmap it", "unmap", "last")
	w.restore()
}

// mapAndGrab maps an SPA on eth0 and takes a copy of its socket from ulsctl, which has
// it for a moment.
func (t *tap) mapAndGrab(w *world) int {
	cmd := exec.Command("/bin/ulsctl", "map", "/spa/forward.spa", "--dev", "eth0", "--name", "forward", "--flow", w.forwardFlow(), "--budget", "10ms")
	t.need(cmd.Start(), "start ulsctl")
	t.later(func() { t.unmap("forward") })
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	t.need(err, "pidfd of ulsctl")
	defer unix.Close(pidfd)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	fd := -1
	for fd < 0 {
		select {
		case err := <-ended:
			t.must(false, "grab ulsctl's AF_XDP socket", "it ended before: %v", err)
		default:
			fd = grabXDP(pidfd, cmd.Process.Pid)
		}
	}
	t.need(<-ended, "ulsctl map")
	return fd
}

// grabXDP copies the first AF_XDP socket of a process, or returns -1.
func grabXDP(pidfd, pid int) int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	for _, e := range entries {
		number, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		fd, err := unix.PidfdGetfd(pidfd, number, 0)
		if err != nil {
			continue
		}
		if family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil && family == unix.AF_XDP {
			return fd
		}
		unix.Close(fd)
	}
	return -1
}
