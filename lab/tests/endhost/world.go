// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	hostIP, peerIP = "10.0.1.1", "10.0.1.2"
	inPort         = 9000 // frames to hostIP:inPort are steered
	outPort        = 9001 // forward sends them to peerIP:outPort
	sendPort       = 7000
	stackPort      = 5000 // not steered
)

// world is the topology of the package comment.
type world struct {
	t        *tap
	peer     netns.NsHandle
	eth0     netlink.Link
	eth1     netlink.Link
	host     *netlink.Handle
	peerLink *netlink.Handle
}

// theWorld is made once and used by all groups.
var theWorld *world

func newWorld(t *tap) *world {
	if theWorld != nil {
		theWorld.t = t
		return theWorld
	}
	w := &world{t: t}
	t.need(w.build(), "two ports, eth1 in a network namespace of its own")
	theWorld = w
	return w
}

func (w *world) build() (err error) {
	for _, f := range []string{"all", "default"} {
		// Router solicitations would be frames nobody has sent on purpose.
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+f+"/disable_ipv6", []byte("1"), 0)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	root, err := netns.Get()
	if err != nil {
		return err
	}
	if w.host, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	if w.peer, err = netns.New(); err != nil {
		return err
	}
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	if err = netns.Set(root); err != nil {
		return err
	}
	if w.peerLink, err = netlink.NewHandleAt(w.peer, unix.NETLINK_ROUTE); err != nil {
		return err
	}
	if w.eth0, err = w.host.LinkByName("eth0"); err != nil {
		return err
	}
	if w.eth1, err = w.host.LinkByName("eth1"); err != nil {
		return err
	}
	if err = w.host.LinkSetNsFd(w.eth1, int(w.peer)); err != nil {
		return err
	}
	if w.eth1, err = w.peerLink.LinkByName("eth1"); err != nil {
		return err
	}
	for _, x := range []struct {
		h    *netlink.Handle
		l    netlink.Link
		addr string
	}{{w.host, w.eth0, hostIP}, {w.peerLink, w.eth1, peerIP}} {
		if err := up(x.h, x.l, x.addr); err != nil {
			return err
		}
	}
	if err := w.interrupts("eth0", 0); err != nil {
		return err
	}
	w.waitCarrier()
	return nil
}

func up(h *netlink.Handle, l netlink.Link, addr string) error {
	a, err := netlink.ParseAddr(addr + "/24")
	if err != nil {
		return err
	}
	if err := h.AddrReplace(l, a); err != nil {
		return err
	}
	if lo, err := h.LinkByName("lo"); err == nil {
		_ = h.LinkSetUp(lo)
	}
	return h.LinkSetUp(l)
}

// interrupts sends those of a port to one CPU.
func (w *world) interrupts(port string, cpu int) error { return interruptsOf(port, cpu) }

func interruptsOf(port string, cpu int) error {
	table, err := os.ReadFile("/proc/interrupts")
	if err != nil {
		return err
	}
	n := 0
	for _, line := range strings.Split(string(table), "\n") {
		number, rest, ok := strings.Cut(line, ":")
		if !ok || !strings.Contains(rest, port) {
			continue
		}
		file := "/proc/irq/" + strings.TrimSpace(number) + "/smp_affinity"
		if err := os.WriteFile(file, fmt.Appendf(nil, "%x", 1<<cpu), 0); err != nil {
			return err
		}
		n++
	}
	if n == 0 {
		return fmt.Errorf("%s has no interrupt:\n%s", port, table)
	}
	return nil
}

// inPeer runs f in the peer's network namespace.
func (w *world) inPeer(f func() error) error { return inNamespace(w.peer, f) }

// inNamespace runs f on a thread of that network namespace; sockets and programs
// f makes belong to it.
func inNamespace(ns netns.NsHandle, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	root, err := netns.Get()
	if err != nil {
		return err
	}
	defer root.Close()
	if err := netns.Set(ns); err != nil {
		return err
	}
	err = f()
	if e := netns.Set(root); e != nil {
		panic(e) // this thread must not go on
	}
	return err
}

// peerUDP opens a UDP socket of the peer.
func (w *world) peerUDP(port int) (c *net.UDPConn, err error) {
	err = w.inPeer(func() error {
		c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(peerIP), Port: port})
		return err
	})
	if err == nil {
		_ = c.SetReadBuffer(4 << 20)
	}
	return c, err
}

func (w *world) hostUDP(port int) (*net.UDPConn, error) {
	return net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(hostIP), Port: port})
}

// waitCarrier waits for both links: a change of the XDP program or of the pool
// resets the card.
func (w *world) waitCarrier() {
	ready := func(h *netlink.Handle, l netlink.Link) bool {
		l, err := h.LinkByIndex(l.Attrs().Index)
		return err == nil && l.Attrs().OperState == netlink.OperUp
	}
	if !wait(20*time.Second, func() bool { return ready(w.host, w.eth0) && ready(w.peerLink, w.eth1) }) {
		w.t.must(false, "both links are up", "they are not after 20 s")
	}
}

// mac of a port, as the flow grammar has it.
func (w *world) peerMAC() string { return w.eth1.Attrs().HardwareAddr.String() }

// ping sends echo requests from the peer; ARP has to work as well. A card may
// still be in the reset that a change of its XDP program brings: it gets some tries.
func (w *world) ping() (err error) {
	for range 5 {
		if err = w.pingOnce(); err == nil {
			return nil
		}
	}
	return err
}

func (w *world) pingOnce() error {
	_ = w.peerLink.NeighDel(&netlink.Neigh{LinkIndex: w.eth1.Attrs().Index, IP: net.ParseIP(hostIP)})
	var out []byte
	err := w.inPeer(func() (err error) {
		out, err = exec.Command("/bin/busybox", "ping", "-c", "3", "-i", "0.2", "-W", "3", hostIP).CombinedOutput()
		return err
	})
	if err == nil && !strings.Contains(string(out), " 0% packet loss") {
		err = errors.New("packets are lost")
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// forwardFlow is the flow of most tests.
func (w *world) forwardFlow() string {
	return fmt.Sprintf("udp dst %s:%d -> %s:%d src %s:%d mac %s", hostIP, inPort, peerIP, outPort, hostIP, inPort, w.peerMAC())
}

// steerFlow brings the same frames to an SPA that has no flow table.
func steerFlow() string { return fmt.Sprintf("udp dst %s:%d", hostIP, inPort) }

// mapOn maps an SPA on eth0 with the largest budget there is (the host of a
// virtual machine may stop it at any time) and waits for the links.
func (w *world) mapOn(file, name, flow string, more ...string) {
	args := []string{"map", file, "--dev", "eth0", "--name", name, "--flow", flow, "--budget", "10ms"}
	r := ulsctl(append(args, more...)...)
	w.t.must(r.status == 0, "map "+file+" on eth0", "%v", r)
	w.t.later(func() { w.t.unmap(name) })
	w.waitCarrier()
}
