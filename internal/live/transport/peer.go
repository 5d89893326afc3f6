// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"sandstream/internal/live/frame"
	"sandstream/internal/overlay/wire"
)

// maxSealed is the longest control message that goes in one datagram, in bytes: with its
// headers 1,438 on Ethernet with IPv4.
const maxSealed = 1364

// Bounds of one peer's state.
const (
	keptSessions   = 3         // a handshake both ways at once makes two
	maxPending     = 64        // control messages that wait for a handshake
	pendingBytes   = 256 << 10 // and their bytes
	controlQueue   = 256       // control datagrams that wait for their turn
	drainAtOnce    = 44        // datagrams of one peer before the next one's turn: one train
	ringStart      = 64
	silence        = 3 * time.Second // unanswered for so long: a new handshake
	firstBackoff   = 200 * time.Millisecond
	longestBackoff = 5 * time.Second
)

// peer is another host, as far as the transport has dealings with it.
type peer struct {
	t  *Transport
	id wire.HostID

	mu         sync.Mutex
	addr       netip.AddrPort              // of QUIC
	data       *net.UDPAddr                // of sealed datagrams; nil before the first session
	sessions   [keptSessions]*session      // newest first
	conn       *quic.Conn                  // the open QUIC connection, if any
	pending    [][]byte                    // control messages that need QUIC, or a session first
	waiting    int                         // their bytes
	control    [][]byte                    // control datagrams to send
	ring       []queued                    // stream packets to send
	head, n    int                         // of the ring
	ready      bool                        // in the sender's list, or waiting for tokens
	renew      bool                        // a new session is wanted although there is one
	dialling   bool                        // a goroutine is connecting or sends on QUIC, or waits for its turn
	cancel     context.CancelFunc          // ends that goroutine
	connecting bool                        // that goroutine has its turn
	gone       bool                        // no longer in the table: nothing is begun for it
	versions   *versions                   // of the peer's newest hello; shared
	asking     *asking                     // whether it lives; nil: nobody asks
	path       path                        // the search for the link's size
	largest    uint16                      // datagram that the peer takes, bytes
	stranger   bool                        // never had a session; under Transport.peerMu
	refuseTo   time.Duration               // no new handshake before
	backoff    time.Duration               // to be added to refuseTo at the next failure
	asked      time.Duration               // when the first control message since the last answer was sent; 0: none
	spend      bucket                      // bytes we may send
	lastUsed   time.Duration               // last datagram or request
	used       atomic.Bool                 // something came or went since the last tick
	answered   atomic.Bool                 // a datagram has come since asked was set
	forwards   atomic.Int32                // legs in the forwarding table: kept while there are any
	owes       atomic.Bool                 // a control message has come since we sent anything
	singly     atomic.Bool                 // no trains to this peer
	size       atomic.Int32                // of the link: the greatest datagram that is proven to pass, bytes
	big        atomic.Bool                 // a datagram longer than basePacket went since the size was confirmed
	seen       atomic.Pointer[net.UDPAddr] // where the newest datagram came from

	limitMu   sync.Mutex
	controlIn bucket
	dataIn    bucket // the reader's
	stats     peerStats
}

// queued is a stream's packet in a peer's queue.
type queued struct {
	pkt  *packet
	cost time.Duration // of the link
	leg  *legStats
}

// packet is a frame that several queues share.
type packet struct {
	refs    atomic.Int32
	arrived time.Duration
	n       int
	buf     [frame.MaxSize]byte
}

var packets = sync.Pool{New: func() any { return new(packet) }}

func newPacket(b []byte, arrived time.Duration) *packet {
	p := packets.Get().(*packet)
	p.refs.Store(1)
	p.arrived = arrived
	p.n = copy(p.buf[:], b)
	return p
}

func (p *packet) bytes() []byte { return p.buf[:p.n] }

func (p *packet) release() {
	if p.refs.Add(-1) == 0 {
		packets.Put(p)
	}
}

// bucket is a token bucket. rate 0: no limit.
type bucket struct {
	tokens float64
	last   time.Duration
}

// take takes n tokens if there are as many.
func (b *bucket) take(now time.Duration, n, rate, burst float64) bool {
	if rate <= 0 {
		return true
	}
	b.fill(now, rate, burst)
	if b.tokens < n {
		return false
	}
	b.tokens -= n
	return true
}

func (b *bucket) fill(now time.Duration, rate, burst float64) {
	if b.last == 0 {
		b.tokens = burst
	} else if now > b.last {
		b.tokens = min(burst, b.tokens+(now-b.last).Seconds()*rate)
	}
	b.last = max(now, 1)
}

// sendSession gives the newest session that the peer has as well, nil if there
// is none. p.mu is held.
func (p *peer) sendSession() *session {
	for _, s := range p.sessions {
		if s != nil && s.confirmed.Load() && s.sent.Load() < rejectPackets {
			return s
		}
	}
	return nil
}

// push puts packets of one leg into the queue. If it is full the oldest go:
// what is late is worth least. It reports whether the sender must be told.
func (p *peer) push(pkts []*packet, cost time.Duration, leg *legStats) (tell bool) {
	limit := p.t.cfg.SendQueue
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sendSession() == nil {
		leg.dropped.Add(uint64(len(pkts)))
		p.stats.txNoSession.Add(uint64(len(pkts)))
		p.dial()
		return false
	}
	for _, pkt := range pkts {
		if p.n == len(p.ring) {
			if p.n < limit {
				p.grow(min(limit, max(ringStart, 2*p.n)))
			} else {
				old := &p.ring[p.head]
				old.leg.dropped.Add(1)
				p.stats.txQueueFull.Add(1)
				old.pkt.release()
				*old = queued{}
				p.head = (p.head + 1) % len(p.ring)
				p.n--
			}
		}
		pkt.refs.Add(1)
		p.ring[(p.head+p.n)%len(p.ring)] = queued{pkt, cost, leg}
		p.n++
	}
	return p.needTurn()
}

func (p *peer) grow(size int) {
	ring := make([]queued, size)
	for i := range p.n {
		ring[i] = p.ring[(p.head+i)%len(p.ring)]
	}
	p.ring, p.head = ring, 0
}

// needTurn marks the peer as ready and says whether it was not. p.mu is held.
func (p *peer) needTurn() bool {
	if p.ready {
		return false
	}
	p.ready = true
	return true
}

// pop moves up to limit stream packets that the rate allows into q, and all
// control datagrams up to limit into c. again says that more wait; wait is how
// long until the rate allows the next.
func (p *peer) pop(now time.Duration, q []queued, c [][]byte, limit int) (_ []queued, _ [][]byte, s *session, to *net.UDPAddr, again bool, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used.Store(true)
	p.owes.Store(false)
	s, to = p.sendSession(), p.data
	take := min(len(p.control), limit)
	c = append(c, p.control[:take]...)
	if p.control = p.control[take:]; len(p.control) == 0 {
		p.control = nil
	}
	rate := float64(p.t.cfg.SendRate)
	for p.n > 0 && len(c)+len(q) < limit {
		e := &p.ring[p.head]
		size := float64(e.pkt.n + overhead)
		if !p.spend.take(now, size, rate, max(rate/50, 2*maxDatagram*drainAtOnce)) {
			wait = max(time.Duration((size-p.spend.tokens)/rate*1e9), 200*time.Microsecond)
			break
		}
		q = append(q, *e)
		*e = queued{}
		p.head = (p.head + 1) % len(p.ring)
		p.n--
	}
	again = p.n > 0 || len(p.control) > 0
	if len(p.control) > 0 {
		wait = 0
	}
	p.ready = again
	return q, c, s, to, again, wait
}

// install makes s the newest session. p.mu is held. It gives the session that
// had to go, if any.
func (p *peer) install(s *session) (gone *session) {
	gone = p.sessions[keptSessions-1]
	copy(p.sessions[1:], p.sessions[:keptSessions-1])
	p.sessions[0] = s
	return gone
}
