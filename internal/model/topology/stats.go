// SPDX-License-Identifier: Apache-2.0

package topology

import "math/rand/v2"

// Stats describes a graph in the terms the transit-stub model is published in.
// Hop distance and shortest length are means over paths from sampled stub
// nodes (any node without domains) to all other nodes.
type Stats struct {
	Nodes, Edges                                  int
	Degree, TransitDegree, StubDegree             float64
	IntraStub, TransitStub, IntraTransit          int
	InterTransit, StubStub, Other                 int
	LenIntraStub, LenTransitStub, LenIntraTransit float64
	LenInterTransit, LenStubStub                  float64
	Hops, Length                                  float64
}

// Measure computes Stats; samples is the number of sources for the path
// statistics, chosen with the seed.
func Measure(g *Graph, samples int, seed uint64) Stats {
	s := Stats{Nodes: g.Nodes(), Edges: g.Edges(), Degree: float64(len(g.Arcs)) / float64(g.Nodes())}
	of := g.DomainOf()
	kind := func(u uint32) (Kind, bool) {
		if of[u] < 0 {
			return Stub, false
		}
		return g.Domains[of[u]].Kind, true
	}
	var transitArcs, stubArcs, transitNodes, stubNodes int
	var sources []uint32
	for u := range uint32(g.Nodes()) {
		ku, known := kind(u)
		switch {
		case known && ku == Transit:
			transitNodes++
			transitArcs += len(g.Row(u))
		case known:
			stubNodes++
			stubArcs += len(g.Row(u))
		}
		if !known || ku == Stub {
			sources = append(sources, u)
		}
		for _, a := range g.Row(u) {
			if a.To < u {
				continue
			}
			l := float64(a.Len)
			kv, knownV := kind(a.To)
			switch same := of[u] == of[a.To]; {
			case !known || !knownV:
				s.Other++
			case ku == Stub && kv == Stub && same:
				s.IntraStub++
				s.LenIntraStub += l
			case ku == Stub && kv == Stub:
				s.StubStub++
				s.LenStubStub += l
			case ku != kv:
				s.TransitStub++
				s.LenTransitStub += l
			case same:
				s.IntraTransit++
				s.LenIntraTransit += l
			default:
				s.InterTransit++
				s.LenInterTransit += l
			}
		}
	}
	div := func(x *float64, n int) {
		if n > 0 {
			*x /= float64(n)
		}
	}
	s.TransitDegree, s.StubDegree = float64(transitArcs), float64(stubArcs)
	div(&s.TransitDegree, transitNodes)
	div(&s.StubDegree, stubNodes)
	div(&s.LenIntraStub, s.IntraStub)
	div(&s.LenStubStub, s.StubStub)
	div(&s.LenTransitStub, s.TransitStub)
	div(&s.LenIntraTransit, s.IntraTransit)
	div(&s.LenInterTransit, s.InterTransit)
	if len(sources) == 0 {
		for u := range uint32(g.Nodes()) {
			sources = append(sources, u)
		}
	}
	g.measurePaths(&s, sources, samples, seed)
	return s
}

func (g *Graph) measurePaths(s *Stats, sources []uint32, samples int, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0x73746174))
	d, hops, paths := NewDijkstra(g), make([]uint32, g.Nodes()), 0
	for range samples {
		u := sources[rng.IntN(len(sources))]
		g.Hops(u, hops)
		for v, l := range d.Run(u) {
			if uint32(v) != u && l != Unreached {
				s.Length += float64(l)
				s.Hops += float64(hops[v])
				paths++
			}
		}
	}
	if paths > 0 {
		s.Hops /= float64(paths)
		s.Length /= float64(paths)
	}
}
