// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"math"
	"slices"

	"sandstream/internal/overlay/links"
	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// distance is the least number of hops from one of our zones to the id.
func (n *Zones) distance(to wire.Point) int {
	best := math.MaxInt
	for i := range n.own {
		best = min(best, n.own[i].Zone.Distance(to))
	}
	return best
}

// NextHop is greedy proximity routing (paper, section 3.2): of the neighbours
// nearer to the id, the one whose link costs least. Hosts in avoid are not
// taken. If none is nearer (the table has gaps) a step aside is taken over some
// other neighbour, marked by aside.
func (n *Zones) NextHop(to wire.Point, avoid func(wire.HostID) bool) (next *links.Peer, aside bool) {
	have := n.distance(to)
	var bestW uint64
	bestD := 0
	for i := range n.table {
		r := &n.table[i]
		d := r.Zone.Distance(to)
		if d >= have {
			continue
		}
		p := n.links.Get(r.Owner.ID)
		if p == nil || avoid(p.ID) {
			continue
		}
		w := p.Weight()
		if p.Overdue(n.Now, n.Cfg.AckTimeout) {
			w *= 16 // it has not answered in time
		}
		if next == nil || w < bestW || w == bestW && d < bestD {
			next, bestW, bestD = p, w, d
		}
	}
	if next != nil || len(n.table) == 0 {
		return next, false
	}
	start := n.Intn(len(n.table))
	for i := range n.table {
		r := &n.table[(start+i)%len(n.table)]
		if p := n.links.Get(r.Owner.ID); p != nil && !avoid(p.ID) {
			return p, true
		}
	}
	return nil, false
}

// Route sends a lookup of this host on its way, or answers it: see turn.Turn.
func (n *Zones) Route(m *wire.Lookup) { n.route(n.Self, m) }

// route sends a lookup on, or answers it.
func (n *Zones) route(from wire.Peer, m *wire.Lookup) {
	if n.Covers(m.Target) {
		n.answer(from, m)
		return
	}
	if m.Hops >= n.Cfg.MaxLookupHops {
		n.Count("lookup-too-long")
		return
	}
	next, aside := n.NextHop(m.Target, func(h wire.HostID) bool {
		return h == from.ID || slices.Contains(m.Avoid, h)
	})
	if next == nil {
		n.Count("lookup-stuck")
		return
	}
	out := *m
	out.Hops++
	if aside {
		n.Count("lookup-detour")
		out.Avoid = append(slices.Clone(m.Avoid), n.Self.ID)
		if len(out.Avoid) > wire.MaxAvoid {
			out.Avoid = out.Avoid[1:]
		}
	}
	n.Send(next.Peer, &out)
}

func (n *Zones) onLookup(from wire.Peer, m *wire.Lookup) {
	if n.state != Member && n.state != Leaving || m.Origin.ID.IsZero() {
		return
	}
	n.route(from, m)
}

// answer does what a lookup asks of the owner of its target.
func (n *Zones) answer(from wire.Peer, m *wire.Lookup) {
	f := &wire.Found{Req: m.Req, Record: *n.owned(m.Target), Volume: n.volume(), Hops: m.Hops, Region: n.region.Region}
	f.Largest = n.largest()
	switch m.Kind {
	case wire.Put, wire.Drop, wire.Get, wire.List:
		n.Up.Answer(from.ID, m, f)
	case wire.GrowAsk:
		n.grow()
	case wire.Find:
	}
	if m.Origin.ID == n.Self.ID {
		n.onFound(n.Self, f)
		return
	}
	n.Send(m.Origin, f)
}

// largest is the largest zone we know: ours or a neighbour's.
func (n *Zones) largest() wire.Record {
	var best wire.Record
	for _, rs := range [][]wire.Record{n.own, n.table} {
		for i := range rs {
			if best.Owner.ID.IsZero() || rs[i].Zone.Len < best.Zone.Len {
				best = rs[i]
			}
		}
	}
	return best
}

func (n *Zones) onFound(from wire.Peer, m *wire.Found) {
	n.learnRegion(m.Region)
	n.meet(from)
	if r := turn.Answered[*wire.Lookup](n.Turn, m.Req); r != nil && r.Then != nil {
		r.Then(from, m)
	}
}
