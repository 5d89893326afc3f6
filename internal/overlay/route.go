// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"math"
	"slices"

	"sandstream/internal/overlay/wire"
)

// weight is what a link costs for routing: its latency, raised by what it
// loses, since a lost packet costs at least one more crossing.
func (p *peer) weight() uint64 {
	return uint64(p.costUs) * 1_000_000 / uint64(1_000_000-min(p.lossPpm, 900_000))
}

// distance is the least number of hops from one of our zones to the id.
func (n *Node) distance(to wire.Point) int {
	best := math.MaxInt
	for i := range n.zones {
		best = min(best, n.zones[i].Zone.Distance(to))
	}
	return best
}

// nextHop is greedy proximity routing (paper, section 3.2): of the neighbours
// nearer to the id, the one whose link costs least. Hosts in avoid are not
// taken. If none is nearer (the table has gaps) a detour is taken over some
// other neighbour, marked by detour.
func (n *Node) nextHop(to wire.Point, avoid func(wire.HostID) bool) (next *peer, detour bool) {
	have := n.distance(to)
	var bestW uint64
	bestD := 0
	for i := range n.table {
		r := &n.table[i]
		d := r.Zone.Distance(to)
		if d >= have {
			continue
		}
		p := n.peers[r.Owner.ID]
		if p == nil || avoid(p.ID) {
			continue
		}
		w := p.weight()
		if p.probing && n.now-p.pingAt > n.cfg.AckTimeout && p.heard < p.pingAt {
			w *= 16 // it has not answered in time
		}
		if next == nil || w < bestW || w == bestW && d < bestD {
			next, bestW, bestD = p, w, d
		}
	}
	if next != nil || len(n.table) == 0 {
		return next, false
	}
	start := n.rand(len(n.table))
	for i := range n.table {
		r := &n.table[(start+i)%len(n.table)]
		if p := n.peers[r.Owner.ID]; p != nil && !avoid(p.ID) {
			return p, true
		}
	}
	return nil, false
}

// route sends a lookup on, or answers it.
func (n *Node) route(from wire.Peer, m *wire.Lookup) {
	if n.covers(m.Target) {
		n.answer(from, m)
		return
	}
	if m.Hops >= n.cfg.MaxLookupHops {
		n.counts["lookup-too-long"]++
		return
	}
	next, detour := n.nextHop(m.Target, func(h wire.HostID) bool {
		return h == from.ID || slices.Contains(m.Avoid, h)
	})
	if next == nil {
		n.counts["lookup-stuck"]++
		return
	}
	out := *m
	out.Hops++
	if detour {
		n.counts["lookup-detour"]++
		out.Avoid = append(slices.Clone(m.Avoid), n.self.ID)
		if len(out.Avoid) > wire.MaxAvoid {
			out.Avoid = out.Avoid[1:]
		}
	}
	n.send(next.Peer, &out)
}

func (n *Node) onLookup(from wire.Peer, m *wire.Lookup) {
	if n.state != Member && n.state != Leaving || m.Origin.ID.IsZero() {
		return
	}
	n.route(from, m)
}

// answer does what a lookup asks of the owner of its target.
func (n *Node) answer(from wire.Peer, m *wire.Lookup) {
	f := &wire.Found{Req: m.Req, Record: *n.owned(m.Target), Volume: n.volume(), Hops: m.Hops, Region: n.region}
	f.Largest = n.largest()
	switch m.Kind {
	case wire.Put:
		if m.Info != nil {
			f.Full = !n.keep(m.Info, from.ID)
		}
	case wire.Drop:
		if m.Info != nil {
			n.unkeep(m.Target, m.Info.ID, from.ID)
		}
	case wire.Get:
		f.Infos = n.storedAt(m.Target)
	case wire.GrowAsk:
		n.grow()
	case wire.Find:
	}
	if m.Origin.ID == n.self.ID {
		n.onFound(n.self, f)
		return
	}
	n.send(m.Origin, f)
}

// largest is the largest zone we know: ours or a neighbour's.
func (n *Node) largest() wire.Record {
	var best wire.Record
	for _, rs := range [][]wire.Record{n.zones, n.table} {
		for i := range rs {
			if best.Owner.ID.IsZero() || rs[i].Zone.Len < best.Zone.Len {
				best = rs[i]
			}
		}
	}
	return best
}

func (n *Node) onFound(from wire.Peer, m *wire.Found) {
	n.learnRegion(m.Region)
	n.meet(from)
	r := n.pending[m.Req]
	if r == nil {
		return
	}
	if _, ok := r.msg.(*wire.Lookup); !ok {
		return
	}
	delete(n.pending, m.Req)
	switch r.what {
	case reqJoin:
		n.joinFound(from, m)
	case reqGap:
		n.gapReq = max(0, n.gapReq-1)
		delete(n.gaps, r.zone)
		n.learn(m.Record, false, from)
		n.send(m.Record.Owner, n.ownings(true))
	case reqClaim:
		n.learn(m.Record, true, from)
		if n.takenOver(r.zone) {
			n.unclaim(func(z wire.Zone) bool { return z == r.zone })
		}
	case reqGet:
		n.getFound(r, m)
	case reqPut:
		if l := *r.msg.(*wire.Lookup); m.Full && l.Kind == wire.Put && r.to.ID.IsZero() {
			// It does not know that it is we who ask: see keep.
			n.request(&request{what: reqPut, to: from, msg: &l, tries: 2, wait: 2 * n.cfg.RetryInterval})
		}
	case reqHome:
		n.dropAt(from, r.msg.(*wire.Lookup).Target, r.strm)
	case reqLook:
		if m.Record.Owner.ID != n.self.ID {
			n.learn(m.Record, false, from)
		}
	case reqVerify:
		if len(n.verified) >= 8 {
			n.verified = slices.Delete(n.verified, 0, 1)
		}
		n.verified = append(n.verified, m.Record)
	case reqCount:
		n.counted(m)
	default:
	}
}
