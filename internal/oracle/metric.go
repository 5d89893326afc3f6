// SPDX-License-Identifier: Apache-2.0

package oracle

// Points are hosts attached to the graph, seen from 0..Len()-1 in an order of
// the caller's choice (overlay ids). Keeping their places in that order makes
// the routes of an overlay walk through memory, not jump. It is safe for
// concurrent use.
type Points struct {
	o      *Oracle
	places []place
	owner  []uint32 // host of each point; nil when point i is host i
	lan    uint32
}

// Attach makes the points: point i is host owner[i] (i itself if owner is
// nil), and host h hangs on graph node nodes[h] (h itself if nodes is nil) by
// a link of length lan, 0 when the node is the host. Two points of one host
// are at distance 0; two hosts on one node at 2·lan.
func (o *Oracle) Attach(owner, nodes []uint32, lan uint32) *Points {
	n := len(owner)
	if owner == nil {
		n = len(nodes)
		if nodes == nil {
			n = o.nodes
		}
	}
	p := &Points{o: o, places: make([]place, n), owner: owner, lan: lan}
	for i := range p.places {
		node := uint32(i)
		if owner != nil {
			node = owner[i]
		}
		if nodes != nil {
			node = nodes[node]
		}
		p.places[i] = o.places[node]
		p.places[i].access += lan
	}
	return p
}

// Len is the number of points.
func (p *Points) Len() int { return len(p.places) }

// Host is the host of point i.
func (p *Points) Host(i uint32) uint32 {
	if p.owner == nil {
		return i
	}
	return p.owner[i]
}

// Dist is the length of the shortest path between points i and j.
func (p *Points) Dist(i, j uint32) uint32 {
	a, b := &p.places[i], &p.places[j]
	if a.cell == none || a.cell != b.cell {
		if a.core != b.core || a.cell != none || b.cell != none {
			return p.o.between(a, b)
		}
		// Both on one core node.
		if p.Host(i) == p.Host(j) {
			return 0
		}
		return a.access + b.access
	}
	d := p.o.between(a, b)
	if a.local == b.local && p.Host(i) == p.Host(j) {
		return 0
	}
	return d + 2*p.lan
}

// Reordered gives the same hosts as points in another order: point i of the
// result is host owner[i] of p, whose points are its hosts.
func (p *Points) Reordered(owner []uint32) *Points {
	q := &Points{o: p.o, places: make([]place, len(owner)), owner: owner, lan: p.lan}
	for i, h := range owner {
		q.places[i] = p.places[h]
	}
	return q
}
