// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/replay"
	"sandstream/internal/live/seal"
	"sandstream/internal/overlay/wire"
)

// Process is what an SPA does with packets (header and payload, in the clear or sealed,
// as the Entry says) of one stream, in their order: it calls emit for each packet that shall go on, which may be
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
	// example a filter that a subscriber accepted in place of no stream. Payload is
	// sealed there.
	Process Process
}

// Entry is what is done with a stream's packets here.
type Entry struct {
	// Upstream is who may send the stream's packets to this host. Empty: only
	// Publish does.
	Upstream []Leg
	// Children get a copy of each packet of their path.
	Children []Leg
	// Process, if not nil, sees every packet on arrival: what is published, in the clear;
	// of other hosts' streams, in the clear if there are Keys, else sealed.
	Process Process
	// Seal seals what is published, and what Process makes of what Keys have opened.
	Seal *seal.Sealer
	Keys *seal.Ring
	// Chunk is how much of a payload goes into one packet; 0: frame.MaxPayload.
	Chunk int
	// Budget is the latency budget that Publish gives packets; 0: none.
	Budget time.Duration
}

// Payload is what is published at once: at most frame.MaxMessage bytes. What is longer
// than the entry's Chunk goes as several packets.
type Payload struct {
	Data  []byte
	Flags frame.Flags
	Class frame.Class
	// Runs, if there are any, are parts of Data of different classes, one after the other
	// to its end: each goes as a packet of its own, which is of use alone. None is longer
	// than the entry's Chunk.
	Runs []Run
}

// Run is a part of a payload.
type Run struct {
	Bytes int
	Class frame.Class
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
	opener   *seal.Opener // of the entry's keys
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
	replay.Window
}

// A host above may drive the numbers far ahead, by mistake or not, and be found
// out: at hosts further down nothing changes then but the numbers. Nobody repeats
// packets from so far back, so that as many of them in a row are the stream.
const (
	farBack      = 8 * replay.Size
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
	if s.entry == nil || s.entry.Keys != e.Keys {
		s.opener = nil
		if e.Keys != nil {
			s.opener = e.Keys.Opener()
		}
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
	s.entry, s.children, s.opener = nil, nil, nil
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
	if s.entry.Seal == nil {
		s.mu.Unlock()
		return 0, fmt.Errorf("publish %s: %w", id, seal.ErrNoKey)
	}
	h := frame.Header{Stream: id, SentNs: t.WallNs(now), BudgetUs: frame.NoBudget}
	if s.entry.Budget > 0 {
		h.BudgetUs = uint32(min(s.entry.Budget.Microseconds(), frame.NoBudget-1))
	}
	for i := range payloads {
		if err = s.cut(&h, &payloads[i], now); err != nil {
			err = fmt.Errorf("publish %s: %w", id, err)
			break
		}
	}
	s.stats.in.Add(uint64(len(s.out)))
	s.last = h
	seq = s.seq
	if s.entry.Process != nil {
		s.process(s.entry.Process, now)
	}
	s.sealOut()
	s.distribute(now)
	s.mu.Unlock()
	t.kick()
	return seq, err
}

// cut makes packets of a payload. h is what they have in common.
func (s *stream) cut(h *frame.Header, p *Payload, now time.Duration) error {
	chunk := s.entry.Chunk
	if chunk <= 0 || chunk > frame.MaxPlain-frame.HeaderSize {
		chunk = frame.MaxPayload
	}
	d := p.Data
	parts := max(1, (len(d)+chunk-1)/chunk)
	if len(d) > frame.MaxMessage || parts > frame.MaxParts || p.Flags&frame.Beat != 0 && len(d) > 0 {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, len(d), min(frame.MaxMessage, chunk*frame.MaxParts))
	}
	h.Flags, h.Class, h.LastPart = p.Flags, p.Class, uint8(parts-1)
	if len(p.Runs) > 1 && len(p.Runs) <= frame.MaxParts && parts == 1 {
		h.Flags, h.LastPart = h.Flags|frame.Alone, uint8(len(p.Runs)-1)
		for i, run := range p.Runs {
			n := min(run.Bytes, len(d))
			h.Class = run.Class
			s.add(h, uint8(i), d[:n], now)
			d = d[n:]
		}
		return nil
	}
	for part := range parts {
		n := min(chunk, len(d))
		s.add(h, uint8(part), d[:n], now)
		d = d[n:]
	}
	return nil
}

// add makes a packet of what is published.
func (s *stream) add(h *frame.Header, part uint8, d []byte, now time.Duration) {
	s.seq++
	h.Seq, h.Part = s.seq, part
	pkt := newPacket(nil, now)
	h.Encode(pkt.buf[:])
	pkt.n = frame.HeaderSize + copy(pkt.buf[frame.HeaderSize:], d)
	s.out = append(s.out, pkt)
	s.stats.bytesIn.Add(uint64(pkt.n))
}

// sealOut seals s.out, of which nobody else has a packet yet. What cannot be sealed goes
// nowhere.
func (s *stream) sealOut() {
	out := s.out[:0]
	for _, p := range s.out {
		if b, err := s.entry.Seal.Seal(p.bytes()); err == nil {
			p.n = len(b)
			out = append(out, p)
			continue
		}
		s.stats.badEmits.Add(1)
		p.release()
	}
	clear(s.out[len(out):])
	s.out = out
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
	if w.Top() > farBack && h.Seq < w.Top()-farBack {
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
	if !w.Fresh(h.Seq) {
		return false
	}
	w.Add(h.Seq)
	return true
}

// process replaces s.out by what f makes of it: of what was published, and of what the
// entry's keys open, in the clear.
func (s *stream) process(f Process, now time.Duration) {
	if s.opener == nil || len(s.entry.Upstream) == 0 {
		plain := len(s.entry.Upstream) == 0
		s.out = s.run(f, s.out, now, plain)
		return
	}
	var passing []*packet
	var epoch uint32
	opened := s.out[:0]
	for _, p := range s.out {
		var h frame.Header
		if _, err := h.Decode(p.bytes()); err != nil {
			p.release()
			continue
		}
		b, err := s.opener.Open(p.buf[:], &h, p.bytes())
		switch {
		case errors.Is(err, seal.ErrNoKey):
			passing = append(passing, p) // the key is under way: as if there were no SPA
		case err != nil:
			s.stats.forged.Add(1)
			p.release()
		default:
			p.n = len(b)
			opened = append(opened, p)
			if !h.Thinned {
				epoch = max(epoch, h.Epoch)
			}
		}
	}
	clear(s.out[len(opened):])
	s.out = s.run(f, opened, now, true)
	// Who may not read an epoch must not read it behind this host either.
	if epoch > s.entry.Seal.Epoch() {
		if k, ok := s.entry.Keys.Key(epoch); ok {
			_ = s.entry.Seal.Use(k) // the ring has checked it
		}
	}
	s.sealOut()
	s.out = append(passing, s.out...)
}

// run gives what f makes of pkts, plain or sealed, and releases those.
func (s *stream) run(f Process, pkts []*packet, now time.Duration, plain bool) []*packet {
	decode := (*frame.Header).Decode
	if plain {
		decode = (*frame.Header).DecodePlain
	}
	s.in = s.in[:0]
	for _, p := range pkts {
		s.in = append(s.in, p.bytes())
	}
	var made []*packet
	f(s.in, func(b []byte) {
		var h frame.Header
		if _, err := decode(&h, b); err != nil || h.Stream != s.id || len(made) >= 4*groupMax+4*len(pkts) {
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
			some = s.run(c.Process, own, now, false)
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
		sink.push(s.out)
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
	in, bytesIn, duplicates, tooFar, badEmits, forged atomic.Uint64
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
