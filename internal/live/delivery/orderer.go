// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"sync"
	"time"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
)

// Bounds of an orderer.
const (
	holdAtMost = 1024                  // packets that wait for an earlier one
	holdFor    = 40 * time.Millisecond // that an earlier one is waited for
	farBack    = 1 << 16               // no repair repeats as much
	backInRow  = 32                    // that are far back: they are the stream
	lostAtMost = 1 << 20               // counted for one gap
)

// orderer puts a subscription's packets in the order of their sequence numbers,
// drops duplicates, and measures. A packet that is missing is waited for as
// long as holdFor after a later one came, or until too many wait; then it is lost.
// A packet without payload stands for one that an SPA emptied on purpose: it
// fills its place, and is not lost.
type orderer struct {
	// deliver is called in order, by one goroutine at a time, and must not block.
	// The callee keeps what it gets.
	deliver func([]Packet)
	clock   func() uint64 // of Delivery.At: ns

	mu      sync.Mutex
	next    uint64 // sequence number, 0 before the first packet
	held    map[uint64]Packet
	oldest  time.Time // when the first of held came
	timer   *time.Timer
	closed  bool
	ended   bool // a packet with the flag End was delivered
	changed bool // the host above is another one: its numbers count
	back    int  // packets in a row that were far behind
	newest  newest
	message message
	out     []Packet
	meter   meter
}

func newOrderer(clock func() uint64, deliver func([]Packet)) *orderer {
	return &orderer{deliver: deliver, clock: clock, held: map[uint64]Packet{}, meter: meter{since: time.Now()}}
}

// take is the sink's callback.
func (o *orderer) take(ds []transport.Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range ds {
		o.one(&ds[i])
	}
	o.hand()
}

func (o *orderer) one(d *transport.Delivery) {
	seq := d.Header.Seq
	if o.closed || d.Header.Flags&frame.Beat != 0 {
		return
	}
	if o.next > farBack && seq < o.next-farBack {
		o.back++
	} else {
		o.back = 0
	}
	h := &d.Header
	if h.Thinned && (o.next == 0 || seq > o.next+holdAtMost) {
		return // the word of the host above alone: it must not lead the numbers astray
	}
	again := o.newest.before(h) // else it may be an old one, sent again by a host on the way
	if o.next == 0 || again && (o.back > 0 && o.changed || o.back >= backInRow || seq < o.next && h.Epoch > o.newest.epoch) {
		// A host above may have driven the numbers far ahead, by mistake or not: nobody
		// would hear of the stream again. Further down, only the numbers tell.
		o.next, o.back = seq, 0
		clear(o.held)
		o.message.drop()
	}
	o.changed = false
	if !h.Thinned {
		o.newest.take(h)
	}
	if seq < o.next {
		// Its place was given up, or it was delivered: nobody knows which without
		// remembering all.
		o.meter.report.Late++
		return
	}
	if _, twice := o.held[seq]; twice {
		o.meter.report.Duplicates++
		return
	}
	p := newPacket(d)
	if seq != o.next {
		if len(o.held) == 0 {
			o.oldest = time.Now()
			o.wait(holdFor)
		}
		o.held[seq] = p
		if len(o.held) > holdAtMost {
			o.skip()
		}
		return
	}
	o.pass(p)
	o.drain(true)
}

// pass moves the next packet to the output.
func (o *orderer) pass(p Packet) {
	o.next++
	o.ended = o.ended || p.Flags&frame.End != 0
	if p.lastPart > 0 || o.message.have > 0 {
		o.meter.report.Lost += o.message.cut(&p)
		if p.lastPart > 0 {
			filtered, ok := o.message.join(&p)
			o.meter.report.Filtered += filtered
			if !ok {
				return
			}
			o.out = append(o.out, p)
			return
		}
	}
	if len(p.Data) == 0 {
		if p.Flags&frame.End == 0 {
			o.meter.report.Filtered++
		}
		return
	}
	o.out = append(o.out, p)
}

// drain moves what follows without a gap.
func (o *orderer) drain(reordered bool) {
	for len(o.held) > 0 {
		p, ok := o.held[o.next]
		if !ok {
			return
		}
		delete(o.held, o.next)
		if reordered {
			o.meter.report.Reordered++
		}
		o.pass(p)
		o.oldest = time.Now()
	}
}

// above says that packets come from another host from now on.
func (o *orderer) above() {
	o.mu.Lock()
	o.changed = true
	o.mu.Unlock()
}

// skip gives up the packets before the first that is held.
func (o *orderer) skip() {
	first := uint64(0)
	for seq := range o.held {
		if first == 0 || seq < first {
			first = seq
		}
	}
	if first == 0 {
		return
	}
	o.meter.report.Lost += min(first-o.next, lostAtMost) + o.message.drop()
	o.next = first
	o.drain(false)
}

func (o *orderer) wait(d time.Duration) {
	if o.timer == nil {
		o.timer = time.AfterFunc(d, o.late)
		return
	}
	o.timer.Reset(d)
}

// late is called when an earlier packet was waited for long enough.
func (o *orderer) late() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || len(o.held) == 0 {
		return
	}
	if left := holdFor - time.Since(o.oldest); left > 0 {
		o.wait(left)
		return
	}
	o.skip()
	if len(o.held) > 0 {
		o.wait(holdFor)
	}
	o.hand()
}

// hand delivers what is in order and measures it.
func (o *orderer) hand() {
	if len(o.out) == 0 {
		return
	}
	o.meter.count(o.out, o.clock())
	o.deliver(o.out)
	o.out = nil
}

// flush delivers what is held, with its gaps: nothing more will come.
func (o *orderer) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closed && len(o.held) > 0 {
		o.skip()
	}
	o.hand()
}

// close ends deliveries.
func (o *orderer) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	if o.timer != nil {
		o.timer.Stop()
	}
	o.held = nil
}

// done says whether the stream's last packet was delivered.
func (o *orderer) done() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended
}

// measure gives what was delivered since it was last called.
func (o *orderer) measure() overlay.Report {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.meter.take(time.Now())
}

// sum gives what was delivered since the beginning.
func (o *orderer) sum() Counts {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.meter.sum()
}
