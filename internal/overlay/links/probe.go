// SPDX-License-Identifier: Apache-2.0

package links

import (
	"slices"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// Peer is what we know of a host that we have to do with: the owners of the
// zones next to ours, parents and children in streams, and wards.
type Peer struct {
	wire.Peer
	Digest uint64 // of its zones, as the machine above last saw them

	heard Time // when a message last came from it
	probe probe
	vouch vouch
	link  link
}

// probe is the last one, or the one under way.
type probe struct {
	at       Time // when it was sent
	againAt  Time // when it was sent once more, if that is after at
	seq      uint32
	underWay bool
	doubt    bool // it is counted as lost, and may be late
}

// vouch is what hosts do for one another's probes.
type vouch struct {
	askers  []asker       // hosts for which we probe it
	asked   []wire.HostID // hosts that probe it for us
	vouched int           // probes in a row that only others had answered
}

type asker struct {
	wire.Peer
	seq uint32
	at  Time
}

// maxVouched bounds how long others alone can keep a host alive for us.
const maxVouched = 4

// Heard is when a message last came from the host.
func (p *Peer) Heard() Time { return p.heard }

// ProbedAt is when it was last probed.
func (p *Peer) ProbedAt() Time { return p.probe.at }

// Overdue says whether it has not answered a probe within the time given, nor said
// anything since.
func (p *Peer) Overdue(now, within Time) bool {
	return p.LateFor(now) > within && p.heard < p.probe.at
}

// LateFor is how long a probe under way has been without answer, 0 if there is none.
func (p *Peer) LateFor(now Time) Time {
	if !p.probe.underWay {
		return 0
	}
	return now - p.probe.at
}

// Ping starts a probe; one is under way at a time for each peer.
func (l *Links) Ping(p *Peer) {
	if p.probe.underWay {
		return
	}
	l.seq++
	b := &p.probe
	b.underWay, b.doubt, b.seq, b.at = true, false, l.seq, l.Now
	l.sendPing(p.Peer, l.seq)
	l.After(l.ackTimeout(p), turn.Timer{Of: turn.Links, What: timerAck, Host: p.ID, Key: uint64(l.seq)})
}

// Knock greets a host that is not among the links: nothing is expected of it.
func (l *Links) Knock(p wire.Peer) {
	l.seq++
	l.sendPing(p, l.seq)
}

func (l *Links) sendPing(to wire.Peer, seq uint32) {
	digest, region := l.Up.Greeting()
	l.Send(to, &wire.Ping{Seq: seq, Digest: digest, Region: region})
}

func (l *Links) ackTimeout(p *Peer) Time {
	if p.link.samples < 4 {
		return l.Cfg.AckTimeout
	}
	return min(l.Cfg.AckTimeout, max(p.link.srtt+4*p.link.rttvar, l.Cfg.AckTimeout/4))
}

// probe is the turn of failure detection: one Ping, whatever the number of
// peers. Every other turn goes to a host whose first heir we are, so that a
// crash is found within a bounded number of turns.
func (l *Links) probe() {
	l.turns++
	if l.turns%2 == 0 {
		if h, ok := l.Up.Ward(int(l.turns / 2)); ok {
			if p := l.peers[h]; p != nil {
				l.Ping(p)
				return
			}
		}
	}
	for range len(l.ring) + 1 {
		if l.next >= len(l.ring) {
			if l.shuffle(); len(l.ring) == 0 {
				return
			}
		}
		id := l.ring[l.next]
		l.next++
		if p := l.peers[id]; p != nil && !p.probe.underWay {
			l.Ping(p)
			return
		}
	}
}

// shuffle starts a new round over the peers in a new order.
func (l *Links) shuffle() {
	l.next = 0
	l.ring = SortedHosts(l.peers)
	for i := len(l.ring) - 1; i > 0; i-- {
		j := l.Intn(i + 1)
		l.ring[i], l.ring[j] = l.ring[j], l.ring[i]
	}
}

func (l *Links) onPing(from wire.Peer, m *wire.Ping) {
	digest, region := l.Up.Greeting()
	l.Send(from, &wire.Ack{Seq: m.Seq, Digest: digest, Region: region})
	l.Up.Greeted(from, m.Digest, m.Region)
}

func (l *Links) onAck(from wire.Peer, m *wire.Ack) {
	p := l.Get(from.ID)
	if p != nil {
		for _, a := range p.vouch.askers {
			if l.Now-a.at < 2*l.Cfg.IndirectTimeout {
				l.Send(a.Peer, &wire.PingRes{Seq: a.seq, Target: p.ID})
			}
		}
		p.vouch.askers, p.vouch.vouched = nil, 0
	}
	if p != nil && p.probe.seq == m.Seq && (p.probe.underWay || p.probe.doubt) {
		b, k := &p.probe, &p.link
		rtt := l.Now - b.at
		if again := l.Now - b.againAt; b.doubt && b.againAt > b.at && again >= k.srtt*3/4 {
			rtt = again // the answer to the second asking
		} else if b.doubt {
			k.onlyLate()
		}
		b.underWay, b.doubt = false, false
		k.measure(rtt, l.Cfg.HystPercent, l.Cfg.HystSamples)
		if k.samples == 1 {
			l.Ping(p)
		}
	}
	l.Up.Greeted(from, m.Digest, m.Region)
}

// ackLate asks others to probe a peer that did not answer, and asks it again.
func (l *Links) ackLate(h wire.HostID, seq uint32) {
	p := l.Get(h)
	if p == nil || !p.probe.underWay || p.probe.seq != seq {
		return
	}
	b := &p.probe
	if p.link.samples > 0 { // before, it is the session that takes its time
		p.link.outcome(1)
		b.doubt = true
	}
	if p.heard > b.at {
		b.underWay = false // it spoke in the meantime: it lives
		return
	}
	b.againAt = l.Now
	l.sendPing(p.Peer, seq)
	req := &wire.PingReq{Seq: seq, Target: p.Peer}
	p.vouch.asked = nil
	asked := 0
	for i := range l.ring {
		if asked == 3 {
			break
		}
		if q := l.peers[l.ring[(i+int(seq))%len(l.ring)]]; q != nil && q.ID != h && !q.probe.underWay {
			l.Send(q.Peer, req)
			p.vouch.asked = append(p.vouch.asked, q.ID)
			asked++
		}
	}
	l.After(l.Cfg.IndirectTimeout, turn.Timer{Of: turn.Links, What: timerIndirect, Host: h, Key: uint64(seq)})
}

func (l *Links) onPingReq(from wire.Peer, m *wire.PingReq) {
	p := l.Get(m.Target.ID)
	if p == nil {
		return // we vouch only for hosts we know
	}
	if l.Now-p.heard < l.Cfg.AckTimeout/2 {
		l.Send(from, &wire.PingRes{Seq: m.Seq, Target: p.ID})
		return
	}
	if len(p.vouch.askers) < 4 {
		p.vouch.askers = append(p.vouch.askers, asker{from, m.Seq, l.Now})
	}
	l.Ping(p)
}

func (l *Links) onPingRes(from wire.Peer, m *wire.PingRes) {
	p := l.Get(m.Target)
	if p == nil || !p.probe.underWay || p.probe.seq != m.Seq || !slices.Contains(p.vouch.asked, from.ID) || p.vouch.vouched >= maxVouched {
		return
	}
	p.vouch.vouched++
	p.probe.underWay = false
}

// probeFailed ends a probe that neither the peer nor others have answered.
func (l *Links) probeFailed(h wire.HostID, seq uint32) {
	p := l.Get(h)
	if p == nil || !p.probe.underWay || p.probe.seq != seq {
		return
	}
	p.probe.underWay = false
	if p.heard > p.probe.at {
		return
	}
	l.Die(p)
}

// Die gives a peer up, or takes its own word that it ends.
func (l *Links) Die(p *Peer) {
	l.Event("peer-dead", p.Peer, "")
	l.drop(p.ID)
	l.Up.Died(p.Peer)
}
