// SPDX-License-Identifier: Apache-2.0

package oracle

import "sandstream/internal/model/bigmem"

// Points are hosts attached to the graph, seen from 0..Len()-1 in an order of
// the caller's choice (overlay ids). Keeping their places in that order makes
// the routes of an overlay walk through memory, not jump. It is safe for
// concurrent use.
type Points struct {
	o      *Oracle
	ways   []way
	inside []inside
	owner  []uint32 // host of each point; nil when point i is host i
	lan    uint32
	m      *matrix // the oracle's core, when it is a matrix
}

// way is what most questions need of a place, eight bytes: two points that
// leave by different core nodes need no more.
type way struct{ core, access uint32 }

// inside is the rest, asked for only when both leave by one core node.
type inside struct{ cell, local uint32 }

func (o *Oracle) points(n int, owner []uint32, lan uint32) *Points {
	p := &Points{o: o, ways: bigmem.Make[way](n), inside: bigmem.Make[inside](n), owner: owner, lan: lan}
	p.m, _ = o.core.(*matrix)
	return p
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
	p := o.points(n, owner, lan)
	for i := range p.ways {
		node := uint32(i)
		if owner != nil {
			node = owner[i]
		}
		if nodes != nil {
			node = nodes[node]
		}
		at := o.places[node]
		p.ways[i], p.inside[i] = way{at.core, at.access + lan}, inside{at.cell, at.local}
	}
	return p
}

// Len is the number of points.
func (p *Points) Len() int { return len(p.ways) }

// Host is the host of point i.
func (p *Points) Host(i uint32) uint32 {
	if p.owner == nil {
		return i
	}
	return p.owner[i]
}

// Dist is the length of the shortest path between points i and j.
func (p *Points) Dist(i, j uint32) uint32 {
	a, b := p.ways[i], p.ways[j]
	if a.core != b.core && p.m != nil {
		return a.access + b.access + p.m.d[uint64(a.core)*p.m.n+uint64(b.core)]
	}
	return p.near(i, j)
}

// near is Dist for two points that leave by one core node, or when the core's
// distances are no matrix.
func (p *Points) near(i, j uint32) uint32 {
	a, b := p.ways[i], p.ways[j]
	if a.core != b.core {
		return a.access + b.access + p.o.core.dist(a.core, b.core)
	}
	x, y := p.inside[i], p.inside[j]
	if x == y && p.Host(i) == p.Host(j) {
		return 0
	}
	if x.cell == y.cell && x.cell != none {
		return p.o.within(x.cell, x.local, y.local) + 2*p.lan
	}
	return a.access + b.access
}

// Reordered gives the same hosts as points in another order: point i of the
// result is host owner[i] of p, whose points are its hosts.
func (p *Points) Reordered(owner []uint32) *Points {
	q := p.o.points(len(owner), owner, p.lan)
	for i, h := range owner {
		q.ways[i], q.inside[i] = p.ways[h], p.inside[h]
	}
	return q
}
