// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/ipv4"

	"sandstream/internal/live/frame"
	"sandstream/internal/overlay/wire"
)

// slowSocket is a data socket in virtual time: it notes when each datagram left.
type slowSocket struct {
	batchConn
	mu   sync.Mutex
	left map[string][]time.Time // by address
	size int                    // of every datagram
}

func (w *slowSocket) WriteBatch(ms []ipv4.Message, _ int) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range ms {
		for range len(ms[i].Buffers[0]) / w.size {
			w.left[ms[i].Addr.String()] = append(w.left[ms[i].Addr.String()], time.Now())
		}
	}
	return len(ms), nil
}

// burstDelays publishes a stream of bursts, as a video has, to children over
// links of a rate which the great bursts exceed, and to local readers. It gives the
// delay of each packet to each child but the first, and to each reader but the first,
// which are those that stall, if they do.
func burstDelays(t *testing.T, children int, stall bool) (delays []time.Duration) {
	w := &slowSocket{left: map[string][]time.Time{}, size: overhead + frame.HeaderSize + frame.MaxPayload + frame.TagSize}
	tr := &Transport{
		start: time.Now(), data: &udpBatch{batch: w}, dials: make(chan struct{}, 1),
		cfg:   Config{SendRate: 3_000_000, SendQueue: 512},
		peers: map[wire.HostID]*peer{}, sessions: map[uint32]*session{}, streams: map[wire.StreamID]*stream{},
	}
	tr.cfg.defaults()
	tr.ctx, tr.cancel = context.WithCancel(t.Context())
	tr.data.gso.Store(true)
	var legs []Leg
	for i := range children {
		who := wire.Peer{ID: wire.HostID{byte(i + 1)}, Addr: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(1000+i))}
		p := tr.peerFor(who)
		s := &session{peer: p, useAES: true}
		_, _ = rand.Read(s.sendKey[:])
		s.confirmed.Store(true)
		p.install(s)
		p.size.Store(maxDatagram)
		p.data = net.UDPAddrFromAddrPort(who.Addr)
		if stall && i == 0 {
			p.spend = bucket{tokens: -3_000_000 * 3600, last: 1} // for an hour nothing goes
		}
		legs = append(legs, Leg{Host: who})
	}
	if err := (&host{Transport: tr}).SetForward(testStream, Entry{Children: legs}); err != nil {
		t.Fatal(err)
	}
	block := make(chan struct{})
	arrived := make([][]time.Time, 3)
	for i := range arrived {
		sink := (&host{Transport: tr}).AddSink(testStream, SinkConfig{Queue: 300, Deliver: func(ds []Delivery) {
			if stall && i == 0 {
				<-block
			}
			for range ds {
				arrived[i] = append(arrived[i], time.Now())
			}
		}})
		defer sink.Close()
	}
	defer close(block)
	var published []time.Time
	for burst := range 300 { // 6 s
		n := 20
		if burst%25 == 0 {
			n = 250 // a key frame
		}
		for range n {
			published = append(published, time.Now())
		}
		ps := make([]Payload, n)
		for i := range ps {
			ps[i].Data = make([]byte, frame.MaxPayload)
		}
		publish(t, &host{Transport: tr}, ps)
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(time.Second)
	synctest.Wait()
	for i, leg := range legs {
		left := w.left[leg.Host.Addr.String()]
		if i == 0 {
			if stall && len(left) != 0 {
				t.Errorf("the stalled child was sent %d packets", len(left))
			}
			continue
		}
		delays = append(delays, between(t, published, left)...)
	}
	for _, at := range arrived[1:] {
		delays = append(delays, between(t, published, at)...)
	}
	tr.cancel()
	return delays
}

func between(t *testing.T, from, to []time.Time) (out []time.Duration) {
	if len(from) != len(to) {
		t.Errorf("%d packets of %d", len(to), len(from))
		return nil
	}
	for i := range from {
		out = append(out, to[i].Sub(from[i]))
	}
	return out
}

// One stalled subscriber, remote or local, does not move another's P99. In
// virtual time, so that nothing else does either.
func TestStallMovesNobody(t *testing.T) {
	p99 := func(stall bool) (out time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			delays := burstDelays(t, 5, stall)
			slices.Sort(delays)
			out = delays[len(delays)*99/100]
		})
		return out
	}
	without, with := p99(false), p99(true)
	t.Logf("P99 of the others: %v when nobody stalls, %v when one does", without, with)
	if without < 10*time.Millisecond {
		t.Errorf("P99 is %v: the bursts do not exceed the links, so that this shows nothing", without)
	}
	if ratio := float64(with) / float64(without); ratio > 1.05 || ratio < 0.95 {
		t.Errorf("a stall changes the others' P99 by a factor of %.3f", ratio)
	}
}
