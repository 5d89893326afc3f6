// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"errors"
	"net"
	"os"
	"time"

	"sandstream/internal/live/frame"
	"sandstream/internal/overlay/wire"
)

// groupMax is the most packets of one stream that are forwarded together.
const groupMax = 64

// reader is the state of the goroutine that reads the port.
type reader struct {
	t      *Transport
	now    time.Duration
	last   *session // of the datagram before
	from   *peer    // of the group
	stream [16]byte
	group  [][]byte
}

// read reads the port until it is closed. It only waits: what is done with
// datagrams needs a stack several times as large, which this goroutine would keep
// for as long as the host lives.
func (t *Transport) read() {
	r := &reader{t: t}
	done := make(chan struct{})
	for !t.closed.Load() {
		if err := t.data.wait(); errors.Is(err, net.ErrClosed) {
			return
		} else if errors.Is(err, os.ErrDeadlineExceeded) {
			t.data.rested()
			continue
		}
		go func() {
			r.readSome()
			done <- struct{}{}
		}()
		<-done
	}
}

// readSome reads what has come; while there is much traffic, also what comes.
func (r *reader) readSome() {
	t := r.t
	hot := t.hot.Load()
	rx, put := t.data.getRx(hot)
	defer put()
	r.group = make([][]byte, 0, groupMax)
	for {
		msgs, err := t.data.read(rx)
		if err != nil {
			t.data.rested()
			break
		}
		t.stats.rxCalls.Add(1)
		r.now = t.now()
		for i := range msgs {
			b, size := train(&msgs[i])
			from, _ := msgs[i].Addr.(*net.UDPAddr)
			if len(b) == 0 {
				t.stats.malformed.Add(1) // an empty datagram
			}
			for len(b) > 0 {
				n := min(size, len(b))
				r.datagram(b[:n], from)
				b = b[n:]
			}
			r.forward()
		}
		t.kick()
		if !hot || !t.hot.Load() {
			break
		}
	}
	r.last, r.group = nil, nil
}

// datagram opens one datagram and does what it asks.
func (r *reader) datagram(b []byte, from *net.UDPAddr) {
	t := r.t
	if len(b) > 0 && isQUIC(b[0]) {
		t.control.packet(b, from)
		return
	}
	if len(b) > 0 && b[0] == byte(typePart) {
		r.part(b, from)
		return
	}
	var o outer
	if !o.decode(b) {
		if o.typ == typeSealed1 || o.typ == typeClear1 {
			t.stats.version1.Add(1)
		} else {
			t.stats.malformed.Add(1)
		}
		return
	}
	s := r.sessionOf(o.index)
	if s == nil {
		return
	}
	if !s.replay.Fresh(o.counter) {
		t.stats.replayed.Add(1)
		return
	}
	plain, err := s.open(&o, b)
	if err != nil {
		t.stats.unauthentic.Add(1)
		return
	}
	newest := o.counter >= s.replay.Top()
	s.replay.Add(o.counter)
	r.last = s
	if !s.confirmed.Load() {
		s.confirmed.Store(true) // only who has the session can have sealed this
	}
	p := s.peer
	p.heard()
	if newest {
		p.roam(from)
	}
	p.stats.rxBytes.Add(uint64(len(b)))
	if o.typ == typeControl && len(plain) == 0 {
		return // a sign of life
	}
	if o.typ == typeControl {
		p.owes.Store(true)
		r.forward() // keep the order
		if !p.mayControl(r.now, 1) {
			p.stats.rxRateLimited.Add(1)
			return
		}
		if plain[0] == linkMark {
			t.linked(p, plain)
			return
		}
		p.stats.rxControl.Add(1)
		t.handler.Control(p.who(), plain)
		return
	}
	if rate := float64(t.cfg.RecvRate); !p.dataIn.take(r.now, float64(len(b)), rate, max(rate/10, 1<<20)) {
		p.stats.rxRateLimited.Add(1)
		return
	}
	var h frame.Header
	if _, err := h.Decode(plain); err != nil {
		p.stats.rxMalformed.Add(1)
		return
	}
	p.stats.rxData.Add(1)
	if len(r.group) == groupMax || r.from != p || r.stream != h.Stream {
		r.forward()
	}
	r.from, r.stream = p, h.Stream
	r.group = append(r.group, plain)
}

// sessionOf is the session of an index; nil if there is none, which is counted.
func (r *reader) sessionOf(index uint32) *session {
	if s := r.last; s != nil && s.local == index {
		return s
	}
	r.t.smu.RLock()
	s := r.t.sessions[index]
	r.t.smu.RUnlock()
	if s == nil {
		r.t.stats.unknownIndex.Add(1)
	}
	return s
}

// forward hands the group on to its stream.
func (r *reader) forward() {
	if len(r.group) == 0 {
		return
	}
	if s := r.t.stream(r.stream); s != nil {
		s.receive(r.from, r.group, r.now)
	} else {
		r.from.stats.rxNotExpected.Add(uint64(len(r.group)))
	}
	clear(r.group)
	r.group = r.group[:0]
}

// heard notes that the peer is there.
func (p *peer) heard() {
	if !p.answered.Load() {
		p.answered.Store(true)
	}
	if !p.used.Load() {
		p.used.Store(true)
	}
}

// roam notes that the newest datagram came from another address than the
// session's: the peer, or a translator on the way, has changed it.
func (p *peer) roam(from *net.UDPAddr) {
	if from == nil {
		return
	}
	known := p.seen.Load()
	if known != nil && sameAddr(known, from) {
		return
	}
	p.seen.Store(from)
	p.mu.Lock()
	if p.data == nil || !sameAddr(p.data, from) {
		p.data = from
		p.pathBegins()
	}
	p.mu.Unlock()
}

func sameAddr(a, b *net.UDPAddr) bool { return a.Port == b.Port && a.IP.Equal(b.IP) }

// mayControl bounds the control messages that a peer makes us work on.
func (p *peer) mayControl(now time.Duration, n int) bool {
	p.limitMu.Lock()
	defer p.limitMu.Unlock()
	rate := float64(p.t.cfg.ControlRate)
	return p.controlIn.take(now, float64(n), rate, rate)
}

func (p *peer) who() wire.Peer { return wire.Peer{ID: p.id, Addr: p.address()} }
