// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"math/bits"
	"slices"
	"time"

	"sandstream/internal/overlay/wire"
)

// peer is what we know of a host that we have to do with: the owners of the
// zones next to ours, parents and children in streams, and wards.
type peer struct {
	wire.Peer
	heard   wire.Time // when a message last came from it
	pingAt  wire.Time // of the probe under way
	againAt wire.Time // when it was sent once more, if that is after pingAt
	pingSeq uint32
	probing bool
	doubt   bool // it is counted as lost, and may be late

	digest  uint64        // of its zones, as we last saw them
	askers  []asker       // hosts for which we probe it
	asked   []wire.HostID // hosts that probe it for us
	vouched int           // probes in a row that only others had answered

	// The link: round trips smoothed as in RFC 6298.
	srtt, rttvar wire.Time
	outcomes     uint64 // of the last probes, a bit each, the newest lowest: see outcome
	probes       uint8  // how many of these there were
	samples      uint32
	last         [5]wire.Time // the last round trips
	costUs       uint32       // published: follows half their median with hysteresis
	lossPpm      uint32
	over         int8 // samples in a row that disagree with costUs
}

type asker struct {
	wire.Peer
	seq uint32
	at  wire.Time
}

// maxVouched bounds how long others alone can keep a host alive for us.
const maxVouched = 4

// peer finds or makes the entry of p. A new host is measured at once.
func (n *Node) peer(p wire.Peer) *peer {
	e := n.peers[p.ID]
	if e == nil {
		e = &peer{Peer: p, heard: n.now, costUs: n.cfg.DefaultCostUs}
		n.peers[p.ID] = e
		n.ring = append(n.ring, p.ID)
		n.ping(e)
	}
	return e
}

// costTo is the published one-way cost of the link to a host, in microseconds.
func (n *Node) costTo(h wire.HostID) uint32 {
	if p := n.peers[h]; p != nil {
		return p.costUs
	}
	return n.cfg.DefaultCostUs
}

// ping starts a probe; one is under way at a time for each peer.
func (n *Node) ping(p *peer) {
	if p.probing {
		return
	}
	n.seq++
	p.probing, p.doubt, p.pingSeq, p.pingAt = true, false, n.seq, n.now
	n.send(p.Peer, &wire.Ping{Seq: n.seq, Digest: n.digest, Region: n.region})
	n.after(n.ackTimeout(p), timer{what: tAck, host: p.ID, key: uint64(n.seq)})
}

func (n *Node) ackTimeout(p *peer) wire.Time {
	if p.samples < 4 {
		return n.cfg.AckTimeout
	}
	return min(n.cfg.AckTimeout, max(p.srtt+4*p.rttvar, n.cfg.AckTimeout/4))
}

// probe is the turn of failure detection: one Ping, whatever the number of
// peers. Every other turn goes to a host whose first heir we are, so that a
// crash is found within a bounded number of turns.
func (n *Node) probe() {
	n.turn++
	if n.turn%2 == 0 && len(n.wards) > 0 {
		w := n.wards[int(n.turn/2)%len(n.wards)].owner
		if p := n.peers[w.ID]; p != nil {
			n.ping(p)
			return
		}
	}
	for range len(n.ring) + 1 {
		if n.ringPos >= len(n.ring) {
			if n.shuffle(); len(n.ring) == 0 {
				return
			}
		}
		id := n.ring[n.ringPos]
		n.ringPos++
		if p := n.peers[id]; p != nil && !p.probing {
			n.ping(p)
			return
		}
	}
}

// shuffle starts a new round over the peers in a new order.
func (n *Node) shuffle() {
	n.ringPos = 0
	n.ring = sortedHosts(n.peers)
	for i := len(n.ring) - 1; i > 0; i-- {
		j := n.rand(i + 1)
		n.ring[i], n.ring[j] = n.ring[j], n.ring[i]
	}
}

func (n *Node) onPing(from wire.Peer, m *wire.Ping) {
	n.send(from, &wire.Ack{Seq: m.Seq, Digest: n.digest, Region: n.region})
	n.compare(from, m.Digest, m.Region)
}

func (n *Node) onAck(from wire.Peer, m *wire.Ack) {
	p := n.peers[from.ID]
	if p != nil {
		for _, a := range p.askers {
			if n.now-a.at < 2*n.cfg.IndirectTimeout {
				n.send(a.Peer, &wire.PingRes{Seq: a.seq, Target: p.ID})
			}
		}
		p.askers, p.vouched = nil, 0
	}
	if p != nil && p.pingSeq == m.Seq && (p.probing || p.doubt) {
		rtt := n.now - p.pingAt
		if again := n.now - p.againAt; p.doubt && p.againAt > p.pingAt && again >= p.srtt*3/4 {
			rtt = again // the answer to the second asking
		} else if p.doubt {
			p.outcomes, p.probes = p.outcomes>>1, p.probes-1 // not lost, only late
		}
		p.probing, p.doubt = false, false
		p.measure(rtt, n.cfg.HystPercent, n.cfg.HystSamples)
		if p.samples == 1 {
			n.ping(p)
		}
	}
	n.compare(from, m.Digest, m.Region)
}

// compare asks for the zones of a host whose digest is not the one we saw last.
func (n *Node) compare(from wire.Peer, digest uint64, r wire.Region) {
	n.learnRegion(r)
	if n.buried(from.ID) {
		n.resurrect(from)
		return
	}
	if p := n.peers[from.ID]; p == nil {
		// A host that has us in its table and that we do not know.
		if n.state == Member && digest != 0 {
			n.send(from, &wire.Pull{})
		}
	} else if p.digest != digest {
		n.send(from, &wire.Pull{})
	}
}

// measure takes a round trip. The published cost changes only after samples
// that agree on a change, so that routes do not flap.
func (p *peer) measure(rtt wire.Time, percent, samples int) {
	if p.samples == 0 || p.samples == 1 && rtt < p.srtt {
		// The first round trip may hold the handshake of the session: a shorter second
		// one counts alone.
		p.srtt, p.rttvar = rtt, rtt/2
	} else {
		d := p.srtt - rtt
		p.rttvar += (max(d, -d) - p.rttvar) / 4
		p.srtt += (rtt - p.srtt) / 8
	}
	p.last[int(p.samples)%len(p.last)] = rtt
	p.samples++
	p.outcome(0)
	us := uint32(min(p.typical()/2/time.Microsecond, 1<<31))
	diff := int64(us) - int64(p.costUs)
	if max(diff, -diff)*100 > int64(p.costUs)*int64(percent) {
		p.over++
	} else {
		p.over = 0
	}
	// The first few are published as they come: what the cost was before is a guess.
	if p.samples <= 2*uint32(len(p.last)) || int(p.over) >= samples {
		p.costUs, p.over = max(us, 1), 0
	}
}

// typical is the lower median of the last round trips: a host that was busy for a
// moment, or a full queue, moves a mean for many probes, and a median not at all.
func (p *peer) typical() wire.Time {
	v := p.last
	w := v[:min(int(p.samples), len(v))]
	slices.Sort(w)
	return w[(len(w)-1)/2]
}

// outcome notes a probe: 1 is lost, 0 is answered. A probe crosses the link twice, so
// one way loses half of what is lost. One lost probe of all is no evidence: a host may
// have been busy.
func (p *peer) outcome(lost uint64) {
	p.outcomes = p.outcomes<<1 | lost
	p.probes = min(p.probes+1, 64)
	n := bits.OnesCount64(p.outcomes & (1<<p.probes - 1))
	ppm := 0
	if n > 1 {
		ppm = n * 1_000_000 / 2 / max(int(p.probes), 32)
	}
	if d := ppm - int(p.lossPpm); max(d, -d) > 10_000 || ppm == 0 {
		p.lossPpm = uint32(ppm)
	}
}

// ackLate asks others to probe a peer that did not answer, and asks it again.
func (n *Node) ackLate(h wire.HostID, seq uint32) {
	p := n.peers[h]
	if p == nil || !p.probing || p.pingSeq != seq {
		return
	}
	if p.samples > 0 { // before, it is the session that takes its time
		p.outcome(1)
		p.doubt = true
	}
	if p.heard > p.pingAt {
		p.probing = false // it spoke in the meantime: it lives
		return
	}
	p.againAt = n.now
	n.send(p.Peer, &wire.Ping{Seq: seq, Digest: n.digest, Region: n.region})
	req := &wire.PingReq{Seq: seq, Target: p.Peer}
	p.asked = nil
	asked := 0
	for i := range n.ring {
		if asked == 3 {
			break
		}
		if q := n.peers[n.ring[(i+int(seq))%len(n.ring)]]; q != nil && q.ID != h && !q.probing {
			n.send(q.Peer, req)
			p.asked = append(p.asked, q.ID)
			asked++
		}
	}
	n.after(n.cfg.IndirectTimeout, timer{what: tIndirect, host: h, key: uint64(seq)})
}

func (n *Node) onPingReq(from wire.Peer, m *wire.PingReq) {
	p := n.peers[m.Target.ID]
	if p == nil {
		return // we vouch only for hosts we know
	}
	if n.now-p.heard < n.cfg.AckTimeout/2 {
		n.send(from, &wire.PingRes{Seq: m.Seq, Target: p.ID})
		return
	}
	if len(p.askers) < 4 {
		p.askers = append(p.askers, asker{from, m.Seq, n.now})
	}
	n.ping(p)
}

func (n *Node) onPingRes(from wire.Peer, m *wire.PingRes) {
	p := n.peers[m.Target]
	if p == nil || !p.probing || p.pingSeq != m.Seq || !slices.Contains(p.asked, from.ID) || p.vouched >= maxVouched {
		return
	}
	p.vouched++
	p.probing = false
}

// probeFailed ends a probe that neither the peer nor others have answered.
func (n *Node) probeFailed(h wire.HostID, seq uint32) {
	p := n.peers[h]
	if p == nil || !p.probing || p.pingSeq != seq {
		return
	}
	p.probing = false
	if p.heard > p.pingAt {
		return
	}
	n.die(p)
}

// die gives a peer up: its zones go to the heirs, its streams elsewhere.
func (n *Node) die(p *peer) {
	n.event("peer-dead", p.Peer, "")
	delete(n.peers, p.ID)
	var left []wire.Record
	n.table = slices.DeleteFunc(n.table, func(r wire.Record) bool {
		if r.Owner.ID != p.ID {
			return false
		}
		left = append(left, r)
		return true
	})
	n.dirty = true
	n.touch()
	n.bury(left)
	n.wards = slices.DeleteFunc(n.wards, func(w ward) bool {
		if w.owner.ID != p.ID {
			return false
		}
		n.inherit(w)
		return true
	})
	n.xferPeerDead(p.ID)
	n.streamPeerDead(p.ID)
}

// referenced says whether a peer is still of use.
func (n *Node) referenced() map[wire.HostID]bool {
	ref := make(map[wire.HostID]bool, len(n.peers))
	for i := range n.table {
		ref[n.table[i].Owner.ID] = true
	}
	for _, w := range n.wards {
		ref[w.owner.ID] = true
	}
	for _, s := range n.streams {
		ref[s.parent.ID] = true
		for _, c := range s.children {
			ref[c.ID] = true
		}
	}
	if n.out != nil {
		ref[n.out.peer.ID] = true
	}
	for _, x := range n.in {
		ref[x.peer.ID] = true
	}
	return ref
}

// forget drops peers that nothing refers to.
func (n *Node) forget() {
	ref := n.referenced()
	for id, p := range n.peers {
		if !ref[id] && !p.probing {
			delete(n.peers, id)
		}
	}
}
