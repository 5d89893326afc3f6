// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sandstream/internal/live/frame"
	"sandstream/internal/overlay/wire"
)

// Process is what an SPA does with packets (header and payload) of one stream,
// in their order: it calls emit for each packet that shall go on, which may be
// one of in, changed in place or not, or a new one. emit copies; what is not a
// valid packet of the same stream it drops and counts. A Process is called by
// one goroutine at a time and must not call the transport.
type Process func(in [][]byte, emit func(pkt []byte))

// Leg is a branch of a stream: packets whose header says Path go to, or come
// from, this host. A stream that is not split has path 0 everywhere.
type Leg struct {
	Host wire.Peer
	Path uint16
	// Cost is the link's one-way delay; children only.
	Cost time.Duration
	// Process, if not nil, sees this child's packets only, on their way out: for
	// example a filter that a subscriber accepted in place of no stream.
	Process Process
}

// Entry is what is done with a stream's packets here.
type Entry struct {
	// Upstream is who may send the stream's packets to this host. Empty: only
	// Publish does.
	Upstream []Leg
	// Children get a copy of each packet of their path.
	Children []Leg
	// Process, if not nil, sees every packet on arrival.
	Process Process
	// Budget is the latency budget that Publish gives packets; 0: none.
	Budget time.Duration
}

// Payload is one packet to publish: at most frame.MaxPayload bytes.
type Payload struct {
	Data  []byte
	Flags frame.Flags
}

// stream is one row of the forwarding table with its local readers.
type stream struct {
	t  *Transport
	id wire.StreamID

	mu       sync.Mutex
	entry    *Entry
	children []child
	sinks    []*Sink
	seq      uint64       // of Publish
	seen     []seenPath   // by path: at most maxPaths
	switched bool         // the upstream has changed: its numbers may begin anew
	out      []*packet    // to hand on, kept between calls
	some     []*packet    // those of one leg
	in       [][]byte     // to process
	last     frame.Header // of the newest packet
	stats    streamStats
}

type child struct {
	Leg
	peer  *peer
	stats *legStats
}

// seenPath remembers which packets of a path have come: a packet is forwarded
// once, so that neither a loop nor a change of the tree makes copies.
type seenPath struct {
	path uint16
	back uint8 // packets in a row that were far behind the window
	window
}

// A host above may drive the numbers far ahead, by mistake or not, and be found
// out: at hosts further down nothing changes then but the numbers. Nobody repeats
// packets from so far back, so that as many of them in a row are the stream.
const (
	farBack      = 8 * windowSize
	farBackInRow = 32
)

// maxPaths bounds the paths of one stream.
const maxPaths = 8

// MaxHops ends a packet's journey: the core's paths have 40 hops at most.
const MaxHops = 64

// SetForward makes or replaces the entry of a stream. Sequence numbers and
// local readers stay. Children without a session are connected to in the
// background.
func (t *Transport) SetForward(id wire.StreamID, e Entry) error {
	children := make([]child, len(e.Children))
	for i, leg := range e.Children {
		p := t.legFor(leg.Host)
		if p == nil {
			for _, c := range children[:i] {
				c.peer.forwards.Add(-1)
			}
			return fmt.Errorf("forward stream %s to %s: %w (%d)", id, leg.Host, ErrFull, t.cfg.MaxPeers)
		}
		children[i] = child{Leg: leg, peer: p, stats: new(legStats)}
	}
	s := t.makeStream(id)
	s.mu.Lock()
	for i := range children {
		c := &children[i]
		for _, old := range s.children {
			if old.peer == c.peer && old.Path == c.Path {
				c.stats = old.stats
			}
		}
	}
	for _, old := range s.children {
		old.peer.forwards.Add(-1)
	}
	if s.entry != nil && !sameHosts(s.entry.Upstream, e.Upstream) {
		s.switched = true
	}
	s.entry, s.children = &e, children
	s.mu.Unlock()
	for _, c := range children {
		c.peer.mu.Lock()
		if c.peer.sendSession() == nil {
			c.peer.dial()
		}
		c.peer.mu.Unlock()
	}
	return nil
}

func sameHosts(a, b []Leg) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Host.ID != b[i].Host.ID || a[i].Path != b[i].Path {
			return false
		}
	}
	return true
}

// DelForward removes the entry of a stream. Its local readers get nothing more
// but stay until they are closed.
func (t *Transport) DelForward(id wire.StreamID) {
	s := t.stream(id)
	if s == nil {
		return
	}
	s.mu.Lock()
	for _, old := range s.children {
		old.peer.forwards.Add(-1)
	}
	s.entry, s.children = nil, nil
	s.mu.Unlock()
	t.tidy(s)
}

// tidy drops a stream that has neither entry nor readers.
func (t *Transport) tidy(s *stream) {
	t.streamMu.Lock()
	defer t.streamMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entry == nil && len(s.sinks) == 0 && t.streams[s.id] == s {
		delete(t.streams, s.id)
	}
}

func (t *Transport) stream(id [16]byte) *stream {
	t.streamMu.RLock()
	defer t.streamMu.RUnlock()
	return t.streams[id]
}

func (t *Transport) makeStream(id wire.StreamID) *stream {
	t.streamMu.Lock()
	defer t.streamMu.Unlock()
	s := t.streams[id]
	if s == nil {
		s = &stream{t: t, id: id}
		t.streams[id] = s
	}
	return s
}

// Publish sends packets of a stream that begins here: the stream's entry must
// have no upstream. It gives the last sequence number used. It does not wait:
// what a child or reader can not take is dropped there and counted.
func (t *Transport) Publish(id wire.StreamID, payloads []Payload) (seq uint64, err error) {
	s := t.stream(id)
	if s == nil {
		return 0, fmt.Errorf("publish %s: the stream has no forwarding entry", id)
	}
	now := t.now()
	s.mu.Lock()
	if s.entry == nil || len(s.entry.Upstream) > 0 {
		s.mu.Unlock()
		return 0, fmt.Errorf("publish %s: the stream does not begin at this host", id)
	}
	h := frame.Header{Stream: id, SentNs: t.WallNs(now), BudgetUs: frame.NoBudget}
	if s.entry.Budget > 0 {
		h.BudgetUs = uint32(min(s.entry.Budget.Microseconds(), frame.NoBudget-1))
	}
	for i := range payloads {
		d := payloads[i].Data
		if len(d) > frame.MaxPayload || payloads[i].Flags&frame.Beat != 0 && len(d) > 0 {
			err = fmt.Errorf("publish %s: %w: %d bytes, at most %d", id, ErrTooLong, len(d), frame.MaxPayload)
			break
		}
		s.seq++
		h.Seq, h.Flags = s.seq, payloads[i].Flags
		p := newPacket(nil, now)
		h.Encode(p.buf[:])
		p.n = frame.HeaderSize + copy(p.buf[frame.HeaderSize:], d)
		s.out = append(s.out, p)
		s.stats.bytesIn.Add(uint64(p.n))
	}
	s.stats.in.Add(uint64(len(s.out)))
	s.last = h
	seq = s.seq
	if s.entry.Process != nil {
		s.process(s.entry.Process, now)
	}
	s.distribute(now)
	s.mu.Unlock()
	t.kick()
	return seq, err
}

// receive takes packets that have passed Decode from a peer.
func (s *stream) receive(from *peer, pkts [][]byte, now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entry == nil {
		from.stats.rxNotExpected.Add(uint64(len(pkts)))
		return
	}
	var bytes uint64
	for _, b := range pkts {
		if !s.expects(from, frame.Path(b)) {
			from.stats.rxNotExpected.Add(1)
			continue
		}
		var h frame.Header
		if _, err := h.Decode(b); err != nil || h.Hops >= MaxHops {
			s.stats.tooFar.Add(1)
			continue
		}
		if !s.isNew(&h) {
			s.stats.duplicates.Add(1)
			continue
		}
		if h.Seq > s.last.Seq || s.last.Path != h.Path {
			s.last = h
		}
		bytes += uint64(len(b))
		s.out = append(s.out, newPacket(b, now))
	}
	s.stats.in.Add(uint64(len(s.out)))
	s.stats.bytesIn.Add(bytes)
	if s.entry.Process != nil && len(s.out) > 0 {
		s.process(s.entry.Process, now)
	}
	s.distribute(now)
}

func (s *stream) expects(from *peer, path uint16) bool {
	for i := range s.entry.Upstream {
		if u := &s.entry.Upstream[i]; u.Host.ID == from.id && u.Path == path {
			return true
		}
	}
	return false
}

// isNew says whether the packet has not come before.
func (s *stream) isNew(h *frame.Header) bool {
	var w *seenPath
	for i := range s.seen {
		if s.seen[i].path == h.Path {
			w = &s.seen[i]
		}
	}
	if w == nil {
		if len(s.seen) == maxPaths {
			return false
		}
		s.seen = append(s.seen, seenPath{path: h.Path})
		w = &s.seen[len(s.seen)-1]
	}
	if w.top > farBack && h.Seq < w.top-farBack {
		w.back++
	} else {
		w.back = 0
	}
	// A new upstream is believed at once.
	if w.back >= farBackInRow || w.back > 0 && s.switched {
		*w = seenPath{path: w.path}
		if s.last.Path == w.path {
			s.last = frame.Header{}
		}
	}
	s.switched = false
	if !w.fresh(h.Seq) {
		return false
	}
	w.add(h.Seq)
	return true
}

// process replaces s.out by what f makes of it.
func (s *stream) process(f Process, now time.Duration) {
	s.out = s.run(f, s.out, now)
}

// run gives what f makes of pkts, and releases those.
func (s *stream) run(f Process, pkts []*packet, now time.Duration) []*packet {
	s.in = s.in[:0]
	for _, p := range pkts {
		s.in = append(s.in, p.bytes())
	}
	var made []*packet
	f(s.in, func(b []byte) {
		var h frame.Header
		if _, err := h.Decode(b); err != nil || h.Stream != s.id || len(made) >= 4*groupMax+4*len(pkts) {
			s.stats.badEmits.Add(1)
			return
		}
		made = append(made, newPacket(b, now))
	})
	clear(s.in)
	for _, p := range pkts {
		p.release()
	}
	return made
}

// distribute gives s.out to children and readers.
func (s *stream) distribute(now time.Duration) {
	if len(s.out) == 0 {
		return
	}
	for i := range s.children {
		c := &s.children[i]
		s.some = s.some[:0]
		for _, p := range s.out {
			if frame.Path(p.bytes()) == c.Path {
				s.some = append(s.some, p)
			}
		}
		if len(s.some) == 0 {
			continue
		}
		some := s.some
		if c.Process != nil {
			// The SPA may change packets in place, which others share.
			own := make([]*packet, len(some))
			for j, p := range some {
				own[j] = newPacket(p.bytes(), p.arrived)
			}
			some = s.run(c.Process, own, now)
		}
		if c.peer.push(some, c.Cost, c.stats) {
			s.t.enqueue(c.peer)
		}
		if c.Process != nil {
			for _, p := range some {
				p.release()
			}
		}
	}
	for _, sink := range s.sinks {
		sink.push(s, s.out, now)
	}
	for i, p := range s.out {
		p.release()
		s.out[i] = nil
	}
	clear(s.some[:cap(s.some)])
	s.out = s.out[:0]
}

// streamStats counts with atomics, so that reading does not stop the stream.
type streamStats struct {
	in, bytesIn, duplicates, tooFar, badEmits atomic.Uint64
}

type legStats struct {
	sent, dropped atomic.Uint64
	stay          atomic.Int64 // ns, smoothed
}

// stayed counts the time from arrival to sending on. Only the sender writes.
func (l *legStats) stayed(d time.Duration) {
	old := l.stay.Load()
	l.stay.Store(old + (int64(d)-old)/16)
}
