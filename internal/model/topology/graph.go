// SPDX-License-Identifier: Apache-2.0

// Package topology makes and reads the physical networks that overlays lie on:
// undirected graphs with integer edge lengths. Generate follows the GT-ITM
// transit-stub model (Zegura, Calvert, Bhattacharjee: How to model an
// internetwork, INFOCOM 1996); Read takes any graph from an edge list.
package topology

import (
	"fmt"
	"slices"
)

// Kind says what a domain is.
type Kind uint8

// Kinds of domains.
const (
	Stub Kind = iota
	Transit
)

func (k Kind) String() string {
	if k == Transit {
		return "transit"
	}
	return "stub"
}

// Arc is one direction of an edge; Len is its length (cost, at least 1).
type Arc struct{ To, Len uint32 }

// Edge is an undirected edge.
type Edge struct{ U, V, Len uint32 }

// Domain is the range First..Last (inclusive) of nodes that form one domain.
type Domain struct {
	First, Last uint32
	Kind        Kind
}

// Size is the number of nodes.
func (d Domain) Size() int { return int(d.Last-d.First) + 1 }

// Graph is an undirected graph in compressed rows: the arcs of node u are
// Arcs[Off[u]:Off[u+1]]. Each edge is two arcs. Nodes are 0..Nodes()-1.
type Graph struct {
	Off  []uint32
	Arcs []Arc
	// Domains are disjoint and in ascending order; nodes outside all of them
	// have no known domain. Nil for a graph without hierarchy.
	Domains []Domain
}

// Nodes is the number of nodes.
func (g *Graph) Nodes() int { return len(g.Off) - 1 }

// Edges is the number of undirected edges.
func (g *Graph) Edges() int { return len(g.Arcs) / 2 }

// Row is the arcs of u.
func (g *Graph) Row(u uint32) []Arc { return g.Arcs[g.Off[u]:g.Off[u+1]] }

// MaxLen is the longest edge length, 0 without edges.
func (g *Graph) MaxLen() uint32 {
	m := uint32(0)
	for _, a := range g.Arcs {
		m = max(m, a.Len)
	}
	return m
}

// DomainOf gives for each node the index of its domain, -1 without one.
func (g *Graph) DomainOf() []int32 {
	of := make([]int32, g.Nodes())
	for i := range of {
		of[i] = -1
	}
	for i, d := range g.Domains {
		for u := d.First; u <= d.Last; u++ {
			of[u] = int32(i)
		}
	}
	return of
}

// Limits of the compact representation: arcs are counted in 32 bits, and the
// sum of lengths along a shortest path must fit as well.
const (
	MaxNodes = 1 << 28
	MaxArcs  = 1<<32 - 2
	MaxLen   = 1 << 24
)

// New builds a graph with n nodes from edges, which it does not keep. It
// refuses loops, ends outside 0..n-1 and lengths outside 1..MaxLen. Of
// parallel edges the shortest stays.
func New(n int, edges []Edge, domains []Domain) (*Graph, error) {
	if n < 1 || n > MaxNodes {
		return nil, fmt.Errorf("topology: %d nodes; possible are 1 to %d", n, MaxNodes)
	}
	if 2*len(edges) > MaxArcs {
		return nil, fmt.Errorf("topology: %d edges; possible are at most %d", len(edges), MaxArcs/2)
	}
	g := &Graph{Off: make([]uint32, n+1), Domains: domains}
	for i, e := range edges {
		switch {
		case int(e.U) >= n || int(e.V) >= n:
			return nil, fmt.Errorf("topology: edge %d joins %d and %d, but nodes are 0 to %d", i, e.U, e.V, n-1)
		case e.U == e.V:
			return nil, fmt.Errorf("topology: edge %d is a loop at node %d", i, e.U)
		case e.Len < 1 || e.Len > MaxLen:
			return nil, fmt.Errorf("topology: edge %d (%d-%d) has length %d; possible are 1 to %d", i, e.U, e.V, e.Len, MaxLen)
		}
		g.Off[e.U+1]++
		g.Off[e.V+1]++
	}
	for u := range n {
		g.Off[u+1] += g.Off[u]
	}
	g.Arcs = make([]Arc, 2*len(edges))
	fill := slices.Clone(g.Off[:n])
	for _, e := range edges {
		g.Arcs[fill[e.U]] = Arc{e.V, e.Len}
		fill[e.U]++
		g.Arcs[fill[e.V]] = Arc{e.U, e.Len}
		fill[e.V]++
	}
	g.dropParallel()
	return g, nil
}

// dropParallel sorts every row by neighbour and keeps the shortest of
// parallel arcs.
func (g *Graph) dropParallel() {
	end := uint32(0)
	for u := range g.Nodes() {
		row := g.Row(uint32(u))
		slices.SortFunc(row, func(a, b Arc) int {
			if a.To != b.To {
				return int(a.To) - int(b.To)
			}
			return int(a.Len) - int(b.Len)
		})
		g.Off[u] = end
		for i, a := range row {
			if i == 0 || a.To != row[i-1].To {
				g.Arcs[end] = a
				end++
			}
		}
	}
	g.Off[g.Nodes()] = end
	g.Arcs = g.Arcs[:end]
}

// Connected says whether every node can be reached from node 0, and if not
// names one that cannot.
func (g *Graph) Connected() (lost uint32, ok bool) {
	seen := make([]bool, g.Nodes())
	seen[0] = true
	todo := []uint32{0}
	for len(todo) > 0 {
		u := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, a := range g.Row(u) {
			if !seen[a.To] {
				seen[a.To] = true
				todo = append(todo, a.To)
			}
		}
	}
	i := slices.Index(seen, false)
	if i < 0 {
		return 0, true
	}
	return uint32(i), false
}
