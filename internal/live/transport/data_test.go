// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/seal"
	"sandstream/internal/overlay/wire"
)

var testStream = wire.StreamID{0xca, 0xfe}

// collector is a local reader that keeps what it gets.
type collector struct {
	mu   sync.Mutex
	got  []Delivery
	data [][]byte
}

func (c *collector) deliver(ds []Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range ds {
		c.data = append(c.data, bytes.Clone(d.Payload))
		d.Payload = nil
		c.got = append(c.got, d)
	}
}

func (c *collector) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

// first is the first payload that came.
func (c *collector) first() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.data[0]
}

func (c *collector) headers() []frame.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	var hs []frame.Header
	for _, d := range c.got {
		hs = append(hs, d.Header)
	}
	return hs
}

func legs(hs ...*host) (out []Leg) {
	for _, h := range hs {
		out = append(out, Leg{Host: h.Self()})
	}
	return out
}

func forward(t testing.TB, h *host, e Entry) {
	t.Helper()
	if err := h.SetForward(testStream, e); err != nil {
		t.Fatal(err)
	}
}

// payloads makes n numbered payloads of size bytes.
func payloads(from, n, size int) []Payload {
	ps := make([]Payload, n)
	for i := range ps {
		b := make([]byte, size)
		binary.BigEndian.PutUint32(b, uint32(from+i))
		for j := 4; j < size; j++ {
			b[j] = byte(from + i + j)
		}
		ps[i].Data = b
	}
	return ps
}

func publish(t testing.TB, h *host, ps []Payload) uint64 {
	t.Helper()
	seq, err := h.Publish(testStream, ps)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// line connects hosts one after the other, and forwards the test stream along.
func line(t testing.TB, hs ...*host) {
	t.Helper()
	for i, h := range hs {
		e := Entry{}
		if i > 0 {
			e.Upstream = legs(hs[i-1])
		}
		if i+1 < len(hs) {
			connect(t, h, hs[i+1])
			e.Children = legs(hs[i+1])
		}
		forward(t, h, e)
	}
}

// refusing is a data socket that refuses trains from a point on.
type refusing struct {
	batchConn
	with atomic.Pointer[error]
}

func (r *refusing) WriteBatch(ms []ipv4.Message, flags int) (int, error) {
	err := r.with.Load()
	if err == nil {
		return r.batchConn.WriteBatch(ms, flags)
	}
	for i := range ms {
		if len(ms[i].OOB) > 0 && i == 0 {
			return 0, *err
		} else if len(ms[i].OOB) > 0 {
			return r.batchConn.WriteBatch(ms[:i], flags)
		}
	}
	return r.batchConn.WriteBatch(ms, flags)
}

// The same bytes arrive in the same order over two hops, with trains, without,
// and when the kernel refuses trains in the middle: for want of the card's help
// (EIO: none any more) or because of the path to one peer (EINVAL: none to that peer).
func TestSameBytesWithAndWithoutOffload(t *testing.T) {
	for _, c := range []struct {
		name   string
		off    bool
		refuse error
		gso    bool // at the end
	}{
		{"offload", false, nil, true},
		{"none", true, nil, false},
		{"EIO", false, os.NewSyscallError("sendmmsg", unix.EIO), false},
		{"EINVAL", false, os.NewSyscallError("sendmmsg", unix.EINVAL), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			change := func(cfg *Config) { cfg.NoOffload = c.off }
			var socket refusing
			a := newHostWith(t, change, func(tr *Transport) {
				socket.batchConn = tr.data.batch
				tr.data.batch = &socket
			})
			b, d := newHost(t, change), newHost(t, change)
			if !c.off && (!a.Stats().GSO || !a.Stats().GRO) {
				t.Skip("this kernel has no UDP_SEGMENT or no UDP_GRO")
			}
			line(t, a, b, d)
			var out collector
			sink := d.AddSink(testStream, SinkConfig{Deliver: out.deliver, Queue: 4000, Ordered: true})
			defer sink.Close()
			const bursts, burst = 20, 50
			var want [][]byte
			for i := range bursts {
				if i == bursts/2 && c.refuse != nil {
					socket.with.Store(&c.refuse)
				}
				ps := payloads(i*burst, burst, 100+60*i)
				ps[burst-1].Data = ps[burst-1].Data[:60] // trains end with a short one
				for _, p := range ps {
					want = append(want, p.Data)
				}
				publish(t, a, ps)
				eventually(t, "the burst arrives", func() bool { return out.len() == len(want) })
			}
			for i := range want {
				if !bytes.Equal(out.data[i], want[i]) {
					t.Fatalf("packet %d differs", i)
				}
			}
			for i, h := range out.headers() {
				if h.Seq != uint64(i+1) || h.Hops != 2 || h.Stream != testStream {
					t.Fatalf("packet %d has header %+v", i, h)
				}
			}
			if gso := a.Stats().GSO; gso != c.gso {
				t.Errorf("trains are on: %v", gso)
			}
			if errs := a.stat(b.Self().ID).TxErrors; errs != 0 {
				t.Errorf("%d datagrams were not sent", errs)
			}
			// With trains a burst takes a few system calls, without at least one for 64 datagrams.
			if calls := d.Stats().ReadCalls; c.name == "offload" && calls > bursts*burst/4 {
				t.Errorf("%d datagrams took %d system calls", bursts*burst, calls)
			}
		})
	}
}

func TestBudgetAndElapsed(t *testing.T) {
	a, b, d := newHost(t, nil), newHost(t, nil), newHost(t, nil)
	line(t, a, b, d)
	withCost := legs(b)
	withCost[0].Cost = 300 * time.Second // added up, not waited for
	forward(t, a, Entry{Children: withCost, Budget: 1000 * time.Second})
	withCost = legs(d)
	withCost[0].Cost = 2000 * time.Second
	forward(t, b, Entry{Upstream: legs(a), Children: withCost})
	var nearby, far collector
	defer b.AddSink(testStream, SinkConfig{Deliver: nearby.deliver}).Close()
	defer d.AddSink(testStream, SinkConfig{Deliver: far.deliver}).Close()
	start := time.Now()
	before := start.UnixNano()
	publish(t, a, payloads(0, 1, 10))
	eventually(t, "it arrives", func() bool { return far.len() == 1 && nearby.len() == 1 })
	took := time.Since(start)
	h := nearby.headers()[0]
	if h.ElapsedUs < 300e6 || h.ElapsedUs > 300e6+uint32(took.Microseconds()) || h.BudgetUs+h.ElapsedUs != 1000e6 {
		t.Errorf("after a link of 300 s and %v: %+v", took, h)
	}
	if sent := int64(h.SentNs); sent < before-int64(time.Second) || sent > time.Now().UnixNano() {
		t.Errorf("sent at %d, now is %d", sent, time.Now().UnixNano())
	}
	if h := far.headers()[0]; h.BudgetUs != 0 || h.ElapsedUs < 2300e6 {
		t.Errorf("after more than the budget: %+v", h)
	}
	if at := nearby.got[0].At; at < h.SentNs || at > h.SentNs+uint64(took) {
		t.Errorf("came at %d, was sent at %d", at, h.SentNs)
	}
}

// Nobody on the way sees what is in a packet: neither the wire nor a host that passes it
// on; it may read the header, and thin the stream out by that.
func TestNoPlaintextOnTheWay(t *testing.T) {
	a, b, c := newHost(t, nil), newHost(t, nil), newHost(t, nil)
	line(t, a, b, c)
	first, second := newTap(t, a, b), newTap(t, b, c)
	children := legs(c)
	var mu sync.Mutex
	var seen [][]byte
	children[0].Process = func(in [][]byte, emit func([]byte)) {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range in {
			seen = append(seen, bytes.Clone(p))
			if frame.Class(p[2]) == frame.Disposable {
				p = p[:frame.HeaderSize]
				p[55] = 1 // thinned
			}
			emit(p)
		}
	}
	forward(t, b, Entry{Upstream: legs(a), Children: children})
	var out collector
	defer c.AddSink(testStream, SinkConfig{Deliver: out.deliver}).Close()
	text := bytes.Repeat([]byte("what the eye sees "), 20)
	publish(t, a, []Payload{{Data: text}, {Data: text, Class: frame.Disposable}, {Data: text}})
	eventually(t, "all arrive", func() bool { return out.len() == 3 })
	for i, want := range [][]byte{text, {}, text} {
		if !bytes.Equal(out.data[i], want) || out.got[i].Header.Thinned != (i == 1) {
			t.Errorf("packet %d: got %q, %+v", i, out.data[i], out.got[i].Header)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for where, all := range map[string][][]byte{"before the relay": first.datagrams(), "behind it": second.datagrams(), "at it": seen} {
		if len(all) < 3 || bytes.Contains(bytes.Join(all, nil), text[:18]) {
			t.Errorf("%s: %d packets, the payload is in the clear", where, len(all))
		}
	}
}

// A payload that is too long for a packet goes as several that say so.
func TestPartsOfAMessage(t *testing.T) {
	a, b := newHost(t, nil), newHost(t, nil)
	line(t, a, b)
	var out collector
	defer b.AddSink(testStream, SinkConfig{Deliver: out.deliver}).Close()
	long := payloads(0, 1, frame.MaxMessage)
	if seq := publish(t, a, append(long, Payload{Data: []byte("short")})); seq != 51 {
		t.Errorf("the last packet has number %d", seq)
	}
	eventually(t, "all arrive", func() bool { return out.len() == 51 })
	for i, h := range out.headers()[:50] {
		if h.Seq != uint64(i+1) || h.Part != uint8(i) || h.LastPart != 49 {
			t.Fatalf("packet %d: %+v", i, h)
		}
	}
	if !bytes.Equal(bytes.Join(out.data[:50], nil), long[0].Data) || out.headers()[50].LastPart != 0 {
		t.Error("other bytes came")
	}
}

// A reader whose key is under way gets what came before it; one without waits in vain,
// and others on the same host are not kept up.
func TestKeyThatComesLater(t *testing.T) {
	a := newHost(t, nil)
	forward(t, a, Entry{})
	late, never := seal.NewRing(testStream), seal.NewRing(testStream)
	never.Add(seal.NewKey(seal.AES128GCM, testKey.Epoch-1))
	var out, other, none collector
	defer a.AddSink(testStream, SinkConfig{Deliver: out.deliver, Keys: late}).Close()
	defer a.AddSink(testStream, SinkConfig{Deliver: other.deliver}).Close()
	sink := a.AddSink(testStream, SinkConfig{Deliver: none.deliver, Keys: never})
	defer sink.Close()
	publish(t, a, payloads(0, 3, 100))
	eventually(t, "who has the key reads", func() bool { return other.len() == 3 })
	if out.len() != 0 {
		t.Fatal("read without a key")
	}
	late.Add(testKey)
	eventually(t, "the late key opens what waited", func() bool { return out.len() == 3 })
	eventually(t, "who has none loses them", func() bool { return sink.Stats().NoKey == 3 })
	if none.len() != 0 {
		t.Error("read without a key")
	}
}

// An SPA that looks at content sees it where the key is, and what it makes is sealed anew,
// by another sealer; without the key packets pass as if it were not there.
func TestContentWhereTheKeyIs(t *testing.T) {
	a, b, c := newHost(t, nil), newHost(t, nil), newHost(t, nil)
	line(t, a, b, c)
	var out collector
	defer c.AddSink(testStream, SinkConfig{Deliver: out.deliver}).Close()
	keys := seal.NewRing(testStream)
	sealer := seal.NewSealer(testStream, b.Self().ID, 1)
	forward(t, b, Entry{
		Upstream: legs(a), Children: legs(c), Keys: keys, Seal: sealer,
		Process: func(in [][]byte, emit func([]byte)) {
			for _, p := range in {
				emit(append(p[:frame.HeaderSize:frame.HeaderSize], bytes.ToUpper(p[frame.HeaderSize:])...))
			}
		},
	})
	publish(t, a, []Payload{{Data: []byte("small")}})
	eventually(t, "it passes as it is", func() bool { return out.len() == 1 })
	keys.Add(testKey)
	if err := sealer.Use(testKey); err != nil {
		t.Fatal(err)
	}
	publish(t, a, []Payload{{Data: []byte("large")}})
	eventually(t, "it passes the SPA", func() bool { return out.len() == 2 })
	if string(out.data[0]) != "small" || string(out.data[1]) != "LARGE" {
		t.Errorf("got %q", out.data)
	}
	if h := out.headers(); h[0].Sealer == h[1].Sealer || h[0].SentNs > h[1].SentNs || h[1].Seq != 2 {
		t.Errorf("headers %+v", h)
	}
}

// Only the upstream of a stream is believed, and each packet once.
func TestUpstreamOnlyAndOnce(t *testing.T) {
	a, stranger, b := newHost(t, nil), newHost(t, nil), newHost(t, nil)
	connect(t, a, b)
	connect(t, stranger, b)
	forward(t, a, Entry{Children: legs(b)})
	forward(t, stranger, Entry{Children: legs(b)})
	forward(t, b, Entry{Upstream: legs(a)})
	var out collector
	defer b.AddSink(testStream, SinkConfig{Deliver: out.deliver}).Close()
	publish(t, stranger, payloads(1000, 5, 20))
	eventually(t, "the stranger's are dropped", func() bool { return b.stat(stranger.Self().ID).RxNotExpected == 5 })
	publish(t, a, payloads(0, 5, 20))
	eventually(t, "the upstream's arrive", func() bool { return out.len() == 5 })
	// A change of the tree makes the stranger the upstream; it sends the same
	// numbers 6..10 after 1..5 of its own, which b has seen.
	forward(t, b, Entry{Upstream: legs(stranger)})
	publish(t, stranger, payloads(0, 5, 20))
	eventually(t, "the new upstream's arrive", func() bool { return out.len() == 10 })
	forward(t, b, Entry{Upstream: legs(a)})
	publish(t, a, payloads(5, 6, 20)) // 6..11
	eventually(t, "only what is new arrives", func() bool { return out.len() == 11 })
	seqs := []uint64{}
	for _, h := range out.headers() {
		seqs = append(seqs, h.Seq)
	}
	if want := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}; !slices.Equal(seqs, want) {
		t.Errorf("got %v, want %v", seqs, want)
	}
	if n := b.Streams()[0].Duplicates; n != 5 {
		t.Errorf("%d duplicates counted, want 5", n)
	}
	// A stream that b does not know at all.
	if err := a.SetForward(wire.StreamID{7}, Entry{Children: legs(b)}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Publish(wire.StreamID{7}, payloads(0, 3, 20)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an unknown stream is dropped", func() bool { return b.stat(a.Self().ID).RxNotExpected == 3 })
	if len(b.Streams()) != 1 {
		t.Error("packets of an unknown stream made state")
	}
}

// An upstream that drove the window far ahead does not stop its successor.
func TestUpstreamThatRanAhead(t *testing.T) {
	s := &stream{}
	if !s.isNew(&frame.Header{Seq: 10}) || s.isNew(&frame.Header{Seq: 10}) {
		t.Fatal("a packet is new once")
	}
	if !s.isNew(&frame.Header{Seq: 1 << 60}) || s.isNew(&frame.Header{Seq: 11}) {
		t.Fatal("far ahead is new, and the window moves")
	}
	if s.isNew(&frame.Header{Seq: 1<<64 - 1}) {
		t.Fatal("the greatest number would wrap the window")
	}
	s.switched = true
	if !s.isNew(&frame.Header{Seq: 11}) || s.isNew(&frame.Header{Seq: 11}) {
		t.Error("the new upstream is not believed")
	}
	for path := range uint16(100) {
		s.isNew(&frame.Header{Seq: 1, Path: path})
	}
	if len(s.seen) != maxPaths {
		t.Errorf("state for %d paths", len(s.seen))
	}
}

// Further down, nobody's upstream changes when a host that drove the numbers ahead
// has been left: the numbers tell. A few old packets are no such sign.
func TestNumbersThatRanAheadFurtherDown(t *testing.T) {
	s := &stream{last: frame.Header{Seq: 1 << 62}}
	if !s.isNew(&frame.Header{Seq: 1 << 62}) {
		t.Fatal("far ahead is new")
	}
	for i := range uint64(farBackInRow - 1) {
		if s.isNew(&frame.Header{Seq: 100 + i}) {
			t.Fatalf("old packet %d passes", i)
		}
	}
	if !s.isNew(&frame.Header{Seq: 1<<62 + 1}) || s.isNew(&frame.Header{Seq: 200}) {
		t.Fatal("a packet in order does not end the row")
	}
	for i := range uint64(farBackInRow - 2) {
		if s.isNew(&frame.Header{Seq: 201 + i}) {
			t.Fatalf("old packet %d passes", i)
		}
	}
	for i := range uint64(1000) {
		if h := (frame.Header{Seq: 300 + i}); !s.isNew(&h) || s.isNew(&h) {
			t.Fatalf("packet %d of the row is not new, once", i)
		}
	}
	if s.last.Seq != 0 {
		t.Error("the greatest number stays the newest packet's")
	}
}

// split at a, merge at d: two paths over b and c.
func TestTwoPaths(t *testing.T) {
	a, b, c, d := newHost(t, nil), newHost(t, nil), newHost(t, nil), newHost(t, nil)
	connect(t, a, b)
	connect(t, a, c)
	connect(t, b, d)
	connect(t, c, d)
	on := func(path uint16, h *host) Leg { return Leg{Host: h.Self(), Path: path} }
	n := 0
	forward(t, a, Entry{
		Children: []Leg{on(1, b), on(2, c)},
		Process: func(in [][]byte, emit func([]byte)) {
			for _, p := range in {
				binary.BigEndian.PutUint16(p[52:], uint16(1+n%2))
				n++
				emit(p)
			}
		},
	})
	forward(t, b, Entry{Upstream: []Leg{on(1, a)}, Children: []Leg{on(1, d)}})
	forward(t, c, Entry{Upstream: []Leg{on(2, a)}, Children: []Leg{on(2, d)}})
	forward(t, d, Entry{Upstream: []Leg{on(1, b), on(2, c)}})
	var out collector
	defer d.AddSink(testStream, SinkConfig{Deliver: out.deliver}).Close()
	publish(t, a, payloads(0, 100, 50))
	eventually(t, "both halves arrive", func() bool { return out.len() == 100 })
	if b, c := b.Streams()[0].In, c.Streams()[0].In; b != 50 || c != 50 {
		t.Errorf("%d packets went over b and %d over c", b, c)
	}
}

// An SPA for one child does not touch what the others get; what it emits that is
// no packet of the stream goes nowhere.
func TestProcessPerChild(t *testing.T) {
	a, b, c := newHost(t, nil), newHost(t, nil), newHost(t, nil)
	connect(t, a, b)
	connect(t, a, c)
	children := legs(b, c)
	children[0].Process = func(in [][]byte, emit func([]byte)) {
		for _, p := range in {
			if frame.Seq(p)%2 == 1 {
				p[60] = 1 // 16 s elapsed
				emit(p)
			}
		}
		emit([]byte("no packet"))
		other := bytes.Clone(in[0])
		other[8]++
		emit(other) // of another stream
	}
	forward(t, a, Entry{Children: children})
	forward(t, b, Entry{Upstream: legs(a)})
	forward(t, c, Entry{Upstream: legs(a)})
	var outB, outC collector
	defer b.AddSink(testStream, SinkConfig{Deliver: outB.deliver}).Close()
	defer c.AddSink(testStream, SinkConfig{Deliver: outC.deliver}).Close()
	ps := payloads(0, 10, 20)
	publish(t, a, ps)
	eventually(t, "both get theirs", func() bool { return outB.len() == 5 && outC.len() == 10 })
	for i, d := range outC.data {
		if !bytes.Equal(d, ps[i].Data) {
			t.Errorf("packet %d of the other child was changed", i)
		}
	}
	for i, d := range outB.data {
		if !bytes.Equal(d, ps[2*i].Data) || outB.got[i].Header.ElapsedUs < 1<<24 || outC.got[2*i].Header.ElapsedUs >= 1<<24 {
			t.Errorf("packet %d: %x, %+v", i, d, outB.got[i].Header)
		}
	}
	if n := a.Streams()[0].BadEmits; n != 2 {
		t.Errorf("%d bad packets counted, want 2", n)
	}
}

// Hosts that forward to each other in a circle: a packet goes round once.
func TestLoop(t *testing.T) {
	a, b, c := newHost(t, nil), newHost(t, nil), newHost(t, nil)
	connect(t, a, b)
	connect(t, b, c)
	connect(t, c, b)
	forward(t, a, Entry{Children: legs(b)})
	forward(t, b, Entry{Upstream: legs(a, c), Children: legs(c)})
	forward(t, c, Entry{Upstream: legs(b), Children: legs(b)})
	publish(t, a, payloads(0, 10, 20))
	eventually(t, "they come back once", func() bool { return b.Streams()[0].Duplicates == 10 })
	time.Sleep(20 * time.Millisecond)
	if s := c.Streams()[0]; s.In != 10 || s.Duplicates != 0 {
		t.Errorf("they went on: %+v", s)
	}
}

// A child without a session loses its packets; the others do not, and it gets
// them once it is connected to.
func TestChildThatIsNotThereYet(t *testing.T) {
	a, b, c := newHost(t, nil), newHost(t, nil), newHost(t, nil)
	connect(t, a, b)
	forward(t, b, Entry{Upstream: legs(a)})
	forward(t, c, Entry{Upstream: legs(a)})
	var outB, outC collector
	defer b.AddSink(testStream, SinkConfig{Deliver: outB.deliver}).Close()
	defer c.AddSink(testStream, SinkConfig{Deliver: outC.deliver}).Close()
	forward(t, a, Entry{Children: legs(b, c)})
	n := 0
	eventually(t, "c gets some", func() bool {
		publish(t, a, payloads(n, 1, 20))
		n++
		return outC.len() > 0
	})
	eventually(t, "b gets all", func() bool { return outB.len() == n })
}

func TestPublishIsChecked(t *testing.T) {
	a := newHost(t, nil)
	if _, err := a.Publish(testStream, payloads(0, 1, 10)); err == nil {
		t.Error("published a stream that has no entry")
	}
	forward(t, a, Entry{Upstream: []Leg{{Host: wire.Peer{ID: wire.HostID{1}}}}})
	if _, err := a.Publish(testStream, payloads(0, 1, 10)); err == nil {
		t.Error("published a stream that begins elsewhere")
	}
	forward(t, a, Entry{})
	if _, err := a.Publish(testStream, payloads(0, 1, frame.MaxMessage+1)); err == nil {
		t.Error("published a payload that is too long")
	}
	if seq := publish(t, a, payloads(0, 3, frame.MaxPayload)); seq != 3 {
		t.Errorf("the third packet has number %d", seq)
	}
	a.DelForward(testStream)
	if len(a.Streams()) != 0 {
		t.Error("the stream is still there")
	}
}

// An ordered reader sees none out of order. An SPA that makes two packets of one number
// has the first sealed alone: no nonce is used twice.
func TestOrderedReader(t *testing.T) {
	a := newHost(t, nil)
	var plain, ordered collector
	forward(t, a, Entry{Process: func(in [][]byte, emit func([]byte)) {
		for _, p := range slices.Backward(in) {
			emit(p)
			emit(p)
		}
	}})
	defer a.AddSink(testStream, SinkConfig{Deliver: plain.deliver}).Close()
	sink := a.AddSink(testStream, SinkConfig{Deliver: ordered.deliver, Ordered: true})
	defer sink.Close()
	publish(t, a, payloads(0, 3, 10))
	publish(t, a, payloads(3, 1, 10))
	eventually(t, "both readers have read", func() bool { return plain.len() == 4 && ordered.len() == 2 })
	if got := fmt.Sprint(ordered.headers()[0].Seq, ordered.headers()[1].Seq); got != "3 4" {
		t.Errorf("the ordered reader got %s", got)
	}
	if n := a.Streams()[0].BadEmits; n != 4 {
		t.Errorf("%d packets refused, want 4", n)
	}
	if s := sink.Stats(); s.Late != 2 || s.Delivered != 2 {
		t.Errorf("%+v", s)
	}
}

// A relay that forges what it can: payload, numbers ahead, another class, a part of a
// message, another's sealer, a packet once more under another number. Its reader gets what
// was published, and counts the rest.
func TestForgedByARelay(t *testing.T) {
	a, b, c := newHost(t, nil), newHost(t, nil), newHost(t, nil)
	line(t, a, b, c)
	children := legs(c)
	forgeries := []func(p []byte){
		func([]byte) {},
		func(p []byte) { p[2] = 4 },
		func(p []byte) { p[5] = 1 },
		func(p []byte) { p[1] |= byte(frame.End) },
		func(p []byte) { p[32]++ },
		func(p []byte) { p[47]++ },
		func(p []byte) { p[51]++ },
		func(p []byte) { p[frame.HeaderSize]++ },
		func(p []byte) { p[len(p)-1]++ },
	}
	children[0].Process = func(in [][]byte, emit func([]byte)) {
		for _, p := range in {
			for i, f := range forgeries {
				bad := bytes.Clone(p)
				binary.BigEndian.PutUint64(bad[24:], frame.Seq(p)+uint64(30*(i+1))) // so that no window drops it
				f(bad)
				emit(bad)
			}
			emit(p)
		}
	}
	forward(t, b, Entry{Upstream: legs(a), Children: children})
	var out collector
	sink := c.AddSink(testStream, SinkConfig{Deliver: out.deliver})
	defer sink.Close()
	ps := payloads(0, 20, 100)
	publish(t, a, ps)
	// One of another epoch waits for a key, and those behind it with it.
	eventually(t, "all are looked at", func() bool { s := sink.Stats(); return s.Forged+s.NoKey == uint64(len(ps)*len(forgeries)) })
	if s := sink.Stats(); out.len() != len(ps) || s.NoKey != uint64(len(ps)) {
		t.Errorf("%d packets, %+v", out.len(), s)
	}
	for i, d := range out.data {
		if !bytes.Equal(d, ps[i].Data) {
			t.Errorf("packet %d is %x", i, d)
		}
	}
}
