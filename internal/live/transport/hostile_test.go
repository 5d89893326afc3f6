// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
)

// tap is a socket between two hosts: it passes datagrams from a to b on and
// keeps them.
type tap struct {
	*net.UDPConn
	to   netip.AddrPort
	mu   sync.Mutex
	seen [][]byte
}

// newTap makes a send its sealed datagrams for b through the tap.
func newTap(t *testing.T, a, b *host) *tap {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	settled(t, a, b)
	settled(t, b, a)
	tp := &tap{UDPConn: conn, to: b.Self().Addr}
	p := a.peerFor(b.Self())
	p.mu.Lock()
	p.data = conn.LocalAddr().(*net.UDPAddr)
	p.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, _, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			tp.mu.Lock()
			tp.seen = append(tp.seen, bytes.Clone(buf[:n]))
			tp.mu.Unlock()
			tp.send(t, buf[:n])
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return tp
}

func (tp *tap) send(t testing.TB, b []byte) {
	if _, err := tp.WriteToUDPAddrPort(b, tp.to); err != nil {
		t.Error(err)
	}
}

func (tp *tap) datagrams() [][]byte {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	return tp.seen
}

func TestReplayTamperUnknown(t *testing.T) {
	a, b := newHost(t, nil), newHost(t, nil)
	connect(t, a, b)
	tp := newTap(t, a, b)
	if err := a.SendControl(b.Self(), bytes.Repeat([]byte("once"), 20)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it arrives", func() bool { return len(b.got()) == 1 })
	whole := tp.datagrams()[0]
	if bytes.Contains(whole, []byte("once")) {
		t.Fatal("the message is in the clear")
	}
	tp.send(t, whole)
	eventually(t, "the replay is counted", func() bool { return b.Stats().Replayed == 1 })
	next := binary.BigEndian.Uint64(whole[8:]) + 1
	changes := 0
	for at := range whole {
		if at < outerSize && at != 8 { // the header's own fields are looked at below
			continue
		}
		bad := bytes.Clone(whole)
		binary.BigEndian.PutUint64(bad[8:], next)
		bad[at] ^= 1
		tp.send(t, bad)
		changes++
	}
	bad := bytes.Clone(whole)
	binary.BigEndian.PutUint64(bad[8:], next) // another number for the same bytes
	tp.send(t, bad)
	bad = bytes.Clone(bad)
	bad[0] = byte(typeData) // a control message turned into data
	tp.send(t, bad)
	changes += 2
	eventually(t, "what was changed is counted", func() bool { return b.Stats().Unauthentic == uint64(changes) })
	bad = bytes.Clone(whole)
	bad[4]++
	tp.send(t, bad)
	eventually(t, "the unknown index is counted", func() bool { return b.Stats().UnknownIndex == 1 })
	for _, bad := range [][]byte{{}, whole[:overhead-1], append([]byte{3}, whole[1:]...), append([]byte{1, 1}, whole[2:]...), make([]byte, maxDatagram+1)} {
		tp.send(t, bad)
	}
	eventually(t, "what does not parse is counted", func() bool { return b.Stats().Malformed >= 3 && b.Stats().Version1 == 1 })
	// None of it did harm: the next message arrives, and only it.
	if err := a.SendControl(b.Self(), []byte("twice")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the next arrives", func() bool { return len(b.got()) == 2 })
	if b.up(a.Self().ID) != true || len(a.failures())+len(b.failures()) != 0 {
		t.Error("the session was harmed")
	}
}

// A datagram of a session from a new address moves the session there; one that
// is old or forged does not.
func TestRoaming(t *testing.T) {
	a, b := newHost(t, nil), newHost(t, nil)
	connect(t, a, b)
	tp := newTap(t, a, b) // for b, a's datagrams come from the tap
	if err := a.SendControl(b.Self(), []byte("from elsewhere")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it arrives", func() bool { return len(b.got()) == 1 })
	p := b.peerFor(a.Self())
	at := func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.data.String()
	}
	if at() != tp.LocalAddr().String() {
		t.Errorf("b sends to %s, not to %s", at(), tp.LocalAddr())
	}
	thief, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(b.Self().Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	forged := bytes.Clone(tp.datagrams()[0])
	if _, err := thief.Write(forged); err != nil { // a replay
		t.Fatal(err)
	}
	binary.BigEndian.PutUint64(forged[8:], 1000)
	if _, err := thief.Write(forged); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both are refused", func() bool { s := b.Stats(); return s.Replayed == 1 && s.Unauthentic == 1 })
	if at() != tp.LocalAddr().String() {
		t.Errorf("b was moved to %s", at())
	}
}

// One child that does not keep up (its rate is small) loses packets of its own;
// the other gets all of them, and soon.
func TestStalledChild(t *testing.T) {
	a := newHost(t, func(c *Config) { c.SendQueue, c.SendRate = 128, -1 })
	slow, quick := newHost(t, nil), newHost(t, nil)
	connect(t, a, slow)
	connect(t, a, quick)
	forward(t, slow, Entry{Upstream: legs(a)})
	forward(t, quick, Entry{Upstream: legs(a)})
	// The slow child's queue never gets its turn.
	p := a.peerFor(slow.Self())
	p.mu.Lock()
	p.ready = true
	p.mu.Unlock()
	// A local reader that blocks for ever, on both hosts.
	block := make(chan struct{})
	stuck := func([]Delivery) { <-block }
	defer a.AddSink(testStream, SinkConfig{Deliver: stuck, Queue: 10}).Close()
	defer quick.AddSink(testStream, SinkConfig{Deliver: stuck, Queue: 10}).Close()
	defer close(block)
	var out collector
	defer quick.AddSink(testStream, SinkConfig{Deliver: out.deliver}).Close()
	forward(t, a, Entry{Children: legs(slow, quick)})
	const n = 1000
	for i := range n {
		publish(t, a, payloads(i, 1, 200))
		if i%50 == 49 {
			eventually(t, "the quick child has all so far", func() bool { return out.len() == i+1 })
		}
	}
	s := a.Streams()[0]
	if got := s.Children[0]; got.Dropped != n-128 || got.Sent != 0 {
		t.Errorf("the slow child: %+v, want all dropped but the 128 newest that its queue holds", got)
	}
	if got := s.Children[1]; got.Dropped != 0 || got.Sent != n {
		t.Errorf("the quick child: %+v", got)
	}
	eventually(t, "the stuck reader's loss is counted", func() bool { return s.Sinks[0].Dropped >= n-30 })
	// It has its turn again: what it gets is the newest.
	var late collector
	defer slow.AddSink(testStream, SinkConfig{Deliver: late.deliver}).Close()
	a.enqueue(p)
	a.kick()
	eventually(t, "the slow child gets what is queued", func() bool { return late.len() == 128 })
	if h := late.headers()[0]; h.Seq != n-127 {
		t.Errorf("it begins with %d, want %d", h.Seq, n-127)
	}
}

func TestSendRateIsKept(t *testing.T) {
	const rate = 1_000_000
	a := newHost(t, func(c *Config) { c.SendRate = rate })
	b := newHost(t, nil)
	connect(t, a, b)
	forward(t, b, Entry{Upstream: legs(a)})
	var out collector
	defer b.AddSink(testStream, SinkConfig{Deliver: out.deliver}).Close()
	forward(t, a, Entry{Children: legs(b)})
	start := time.Now()
	const n, size = 600, 1000
	publish(t, a, payloads(0, n, size))
	eventually(t, "all arrive", func() bool { return out.len() == n })
	burst := float64(2 * maxDatagram * drainAtOnce)
	least := time.Duration((n*size - burst) / rate * 1e9)
	if took := time.Since(start); took < least {
		t.Errorf("%d bytes took %v; at %d bytes a second it is %v at least", n*size, took, rate, least)
	}
}

// A member that floods is cut down to its rate; others are not.
func TestFloodOfMember(t *testing.T) {
	b := newHost(t, func(c *Config) { c.ControlRate, c.RecvRate = 100, 1_000_000 })
	flood, polite := newHost(t, func(c *Config) { c.SendRate = -1 }), newHost(t, nil)
	connect(t, flood, b)
	connect(t, polite, b)
	const n = 5000
	start := time.Now()
	for i := 0; i < n; {
		if flood.SendControl(b.Self(), []byte("x")) == nil {
			i++
		}
		if i%100 == 0 && i < n/2 {
			if err := polite.SendControl(b.Self(), []byte("please")); err != nil {
				t.Fatal(err)
			}
		}
	}
	received := func(h *host) uint64 { s := b.stat(h.Self().ID); return s.RxControl + s.RxRateLimited }
	eventually(t, "nearly all reach the socket", func() bool { return received(flood) > n*9/10 })
	if s, took := b.stat(flood.Self().ID), time.Since(start); float64(s.RxControl) > 100+100*took.Seconds() {
		t.Errorf("%d control messages of a flood were worked on in %v", s.RxControl, took)
	}
	if s := b.stat(polite.Self().ID); s.RxRateLimited != 0 || s.RxControl < 20 {
		t.Errorf("the polite host: %+v", s)
	}
	forward(t, flood, Entry{Children: legs(b)})
	forward(t, b, Entry{Upstream: legs(flood)})
	base := b.stat(flood.Self().ID)
	eventually(t, "data is cut down too", func() bool {
		publish(t, flood, payloads(0, 100, 1000))
		return b.stat(flood.Self().ID).RxRateLimited > base.RxRateLimited+2000
	})
}

// The bound on handshakes and that on peers hold, and one address leaves half of
// the handshakes to the others.
func TestFloodOfHandshakes(t *testing.T) {
	b := newHost(t, func(c *Config) { c.Handshakes, c.MaxInbound, c.MaxPeers = 10, 20, 4 })
	var wg sync.WaitGroup
	start := time.Now()
	for range 14 {
		h := newHost(t, func(c *Config) { c.HandshakeTimeout = 20 * time.Second })
		wg.Go(func() { _, _ = h.Connect(context.Background(), b.Self().Addr) })
	}
	wg.Wait()
	s := b.Stats()
	if s.Peers > 4 || s.Sessions > 4 {
		t.Errorf("more peers than allowed: %+v", s)
	}
	if most := 5 + uint64(5*time.Since(start).Seconds()) + 1; s.Handshakes+s.HandshakesFailed > most {
		t.Errorf("%d handshakes from one address, at most %d are allowed: %+v", s.Handshakes+s.HandshakesFailed, most, s)
	}
	if s.HandshakesRefused == 0 {
		t.Errorf("nothing was refused: %+v", s)
	}
	other := newHost(t, func(c *Config) { c.Listen = netip.MustParseAddrPort("127.0.0.2:0") })
	if _, err := other.Connect(context.Background(), b.Self().Addr); !errors.Is(err, ErrFull) {
		t.Errorf("a host from another address is not heard at all: %v", err)
	}
}

// A million random datagrams leave no trace but a counter.
func TestRandomDatagrams(t *testing.T) {
	n := 1_000_000
	if testing.Short() || raceDetector {
		n = 50_000
	}
	a, b := newHost(t, nil), newHost(t, nil)
	connect(t, a, b)
	var index uint32
	b.smu.RLock()
	for i := range b.sessions {
		index = i
	}
	b.smu.RUnlock()
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(b.Self().Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := rand.New(rand.NewPCG(1, 2))
	var chacha [32]byte
	src := rand.NewChaCha8(chacha)
	buf := make([]byte, 1500)
	refused := func() uint64 {
		s := b.Stats()
		return s.Malformed + s.Version1 + s.UnknownIndex + s.Unauthentic + s.QUIC
	}
	var before, after runtime.MemStats
	send := func(n int) {
		base := refused()
		for i := range n {
			d := buf[:r.IntN(len(buf))]
			_, _ = src.Read(d)
			if len(d) >= overhead && i%4 != 0 { // most get further than the first check
				binary.BigEndian.PutUint32(d, uint32(1+3*r.IntN(2))<<24) // control or data
				if i%4 == 1 {
					binary.BigEndian.PutUint32(d[4:], index)
				}
			}
			_, _ = conn.Write(d)
			if i%256 == 255 { // what the kernel drops proves nothing
				for now, idle := base, 0; now < base+256 && idle < 20; idle++ {
					time.Sleep(50 * time.Microsecond << min(idle, 9)) // 250 ms in all without any
					if n := refused(); n > now {
						now, idle = n, 0
					}
				}
				base = refused()
			}
		}
	}
	send(n / 10)
	runtime.GC()
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	send(n)
	eventually(t, "most datagrams were looked at", func() bool { return refused() > uint64(n)*8/10 })
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d random datagrams, %d refused: heap %+d bytes, goroutines %d -> %d", n, refused(), grown, goroutines, runtime.NumGoroutine())
	if grown > 1<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if s := b.Stats(); s.Peers != 1 || s.Sessions != 1 || s.Streams != 0 {
		t.Errorf("random datagrams made state: %+v", s)
	}
	if err := a.SendControl(b.Self(), []byte("still there?")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a member is heard", func() bool { return len(b.got()) == 1 })
}
