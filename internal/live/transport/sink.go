// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/seal"
	"sandstream/internal/overlay/wire"
)

// Delivery is a packet for a local reader. Payload is valid until the callback
// returns.
type Delivery struct {
	Header  frame.Header
	Payload []byte
	At      uint64 // when it came to this host, on the clock of Header.SentNs's host if both are one machine; ns
}

// SinkConfig says how a local reader wants its stream.
type SinkConfig struct {
	// Deliver is called for packets in the order in which they came, by one
	// goroutine at a time. It may block: what does not fit the queue meanwhile is
	// dropped, oldest first, and counted.
	Deliver func([]Delivery)
	// Queue is the bound of the queue in packets; 0: 1,024.
	Queue int
	// Ordered drops what comes after a packet with a greater sequence number, so
	// that the reader sees no packet twice and none out of order.
	Ordered bool
	// Keys open the payload. Nil: the reader gets it sealed.
	Keys *seal.Ring
	// Process, if not nil, sees this reader's packets first, in the clear if there are
	// Keys.
	Process Process
}

// keyPatience is how long a packet waits for the key of its epoch: the publisher gives it
// in a round trip or two.
const keyPatience = 2 * time.Second

// Sink is a local reader of a stream.
type Sink struct {
	t      *Transport
	s      *stream
	cfg    SinkConfig
	opener *seal.Opener  // run's
	quit   chan struct{} // closed by stop

	mu     sync.Mutex
	more   sync.Cond // of mu: something is queued, or closed, or poked
	queue  []*packet
	closed bool
	poked  bool          // Process is to be called without packets
	done   chan struct{} // closed when run has ended

	reading reading
	stats   sinkStats
}

// reading is what run keeps from one batch to the next.
type reading struct {
	spare []*packet  // the other queue, while one is delivered
	plain []*packet  // opened
	in    [][]byte   // for Process
	out   []Delivery // what is delivered at once
	next  uint64     // the least sequence number an ordered reader may still get
}

type sinkStats struct {
	delivered, dropped, late, forged, noKey, badEmits atomic.Uint64
}

// AddSink adds a local reader to a stream, which may get its entry later.
func (t *Transport) AddSink(id wire.StreamID, cfg SinkConfig) *Sink {
	if cfg.Queue <= 0 {
		cfg.Queue = 1024
	}
	s := t.makeStream(id)
	k := &Sink{t: t, s: s, cfg: cfg, done: make(chan struct{}), quit: make(chan struct{})}
	if cfg.Keys != nil {
		k.opener = cfg.Keys.Opener()
	}
	k.more.L = &k.mu
	if !t.spawn(k.run) {
		k.closed = true
		close(k.done)
	}
	s.mu.Lock()
	s.sinks = append(s.sinks[:len(s.sinks):len(s.sinks)], k)
	s.mu.Unlock()
	return k
}

// Close takes the reader away. When it returns, Deliver is not running and is
// not called again; it must not be called from Deliver.
func (k *Sink) Close() {
	k.s.mu.Lock()
	var rest []*Sink
	for _, o := range k.s.sinks {
		if o != k {
			rest = append(rest, o)
		}
	}
	k.s.sinks = rest
	k.s.mu.Unlock()
	k.stop()
	<-k.done
	k.t.tidy(k.s)
}

// stop ends deliveries without waiting for the one that runs.
func (k *Sink) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	k.closed = true
	close(k.quit)
	for _, p := range k.queue {
		p.release()
	}
	k.queue = nil
	k.more.Signal()
}

// push queues packets, which others may have too.
func (k *Sink) push(pkts []*packet) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	for _, p := range pkts {
		p.refs.Add(1)
	}
	k.queue = append(k.queue, pkts...)
	if over := len(k.queue) - k.cfg.Queue; over > 0 {
		k.stats.dropped.Add(uint64(over))
		for _, p := range k.queue[:over] {
			p.release()
		}
		k.queue = append(k.queue[:0], k.queue[over:]...)
	}
	if len(k.queue) > 0 {
		k.more.Signal()
	}
}

// poke has Process called without packets.
func (k *Sink) poke() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.poked = true
	k.more.Signal()
}

// run delivers until the reader is closed.
func (k *Sink) run() {
	defer close(k.done)
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		for len(k.queue) == 0 && !k.poked {
			if k.closed {
				return
			}
			k.more.Wait()
		}
		if k.closed {
			return
		}
		poked := k.poked
		batch := k.queue
		k.queue, k.reading.spare, k.poked = k.reading.spare, nil, false
		k.mu.Unlock()
		if poked && k.cfg.Process != nil {
			k.read(nil)
		}
		for rest := batch; len(rest) > 0; {
			n := min(len(rest), groupMax)
			k.read(rest[:n])
			rest = rest[n:]
		}
		clear(batch)
		k.mu.Lock()
		k.reading.spare = batch[:0]
	}
}

// read opens packets, passes them through Process, delivers them and releases them.
func (k *Sink) read(batch []*packet) {
	r := &k.reading
	plain := r.plain[:0]
	for _, p := range batch {
		if q := k.open(p); q != nil {
			plain = append(plain, q)
		}
	}
	if k.cfg.Process != nil {
		plain = k.process(plain)
	}
	k.deliver(plain)
	for _, p := range plain {
		p.release()
	}
	clear(plain)
	r.plain = plain[:0]
}

// open gives the packet in the clear, in place of p, which it releases unless it is the
// same; nil if it does not open.
func (k *Sink) open(p *packet) *packet {
	if k.opener == nil {
		return p
	}
	var h frame.Header
	if _, err := h.Decode(p.bytes()); err != nil {
		p.release() // not possible: it was decoded on arrival
		return nil
	}
	q := p
	if p.refs.Load() > 1 { // others hold it as it is
		q = newPacket(nil, p.arrived)
		defer p.release()
	}
	b, err := k.opener.Open(q.buf[:], &h, p.bytes())
	for errors.Is(err, seal.ErrNoKey) && k.cfg.Keys.MayCome(h.Epoch) {
		changed := k.cfg.Keys.Changed()
		if b, err = k.opener.Open(q.buf[:], &h, p.bytes()); !errors.Is(err, seal.ErrNoKey) {
			break // it came in between
		}
		if !k.awaitKey(changed, keyPatience-(k.t.now()-p.arrived)) {
			break
		}
		b, err = k.opener.Open(q.buf[:], &h, p.bytes())
	}
	switch {
	case err == nil:
		q.n = len(b)
		return q
	case errors.Is(err, seal.ErrNoKey):
		k.stats.noKey.Add(1)
	default:
		k.stats.forged.Add(1)
	}
	q.release()
	return nil
}

// awaitKey waits for a key, and says whether one has come.
func (k *Sink) awaitKey(changed <-chan struct{}, within time.Duration) bool {
	if within <= 0 {
		return false
	}
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-changed:
		return true
	case <-late.C:
	case <-k.quit:
	}
	return false
}

// process gives what Process makes of pkts, and releases those.
func (k *Sink) process(pkts []*packet) (made []*packet) {
	r := &k.reading
	r.in = r.in[:0]
	for _, p := range pkts {
		r.in = append(r.in, p.bytes())
	}
	now := k.t.now()
	k.cfg.Process(r.in, func(b []byte) {
		var h frame.Header
		if _, err := k.decode(&h, b); err != nil || h.Stream != k.s.id || len(made) >= 4*groupMax+4*len(pkts) {
			k.stats.badEmits.Add(1)
			return
		}
		made = append(made, newPacket(b, now))
	})
	clear(r.in)
	for _, p := range pkts {
		p.release()
	}
	return made
}

// decode reads the header of what the reader gets.
func (k *Sink) decode(h *frame.Header, b []byte) ([]byte, error) {
	if k.opener == nil {
		return h.Decode(b)
	}
	return h.DecodePlain(b)
}

func (k *Sink) deliver(batch []*packet) {
	r := &k.reading
	out := r.out[:0]
	for _, p := range batch {
		var d Delivery
		payload, err := k.decode(&d.Header, p.bytes())
		if err != nil {
			continue // not possible: it was decoded on arrival
		}
		if k.cfg.Ordered {
			if d.Header.Seq < r.next {
				k.stats.late.Add(1)
				continue
			}
			r.next = d.Header.Seq + 1
		}
		d.Payload, d.At = payload, k.t.WallNs(p.arrived)
		out = append(out, d)
	}
	if len(out) > 0 {
		k.cfg.Deliver(out)
		k.stats.delivered.Add(uint64(len(out)))
	}
	clear(out)
	r.out = out[:0]
}

// SinkStats are a reader's counters, in packets.
type SinkStats struct {
	Delivered uint64 `json:"delivered"`
	Dropped   uint64 `json:"dropped"`   // the reader was too slow
	Late      uint64 `json:"late"`      // out of order or twice, of an ordered reader
	Forged    uint64 `json:"forged"`    // dropped: the seal does not fit
	NoKey     uint64 `json:"no_key"`    // dropped: no key of their epoch came
	BadEmits  uint64 `json:"bad_emits"` // dropped: an SPA made no packet of this stream
}

// Stats gives the reader's counters.
func (k *Sink) Stats() SinkStats {
	s := &k.stats
	return SinkStats{
		Delivered: s.delivered.Load(), Dropped: s.dropped.Load(), Late: s.late.Load(),
		Forged: s.forged.Load(), NoKey: s.noKey.Load(), BadEmits: s.badEmits.Load(),
	}
}
