// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"sync"
	"time"

	"sandstream/internal/live/frame"
)

// sender empties the queues of all peers, in turn. There is no goroutine for
// it: who has put something into a queue sends, unless somebody already does;
// the one who does takes what the others add.
type sender struct {
	mu     sync.Mutex
	ready  []*peer // first come first served
	active bool
}

// inlineRounds bounds the time for which a caller sends what others queue.
const inlineRounds = 8

// enqueue puts peers that have something to send into the list.
func (t *Transport) enqueue(ps ...*peer) {
	t.send.mu.Lock()
	t.send.ready = append(t.send.ready, ps...)
	t.send.mu.Unlock()
}

// kick sends what is queued.
func (t *Transport) kick() {
	s := &t.send
	s.mu.Lock()
	if s.active || len(s.ready) == 0 || t.closed.Load() {
		s.mu.Unlock()
		return
	}
	s.active = true
	s.mu.Unlock()
	if !t.drain(inlineRounds) {
		t.spawn(func() { t.drain(0) })
	}
}

// drain sends until the list is empty, or for so many rounds (0: any number);
// it says whether it came to the end.
func (t *Transport) drain(rounds int) bool {
	s := &t.send
	tx, put := getTx(t.hot.Load())
	defer put()
	for round := 0; rounds == 0 || round < rounds; round++ {
		s.mu.Lock()
		n := copy(tx.turn, s.ready)
		if n == 0 || t.closed.Load() {
			s.ready, s.active = nil, false
			s.mu.Unlock()
			return true
		}
		s.ready = s.ready[:copy(s.ready, s.ready[n:])]
		s.mu.Unlock()
		now := t.now()
		for _, p := range tx.turn[:n] {
			if tx.room() < min(drainAtOnce, len(tx.msgs)) {
				t.flush(tx)
			}
			t.sendFrom(p, tx, now)
		}
		t.flush(tx)
		clear(tx.turn[:n])
	}
	return false
}

func (t *Transport) flush(tx *txBatch) {
	if tx.n > 0 {
		t.data.write(tx)
		t.stats.txCalls.Add(1)
		tx.reset()
	}
}

// sendFrom seals what peer p has to send, up to drainAtOnce datagrams.
func (t *Transport) sendFrom(p *peer, tx *txBatch, now time.Duration) {
	most, size := min(drainAtOnce, tx.room()), max(int(p.size.Load()), basePacket)
	if size < maxDatagram {
		most = max(1, most/partsOf(maxDatagram, size))
	}
	q, c, s, to, again, wait := p.pop(now, tx.queued[:0], tx.control[:0], most)
	defer clear(tx.queued[:])
	defer clear(tx.control[:])
	switch {
	case again && wait > 0:
		time.AfterFunc(wait, func() {
			t.enqueue(p)
			t.kick()
		})
	case again:
		t.enqueue(p)
	}
	if s == nil || to == nil {
		p.stats.txNoSession.Add(uint64(len(c) + len(q)))
		for i := range q {
			q[i].leg.dropped.Add(1)
			q[i].pkt.release()
		}
		return
	}
	gso := t.data.gso.Load() && !p.singly.Load()
	for _, b := range c {
		if isProbe(b) {
			t.sendProbe(p, s, to, b)
			continue
		}
		d := tx.next()
		if n := s.seal(typeControl, d, outerSize+copy(d[outerSize:], b)); n > 0 {
			tx.addParts(p, to, n, gso, size)
			if len(b) == 0 || b[0] != linkMark {
				p.stats.txControl.Add(1)
			}
			p.stats.txBytes.Add(uint64(n))
		}
	}
	var bytes uint64
	for i := range q {
		e := &q[i]
		d := tx.next()
		at := room(typeData)
		n := at + copy(d[at:], e.pkt.bytes())
		stay := now - e.pkt.arrived
		frame.Advance(d[at:n], stay+e.cost)
		e.leg.stayed(stay)
		e.pkt.release()
		if n = s.seal(typeData, d, n); n > 0 {
			tx.addParts(p, to, n, gso, size)
			bytes += uint64(n)
			if n > basePacket && !p.big.Load() {
				p.big.Store(true)
			}
			e.leg.sent.Add(1)
		}
	}
	p.stats.txData.Add(uint64(len(q)))
	p.stats.txBytes.Add(bytes)
}
