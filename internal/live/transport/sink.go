// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"sync"
	"sync/atomic"
	"time"

	"sandstream/internal/live/frame"
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
	// Process, if not nil, sees this reader's packets first.
	Process Process
}

// Sink is a local reader of a stream.
type Sink struct {
	t      *Transport
	s      *stream
	cfg    SinkConfig
	mu     sync.Mutex
	more   sync.Cond // of mu: something is queued, or closed
	queue  []*packet
	spare  []*packet  // the other queue, while one is delivered
	out    []Delivery // what run delivers at once
	closed bool
	done   chan struct{} // closed when run has ended

	next uint64 // the least sequence number an ordered reader may still get

	delivered, dropped, late atomic.Uint64
}

// AddSink adds a local reader to a stream, which may get its entry later.
func (t *Transport) AddSink(id wire.StreamID, cfg SinkConfig) *Sink {
	if cfg.Queue <= 0 {
		cfg.Queue = 1024
	}
	s := t.makeStream(id)
	k := &Sink{t: t, s: s, cfg: cfg, done: make(chan struct{})}
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
	k.closed = true
	for _, p := range k.queue {
		p.release()
	}
	k.queue = nil
	k.more.Signal()
}

// push queues packets; the stream's lock is held.
func (k *Sink) push(s *stream, pkts []*packet, now time.Duration) {
	if k.cfg.Process != nil {
		own := make([]*packet, len(pkts))
		for i, p := range pkts {
			own[i] = newPacket(p.bytes(), p.arrived)
		}
		pkts = s.run(k.cfg.Process, own, now)
		defer func() {
			for _, p := range pkts {
				p.release()
			}
		}()
	}
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
		k.dropped.Add(uint64(over))
		for _, p := range k.queue[:over] {
			p.release()
		}
		k.queue = append(k.queue[:0], k.queue[over:]...)
	}
	if len(k.queue) > 0 {
		k.more.Signal()
	}
}

// run delivers until the reader is closed.
func (k *Sink) run() {
	defer close(k.done)
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		for len(k.queue) == 0 {
			if k.closed {
				return
			}
			k.more.Wait()
		}
		batch := k.queue
		k.queue, k.spare = k.spare, nil
		k.mu.Unlock()
		for rest := batch; len(rest) > 0; {
			n := min(len(rest), groupMax)
			k.deliver(rest[:n])
			rest = rest[n:]
		}
		clear(batch)
		k.mu.Lock()
		k.spare = batch[:0]
	}
}

func (k *Sink) deliver(batch []*packet) {
	out := k.out[:0]
	for _, p := range batch {
		var d Delivery
		payload, err := d.Header.Decode(p.bytes())
		if err != nil {
			continue // not possible: it was decoded on arrival
		}
		if k.cfg.Ordered {
			if d.Header.Seq < k.next {
				k.late.Add(1)
				continue
			}
			k.next = d.Header.Seq + 1
		}
		d.Payload, d.At = payload, k.t.WallNs(p.arrived)
		out = append(out, d)
	}
	if len(out) > 0 {
		k.cfg.Deliver(out)
		k.delivered.Add(uint64(len(out)))
	}
	for _, p := range batch {
		p.release()
	}
	clear(out)
	k.out = out
}

// SinkStats are a reader's counters, in packets.
type SinkStats struct {
	Delivered uint64 `json:"delivered"`
	Dropped   uint64 `json:"dropped"` // the reader was too slow
	Late      uint64 `json:"late"`    // out of order or twice, of an ordered reader
}

// Stats gives the reader's counters.
func (k *Sink) Stats() SinkStats {
	return SinkStats{Delivered: k.delivered.Load(), Dropped: k.dropped.Load(), Late: k.late.Load()}
}
