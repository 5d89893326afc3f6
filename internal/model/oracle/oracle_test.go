// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sandstream/internal/model/topology"
)

// drawGraph draws a transit-stub graph or one without any structure.
func drawGraph(t *rapid.T) *topology.Graph {
	if rapid.Bool().Draw(t, "flat") {
		n := rapid.IntRange(1, 60).Draw(t, "n")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		var edges []topology.Edge
		for u := 1; u < n; u++ { // a random tree, and some more edges
			edges = append(edges, topology.Edge{U: uint32(rng.IntN(u)), V: uint32(u), Len: 1 + rng.Uint32N(50)})
		}
		for range rng.IntN(2 * n) {
			if u, v := rng.IntN(n), rng.IntN(n); u != v {
				edges = append(edges, topology.Edge{U: uint32(u), V: uint32(v), Len: 1 + rng.Uint32N(50)})
			}
		}
		g, err := topology.New(n, edges, nil)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	p := topology.Params{
		T: rapid.IntRange(1, 3).Draw(t, "T"), Nt: rapid.IntRange(1, 4).Draw(t, "Nt"),
		K: rapid.IntRange(1, 3).Draw(t, "K"), Ns: rapid.IntRange(1, 6).Draw(t, "Ns"),
		PTop: .7, PTransit: .7, PStub: .5,
		ExtraTS: rapid.IntRange(0, 3).Draw(t, "ts"), ExtraSS: rapid.IntRange(0, 3).Draw(t, "ss"),
	}
	g, err := topology.Generate(p, rapid.Uint64().Draw(t, "seed"))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestEqualsDijkstraForEveryPair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t)
		d := topology.NewDijkstra(g)
		for _, limit := range []int{MatrixLimit, 0} { // with the matrix, and with labels
			o, err := build(g, limit)
			if err != nil {
				t.Fatal(err)
			}
			for u := range uint32(g.Nodes()) {
				for v, want := range d.Run(u) {
					if got := o.Dist(u, uint32(v)); got != want {
						t.Fatalf("%s: distance %d-%d is %d, Dijkstra says %d", o.Kind(), u, v, got, want)
					}
				}
			}
		}
	})
}

// The search of large cells and Floyd's loops must agree.
func TestFloydEqualsSearch(t *testing.T) {
	g, err := topology.Generate(topology.Params{T: 1, Nt: 1, K: 2, Ns: 40, PStub: .2}, 5)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range g.Domains[1:] {
		n := uint32(d.Size())
		a, b := make([]uint32, n*n), make([]uint32, n*n)
		floyd(g, d.First, n, a)
		search(g, d.First, n, b)
		if !slices.Equal(a, b) {
			t.Fatalf("tables of domain %+v differ", d)
		}
	}
}

func TestRowsOfLargeGraphs(t *testing.T) {
	for _, extra := range []int{0, 200} {
		p := topology.ForHosts(1 << 16)
		p.ExtraTS, p.ExtraSS = extra, extra
		g, err := topology.Generate(p, 3)
		if err != nil {
			t.Fatal(err)
		}
		o, err := New(g)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(o.Kind())
		d, rng := topology.NewDijkstra(g), rand.New(rand.NewPCG(1, 2))
		for range 40 {
			u := uint32(rng.IntN(g.Nodes()))
			for v, want := range d.Run(u) {
				if got := o.Dist(u, uint32(v)); got != want {
					t.Fatalf("%d extra edges, %s: distance %d-%d is %d, Dijkstra says %d", extra, o.Kind(), u, v, got, want)
				}
			}
		}
	}
}

func TestPoints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t)
		o, err := New(g)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "place"), 1))
		hosts := rapid.IntRange(1, 40).Draw(t, "hosts")
		lan := rapid.Uint32Range(1, 3).Draw(t, "lan")
		nodes, owner := make([]uint32, hosts), make([]uint32, 2*hosts)
		for h := range nodes {
			nodes[h] = uint32(rng.IntN(g.Nodes()))
		}
		for i := range owner {
			owner[i] = uint32(rng.IntN(hosts))
		}
		p := o.Attach(owner, nodes, lan)
		d := topology.NewDijkstra(g)
		for i := range uint32(p.Len()) {
			row := d.Run(nodes[owner[i]])
			for j := range uint32(p.Len()) {
				want := row[nodes[owner[j]]] + 2*lan
				if owner[i] == owner[j] {
					want = 0
				}
				if got := p.Dist(i, j); got != want {
					t.Fatalf("points %d-%d (hosts %d, %d on nodes %d, %d): %d, want %d", i, j, owner[i], owner[j], nodes[owner[i]], nodes[owner[j]], got, want)
				}
			}
		}
	})
}
