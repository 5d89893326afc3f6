// SPDX-License-Identifier: Apache-2.0

// Package links is the machine that knows the hosts a host has to do with: whether they
// live (SWIM's indirect probes, DSN 2002) and what the links to them cost. It handles
// the messages of class detection. That a host died or said hello it tells to the
// machine above, by the calls of [Above]; what follows is not its business.
package links

import (
	"iter"
	"maps"
	"slices"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// Time is the driver's clock.
type Time = turn.Time

// Above is what links asks of the machine above it, and tells it.
type Above interface {
	// Greeting is what a probe says of this host: a digest of the zones it owns, and
	// the region in force.
	Greeting() (digest uint64, region wire.Region)
	// Greeted follows every probe and answer: from says this of itself.
	Greeted(from wire.Peer, digest uint64, region wire.Region)
	// Ward is a host that counts on this one to find out when it dies; i picks one of
	// several. Every other probe goes to one.
	Ward(i int) (wire.HostID, bool)
	// Died says that a host is given up. It is not among the links any more.
	Died(p wire.Peer)
}

// Links is the state of this machine.
type Links struct {
	*turn.Turn
	Up Above // set before the first call

	peers map[wire.HostID]*Peer
	last  *Peer         // found last: a message has its sender looked up several times
	ring  []wire.HostID // order of probing
	next  int           // place in the ring
	turns uint32        // probes so far
	seq   uint32
}

// The timers of this machine.
const (
	timerProbe uint8 = iota
	timerAck
	timerIndirect
)

// New makes the machine; Up is to be set.
func New(t *turn.Turn) *Links {
	return &Links{Turn: t, peers: map[wire.HostID]*Peer{}}
}

// Start begins to probe.
func (l *Links) Start() {
	l.After(l.Jitter(l.Cfg.ProbeInterval), turn.Timer{Of: turn.Links, What: timerProbe})
}

// Due does what a timer is for.
func (l *Links) Due(t turn.Timer) {
	switch t.What {
	case timerProbe:
		l.probe()
		l.After(l.Jitter(l.Cfg.ProbeInterval), t)
	case timerAck:
		l.ackLate(t.Host, uint32(t.Key))
	case timerIndirect:
		l.probeFailed(t.Host, uint32(t.Key))
	}
}

// Handle takes a message of class detection.
func (l *Links) Handle(from wire.Peer, m wire.Message) {
	switch m := m.(type) {
	case *wire.Ping:
		l.onPing(from, m)
	case *wire.Ack:
		l.onAck(from, m)
	case *wire.PingReq:
		l.onPingReq(from, m)
	case *wire.PingRes:
		l.onPingRes(from, m)
	}
}

// Heard notes a sign of life, and where the host is reached.
func (l *Links) Heard(from wire.Peer) {
	if p := l.Get(from.ID); p != nil {
		p.heard = l.Now
		p.Addr = from.Addr
	}
}

// Get is the entry of a host, nil if there is none.
func (l *Links) Get(h wire.HostID) *Peer {
	if p := l.last; p != nil && p.ID == h {
		return p
	}
	p := l.peers[h]
	if p != nil {
		l.last = p
	}
	return p
}

// Know finds or makes the entry of p. A new host is measured at once.
func (l *Links) Know(p wire.Peer) *Peer {
	e := l.Get(p.ID)
	if e == nil {
		e = &Peer{Peer: p, heard: l.Now, link: link{quality: wire.Quality{CostUs: l.Cfg.DefaultCostUs}}}
		l.peers[p.ID] = e
		l.ring = append(l.ring, p.ID)
		l.Ping(e)
	}
	return e
}

// CostTo is the published one-way cost of the link to a host, in microseconds.
func (l *Links) CostTo(h wire.HostID) uint32 {
	if p := l.Get(h); p != nil {
		return p.link.quality.CostUs
	}
	return l.Cfg.DefaultCostUs
}

// QualityTo is what the link to a host does to packets, as far as it is known, and
// whether it was measured.
func (l *Links) QualityTo(h wire.HostID) (q wire.Quality, measured bool) {
	if p := l.Get(h); p != nil {
		return p.link.quality, p.Measured()
	}
	return wire.Quality{CostUs: l.Cfg.DefaultCostUs}, false
}

// All visits all hosts, in no order.
func (l *Links) All() iter.Seq[*Peer] { return maps.Values(l.peers) }

// Len is how many hosts there are.
func (l *Links) Len() int { return len(l.peers) }

// Hosts lists them in an order that does not depend on chance.
func (l *Links) Hosts() []*Peer {
	v := make([]*Peer, 0, len(l.peers))
	for _, id := range SortedHosts(l.peers) {
		v = append(v, l.peers[id])
	}
	return v
}

// Forget drops the hosts that are not needed; a probe under way is waited for.
func (l *Links) Forget(needed map[wire.HostID]bool) {
	for id, p := range l.peers {
		if !needed[id] && !p.probe.underWay {
			l.drop(id)
		}
	}
}

// SortedHosts lists the keys of m: the same inputs must give the same outputs.
func SortedHosts[V any](m map[wire.HostID]V) []wire.HostID {
	return slices.SortedFunc(maps.Keys(m), func(a, b wire.HostID) int {
		if a.Less(b) {
			return -1
		}
		return 1
	})
}

func (l *Links) drop(h wire.HostID) {
	delete(l.peers, h)
	l.last = nil
}
