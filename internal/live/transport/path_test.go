// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"sandstream/internal/live/frame"
	"sandstream/internal/overlay/wire"
)

// wall is a way between two hosts that loses what is longer than it carries, and says
// nothing of it, as where a firewall drops ICMP.
type wall struct {
	conn  *net.UDPConn
	carry atomic.Int32 // bytes of UDP payload
	lost  atomic.Int32 // datagrams that were too long
}

func (w *wall) addr() netip.AddrPort { return w.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// newWall stands between a and b: whoever sends to it reaches the other.
func newWall(t *testing.T, a, b *host, carry int) *wall {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	w := &wall{conn: conn}
	w.carry.Store(int32(carry))
	other := map[netip.AddrPort]netip.AddrPort{a.Self().Addr: b.Self().Addr, b.Self().Addr: a.Self().Addr}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if n > int(w.carry.Load()) {
				w.lost.Add(1)
				continue
			}
			_, _ = conn.WriteToUDPAddrPort(buf[:n], other[from])
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return w
}

// through makes a session from a to b through a wall, and a stream.
func through(t *testing.T, w *wall, a, b *host) {
	t.Helper()
	p, err := a.Connect(context.Background(), w.addr())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the listener has the session", func() bool { return b.up(a.Self().ID) })
	forward(t, a, Entry{Children: []Leg{{Host: p}}})
	forward(t, b, Entry{Upstream: []Leg{{Host: wire.Peer{ID: a.Self().ID, Addr: w.addr()}}}})
}

func (h *host) size(of *host) int { return h.stat(of.Self().ID).Size }

// settled waits until a knows what its link to b carries, and has it ask no more: for
// tests that count datagrams.
func settled(t *testing.T, a, b *host) {
	t.Helper()
	eventually(t, "the link's size is known", func() bool { return a.size(b) == min(maxUDP, b.data.largest()) })
	p := a.peerFor(b.Self())
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sessions {
		if s != nil {
			s.link = false
		}
	}
}

// keep has a session in use, so that its size is looked for.
func keep(t *testing.T, a, b *host) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = a.SendControl(b.Self(), []byte("there?"))
			time.Sleep(100 * time.Millisecond)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// On the loopback interface the search ends at what the kernel takes.
func TestSizeOfLoopback(t *testing.T) {
	a, b := newHost(t, nil), newHost(t, nil)
	connect(t, a, b)
	keep(t, a, b)
	want := min(maxUDP, a.data.largest())
	eventually(t, "both ways are known", func() bool { return a.size(b) == want && b.size(a) == want })
}

// Payload of any size is carried whole over a link that carries little and does not say
// so, and what the link carries is found out, both ways.
func TestSmallLink(t *testing.T) {
	for _, carry := range []int{basePacket, 1252, 1464} { // the second is IPv4 with an MTU of 1280
		a, b := newHost(t, nil), newHost(t, nil)
		w := newWall(t, a, b, carry)
		through(t, w, a, b)
		keep(t, a, b)
		var out collector
		sink := b.AddSink(testStream, SinkConfig{Deliver: out.deliver})
		for i := range 20 {
			publish(t, a, payloads(10*i, 10, frame.MaxPayload))
			time.Sleep(time.Millisecond)
		}
		eventually(t, "all arrive", func() bool { return out.len() == 200 })
		for i, d := range out.data {
			if len(d) != frame.MaxPayload {
				t.Fatalf("payload %d has %d bytes", i, len(d))
			}
		}
		if s := b.Stats(); s.Parts < 400 && carry < frame.HeaderSize+frame.MaxPayload+overhead {
			t.Errorf("%d parts came, of a stream that is longer than %d bytes", s.Parts, carry)
		}
		near := func(n int) bool { return n <= carry && n >= carry-sizeStep }
		eventually(t, "both ways are known", func() bool { return near(a.size(b)) && near(b.size(a)) })
		sink.Close()
	}
}

// A link that carries less than it did is noticed while a stream runs, which then goes on;
// when it carries more again that is found out, though later.
func TestBlackHole(t *testing.T) {
	a, b := newHost(t, nil), newHost(t, nil)
	w := newWall(t, a, b, 1472)
	through(t, w, a, b)
	keep(t, a, b)
	eventually(t, "the size is known", func() bool { return a.size(b) == 1472 })
	var out collector
	defer b.AddSink(testStream, SinkConfig{Deliver: out.deliver}).Close()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				publish(t, a, payloads(i, 1, frame.MaxPayload))
			}
		}
	}()
	defer func() { <-ended }()
	defer close(stop)
	eventually(t, "the stream runs", func() bool { return out.len() > 20 })
	w.carry.Store(1300)
	begin := time.Now()
	eventually(t, "packets are lost", func() bool { return w.lost.Load() > 5 })
	n := out.len()
	eventually(t, "the stream goes on", func() bool { return out.len() > n+20 })
	if d := time.Since(begin); d > 12*time.Second {
		t.Errorf("the stream stood still for %v", d)
	}
	eventually(t, "the new size is known", func() bool { n := a.size(b); return n <= 1300 && n >= 1300-sizeStep })
	if s := a.Stats(); s.BlackHoles != 1 {
		t.Errorf("%d black holes", s.BlackHoles)
	}
	w.carry.Store(1472)
	p := a.peerFor(b.Self())
	p.mu.Lock()
	p.path.next = 0 // ten minutes later
	p.mu.Unlock()
	eventually(t, "the link carries more again", func() bool { return a.size(b) == 1472 })
}

// Whatever comes as parts, the reader gives out nothing but what was sent.
func FuzzParts(f *testing.F) {
	f.Add([]byte{1, 2, 3}, uint16(1200), byte(0))
	f.Fuzz(func(t *testing.T, junk []byte, size uint16, skip byte) {
		if size < 2*partHead || int(size) >= maxDatagram {
			return
		}
		whole := make([]byte, maxDatagram)
		for i := range whole {
			whole[i] = byte(i * 7)
		}
		whole[0] = byte(typeControl)
		if partsOf(len(whole), int(size)) > maxParts {
			return
		}
		tx := newTxBatch(txSmall)
		copy(tx.next(), whole)
		tx.addParts(&peer{}, &net.UDPAddr{}, len(whole), false, int(size))
		var ps partials
		var h partHeader
		if rest, ok := h.decode(junk); ok {
			ps.add(&h, rest)
		}
		var got []byte
		for i := range tx.n {
			b := tx.msgs[i].Buffers[0]
			if len(b) > int(size) {
				t.Fatalf("a part of %d bytes, at most %d", len(b), size)
			}
			rest, ok := h.decode(b)
			if !ok {
				t.Fatalf("part %d is refused: %+v", i, h)
			}
			if tx.n > 1 && i == int(skip)%tx.n {
				continue
			}
			if w := ps.add(&h, rest); w != nil {
				t.Fatal("whole without all parts")
			}
			if ps.add(&h, rest) != nil {
				t.Fatal("whole by a part that came twice")
			}
		}
		if tx.n == 1 {
			return
		}
		rest, _ := h.decode(tx.msgs[int(skip)%tx.n].Buffers[0])
		if got = ps.add(&h, rest); !bytes.Equal(got, whole) && ps[h.counter%partsTo].counter == h.counter {
			t.Fatalf("%d bytes came out", len(got))
		}
	})
}

// Sending in parts and putting together allocates nothing.
func TestPartsAllocateNothing(t *testing.T) {
	tx, p, to := newTxBatch(txSmall), &peer{}, &net.UDPAddr{}
	var ps partials
	var h partHeader
	n := uint64(0)
	if allocs := testing.AllocsPerRun(100, func() {
		tx.reset()
		d := tx.next()
		n++
		(&outer{typ: typeControl, index: 1, counter: n}).encode(d)
		tx.addParts(p, to, maxDatagram, false, basePacket)
		whole := 0
		for i := range tx.n {
			rest, ok := h.decode(tx.msgs[i].Buffers[0])
			if ok && ps.add(&h, rest) != nil {
				whole++
			}
		}
		if whole != 1 {
			t.Errorf("%d datagrams of %d parts", whole, tx.n)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
