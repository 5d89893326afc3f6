// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"sandstream/internal/host/steer"
	"sandstream/internal/host/xsk"
)

// testPlain echoes frames with an ordinary process and an AF_XDP socket: driver,
// steering and rings without the module.
func testPlain(t *tap) {
	w := newWorld(t)
	ifi, err := net.InterfaceByName("eth0")
	t.need(err, "eth0")
	unlock, err := steer.Lock()
	t.need(err, "lock")
	defer unlock()
	dev, created, err := steer.Attach(ifi)
	t.must(err == nil && created, "attach XDP in native mode", "%v, created %v", err, created)
	t.later(func() { _ = dev.Detach() })
	s, err := xsk.New(xsk.Config{})
	t.must(err == nil, "AF_XDP socket", "%v", err)
	t.later(func() { s.Close() })
	err = s.Bind(ifi.Index, 0)
	t.must(err == nil, "bind it in zero-copy mode", "%v", err)
	other, err := xsk.New(xsk.Config{Frames: 64, RX: 64, TX: 64, FillRing: 64, CompletionRing: 64})
	t.need(err, "a second socket")
	err = other.Bind(ifi.Index, 0)
	t.check(err != nil, "a second socket on the queue is refused", "it was not")
	other.Close()

	var frames []uint64
	for i := range 2048 {
		frames = append(frames, uint64(i)*4096)
	}
	t.check(s.Fill(frames) == 2048, "fill ring takes 2048 frames", "it does not")
	t.need(dev.AddFlow(0, steer.Match{DstIP: netip.MustParseAddr(hostIP), DstPort: inPort}, steer.Note{}), "flow")
	t.need(dev.SetSocket(0, s.FD()), "steer to the socket")
	w.waitCarrier()

	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- echoLoop(s, stop) }()
	f := w.newFlood(sendPort)
	err = f.run(1000)
	f.close()
	close(stop)
	lerr := <-done
	t.check(err == nil && lerr == nil, "1000 frames come back through an ordinary AF_XDP process", "%v %v", err, lerr)
	t.note("huge pages: %v", s.HugePages())
}

// echoLoop sends frames back until stop is closed.
func echoLoop(s *xsk.Socket, stop chan struct{}) error {
	rx, free := make([]unix.XDPDesc, 64), make([]uint64, 64)
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if n := s.Complete(free); n > 0 {
			for i := range free[:n] {
				free[i] &^= 4095
			}
			s.Fill(free[:n])
		}
		n := s.Receive(rx)
		if n == 0 {
			if err := s.Kick(); err != nil {
				return err
			}
			if _, err := s.Poll(20 * time.Millisecond); err != nil {
				return err
			}
			continue
		}
		for _, d := range rx[:n] {
			swap(s.Frame(d.Addr, int(d.Len)))
		}
		if s.Send(rx[:n]) != n {
			return fmt.Errorf("TX ring is full")
		}
		if err := s.Kick(); err != nil {
			return err
		}
	}
}

// swap exchanges source and destination of a UDP frame; no checksum changes.
func swap(b []byte) {
	for _, r := range [][3]int{{0, 6, 6}, {26, 30, 4}, {34, 36, 2}} {
		a := bytes.Clone(b[r[0] : r[0]+r[2]])
		copy(b[r[0]:], b[r[1]:r[1]+r[2]])
		copy(b[r[1]:], a)
	}
}
