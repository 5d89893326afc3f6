// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// payload is that of frame seq: its number, then bytes that follow from it.
func payload(seq uint64, size int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint64(b, seq)
	r := rand.New(rand.NewPCG(seq, 2026))
	for i := 8; i < size; i++ {
		b[i] = byte(r.Uint32())
	}
	return b
}

// sizeOf makes the sizes go through the smallest, the largest and all between.
func sizeOf(seq uint64) int {
	const least, most = 8, 1472
	switch seq % 4 {
	case 0:
		return least
	case 1:
		return most
	}
	return least + int(rand.New(rand.NewPCG(seq, 7)).Uint64N(most-least+1))
}

// flood sends frames from the peer and receives what comes back.
type flood struct {
	w      *world
	send   *net.UDPConn
	recv   *net.UDPConn
	window uint64        // frames under way at the most
	gap    time.Duration // between frames

	sent atomic.Uint64
	got  atomic.Uint64
	done chan struct{}
	mu   sync.Mutex
	bad  []string
	from string // sender of the last frame
}

// newFlood opens the sockets: what is sent from sendPort comes back to `to`.
func (w *world) newFlood(to int) *flood {
	w.resolveHost()
	f := &flood{w: w, window: 32, done: make(chan struct{})}
	var err error
	f.send, err = w.peerUDP(sendPort)
	w.t.need(err, "socket of the peer")
	f.recv = f.send
	if to != sendPort {
		f.recv, err = w.peerUDP(to)
		w.t.need(err, "socket of the peer")
	}
	go f.receive()
	return f
}

func (f *flood) close() {
	f.send.Close()
	f.recv.Close()
	<-f.done
}

// receive checks each frame: in order, none twice, every byte as it was.
func (f *flood) receive() {
	defer close(f.done)
	b := make([]byte, 2048)
	var last uint64
	for {
		n, from, err := f.recv.ReadFromUDP(b)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.from = from.String()
		f.mu.Unlock()
		if n < 8 {
			f.fault("a frame of %d bytes", n)
			continue
		}
		seq := binary.BigEndian.Uint64(b)
		switch {
		case seq != last+1:
			f.fault("frame %d came after frame %d", seq, last)
		case !bytes.Equal(b[:n], payload(seq, sizeOf(seq))):
			f.fault("frame %d (%d bytes) came changed", seq, n)
		}
		last = seq
		f.got.Add(1)
	}
}

func (f *flood) fault(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.bad) < 10 {
		f.bad = append(f.bad, fmt.Sprintf(format, args...))
	}
}

// run sends n frames, at most window of them unanswered, and waits for the last.
// It returns what went wrong.
func (f *flood) run(n uint64) error {
	to := &net.UDPAddr{IP: net.ParseIP(hostIP), Port: inPort}
	for range n {
		if !wait(5*time.Second, func() bool { return f.sent.Load()-f.got.Load() < f.window }) {
			break
		}
		seq := f.sent.Add(1)
		if _, err := f.send.WriteTo(payload(seq, sizeOf(seq)), to); err != nil {
			return err
		}
		if f.gap > 0 {
			time.Sleep(f.gap)
		}
	}
	wait(5*time.Second, func() bool { return f.got.Load() == f.sent.Load() })
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.got.Load() != f.sent.Load() || len(f.bad) > 0 {
		return fmt.Errorf("sent %d frames, got %d back; %v", f.sent.Load(), f.got.Load(), f.bad)
	}
	return nil
}

// resolveHost tells the peer the host's MAC address. While ARP asks for it frames
// are queued, and what one CPU takes out of that queue another CPU's frames overtake.
func (w *world) resolveHost() {
	w.t.need(w.peerLink.NeighSet(&netlink.Neigh{
		LinkIndex: w.eth1.Attrs().Index, Family: unix.AF_INET, State: netlink.NUD_REACHABLE,
		IP: net.ParseIP(hostIP), HardwareAddr: w.eth0.Attrs().HardwareAddr,
	}), "tell the peer the host's MAC address")
}

// poke sends one frame to the steered port and expects nothing.
func (w *world) poke(size int) {
	c, err := w.peerUDP(0)
	w.t.need(err, "socket of the peer")
	defer c.Close()
	_, err = c.WriteTo(make([]byte, size), &net.UDPAddr{IP: net.ParseIP(hostIP), Port: inPort})
	w.t.need(err, "send a frame")
}

// stackHears tells whether a frame to the host's port reaches the kernel's stack.
func (w *world) stackHears(port int) error {
	host, err := w.hostUDP(port)
	if err != nil {
		return err
	}
	defer host.Close()
	peer, err := w.peerUDP(0)
	if err != nil {
		return err
	}
	defer peer.Close()
	b := make([]byte, 100)
	// A frame may fall into a reset of the card.
	for range 20 {
		if _, err := peer.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.ParseIP(hostIP), Port: port}); err != nil {
			return err
		}
		_ = host.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if n, _, err := host.ReadFrom(b); err == nil && string(b[:n]) == "hello" {
			return nil
		}
	}
	return fmt.Errorf("a datagram to port %d does not reach the kernel's stack", port)
}
