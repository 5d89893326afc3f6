// SPDX-License-Identifier: Apache-2.0

package netem

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readBatch = 16      // packets read from one device before others get their turn
	keepSpare = 1 << 12 // buffers kept for reuse
)

// now is the time since the start in ns.
func (n *Net) now() int64 { return int64(time.Since(n.start)) }

// loop moves packets until Close. It has a thread of its own because Go's timers are
// good to a millisecond only, ppoll's to the thread's timer slack.
func (n *Net) loop() {
	defer close(n.done)
	runtime.LockOSThread() // the settings die with the thread
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0)
	// Not permitted in a user namespace: then deliveries are later on a busy machine. What
	// goes into a virtual Ethernet pair is received by the kernel's own thread, which
	// must not be kept from it.
	if n.header == vnetHeaderLen {
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 2}, 0)
	} else {
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -15)
	}

	fds := make([]unix.PollFd, len(n.hosts)+1)
	for i, h := range n.hosts {
		fds[i] = unix.PollFd{Fd: int32(h.far.fd), Events: unix.POLLIN}
	}
	fds[len(n.hosts)] = unix.PollFd{Fd: int32(n.wake), Events: unix.POLLIN}
	for {
		n.deliverDue()
		var timeout *unix.Timespec
		if len(n.queue) > 0 {
			ts := unix.NsecToTimespec(max(0, n.queue[0].due-n.now()))
			timeout = &ts
		}
		if _, err := unix.Ppoll(fds, timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
			n.loopErr = fmt.Errorf("netem: poll: %w", err)
			return
		}
		n.mu.Lock()
		quit := n.quit
		n.mu.Unlock()
		if quit {
			return
		}
		for i := range n.hosts {
			if fds[i].Revents == 0 {
				continue
			}
			if err := n.read(i); err != nil {
				n.loopErr = err
				return
			}
			n.deliverDue()
		}
	}
}

// buffer is an empty buffer for a packet with its header.
func (n *Net) buffer() []byte {
	if l := len(n.spare); l > 0 {
		b := n.spare[l-1]
		n.spare = n.spare[:l-1]
		return b
	}
	return make([]byte, n.header+n.mtu)
}

func (n *Net) free(b []byte) {
	if len(n.spare) < keepSpare {
		n.spare = append(n.spare, b[:cap(b)])
	}
}

// read takes packets from host i.
func (n *Net) read(i int) error {
	for range readBatch {
		b := n.buffer()
		l, err := unix.Read(n.hosts[i].far.fd, b)
		if err != nil {
			n.free(b)
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				return nil
			}
			return fmt.Errorf("netem: read from the device of host %d: %w", i, err)
		}
		n.enter(i, b[:l])
	}
	return nil
}

// enter decides on a packet that host i has sent; b begins with the device's header.
func (n *Net) enter(i int, b []byte) {
	now := n.now()
	p, err := n.parse(b)
	if err != nil {
		n.mu.Lock()
		n.stats.Malformed++
		n.mu.Unlock()
		n.free(b)
		return
	}
	b = b[:n.header+p.total]
	j, known := n.HostOf(p.Dst)
	if !known {
		j = -1
	}
	f := flight{sent: now, from: i, to: j, buf: b}
	n.event(Sent, now, &f)
	if n.cap != nil {
		n.cap.packet(2*i, time.Duration(now), b[n.header:])
	}
	if !known {
		n.event(NoRoute, now, &f)
		n.free(b)
		return
	}

	n.mu.Lock()
	cut := n.severed(i, j)
	var copies int
	var full bool
	if !cut {
		f.due, copies, full = n.pairs[i][j].plan(now, p.total)
	}
	n.mu.Unlock()
	switch {
	case cut:
		n.event(Cut, now, &f)
	case full:
		n.event(Full, now, &f)
	case copies == 0:
		n.event(Lost, now, &f)
	}
	if copies == 0 {
		n.free(b)
		return
	}
	n.push(f)
	if copies == 2 {
		f.buf = append(n.buffer()[:0], b...)
		n.push(f)
	}
}

func (n *Net) push(f flight) {
	f.n = n.count
	n.count++
	n.queue.push(f)
}

// parse reads a packet behind its device header and completes its checksum.
func (n *Net) parse(b []byte) (Packet, error) {
	if len(b) < n.header {
		return Packet{}, ErrTruncated
	}
	ip := b[n.header:]
	p, err := Parse(ip)
	if err != nil {
		return Packet{}, err
	}
	if n.header == vnetHeaderLen && b[0]&vnetNeedsCsum != 0 {
		start := int(binary.NativeEndian.Uint16(b[6:]))
		offset := int(binary.NativeEndian.Uint16(b[8:]))
		if err := finishChecksum(ip[:p.total], start, offset); err != nil {
			return Packet{}, err
		}
	}
	return p, nil
}

// deliverDue hands over all packets whose time has come.
func (n *Net) deliverDue() {
	for len(n.queue) > 0 && n.queue[0].due <= n.now() {
		f := n.queue.pop()
		n.deliver(&f)
		n.free(f.buf)
	}
}

func (n *Net) deliver(f *flight) {
	// Locked over the write: who has received a packet finds it counted.
	n.mu.Lock()
	at := n.now()
	kind := Cut
	if !n.severed(f.from, f.to) {
		kind = Delivered
		copy(f.buf, n.hosts[f.to].far.header)
		_, err := unix.Write(n.hosts[f.to].far.fd, f.buf)
		for errors.Is(err, unix.EINTR) {
			_, err = unix.Write(n.hosts[f.to].far.fd, f.buf)
		}
		if err != nil { // the device is down, or the kernel short of memory
			kind = Refused
		}
	}
	n.tally(kind, at, f)
	n.mu.Unlock()
	n.tell(kind, at, f)
	if kind == Delivered && n.cap != nil {
		n.cap.packet(2*f.to+1, time.Duration(at), f.buf[n.header:])
	}
}

// event counts, and tells who watches.
func (n *Net) event(k Kind, at int64, f *flight) {
	n.mu.Lock()
	n.tally(k, at, f)
	n.mu.Unlock()
	n.tell(k, at, f)
}

// tally counts; the caller holds n.mu.
func (n *Net) tally(k Kind, at int64, f *flight) {
	n.stats.Packets[k]++
	if k == Delivered {
		late := time.Duration(at - f.due)
		n.late += late
		n.stats.LateMax = max(n.stats.LateMax, late)
	}
}

// tell calls who watches, without the lock.
func (n *Net) tell(k Kind, at int64, f *flight) {
	if n.watch != nil {
		n.watch(Event{
			Kind: k, At: time.Duration(at), Sent: time.Duration(f.sent), Due: time.Duration(f.due),
			From: f.from, To: f.to, Data: f.buf[n.header:],
		})
	}
}
