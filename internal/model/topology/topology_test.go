// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"gonum.org/v1/gonum/graph/path"
	"gonum.org/v1/gonum/graph/simple"
	"pgregory.net/rapid"

	"sandstream/internal/report/stats"
)

// The published statistics of the transit-stub model (± over graphs) for
// Params Published; see docs/overlay-simulation.md.
func TestPublishedStatistics(t *testing.T) {
	const graphs = 24
	got := map[string][]float64{}
	for seed := range uint64(graphs) {
		g, err := Generate(Published, seed)
		if err != nil {
			t.Fatal(err)
		}
		s := Measure(g, 8, seed)
		for name, x := range map[string]float64{
			"degree": s.Degree, "transit degree": s.TransitDegree, "stub degree": s.StubDegree,
			"intra-stub": float64(s.IntraStub), "transit-stub": float64(s.TransitStub),
			"intra-transit": float64(s.IntraTransit), "inter-transit": float64(s.InterTransit),
			"stub length": s.LenIntraStub, "transit-stub length": s.LenTransitStub,
			"intra-transit length": s.LenIntraTransit, "inter-transit length": s.LenInterTransit,
			"hops": s.Hops, "shortest length": s.Length,
		} {
			got[name] = append(got[name], x)
		}
	}
	for _, want := range []struct {
		name     string
		mean, sd float64
	}{
		{"degree", 4.66, .03},
		{"transit degree", 15.7, .3},
		{"stub degree", 4.55, .03},
		{"intra-stub", 22094, 138},
		{"transit-stub", 900, 0},
		{"intra-transit", 286, 17},
		{"inter-transit", 46, 9},
		{"stub length", 41.7, .3},
		{"transit-stub length", 41.9, .5},
		{"intra-transit length", 236, 8},
		{"inter-transit length", 388, 42},
		{"hops", 8.4, .4},
		{"shortest length", 1013, 96},
	} {
		if mean := stats.Mean(got[want.name]); math.Abs(mean-want.mean) > want.sd {
			t.Errorf("%s: %.2f over %d graphs, published %g ± %g", want.name, mean, graphs, want.mean, want.sd)
		}
	}
}

func drawParams(t *rapid.T) Params {
	return Params{
		T: rapid.IntRange(1, 4).Draw(t, "T"), Nt: rapid.IntRange(1, 5).Draw(t, "Nt"),
		K: rapid.IntRange(1, 4).Draw(t, "K"), Ns: rapid.IntRange(1, 7).Draw(t, "Ns"),
		PTop:     rapid.Float64Range(.3, 1).Draw(t, "top"),
		PTransit: rapid.Float64Range(.3, 1).Draw(t, "transit"),
		PStub:    rapid.Float64Range(.3, 1).Draw(t, "stub"),
		ExtraTS:  rapid.IntRange(0, 3).Draw(t, "ts"), ExtraSS: rapid.IntRange(0, 3).Draw(t, "ss"),
	}
}

func TestGenerateShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawParams(t)
		seed := rapid.Uint64().Draw(t, "seed")
		g, err := Generate(p, seed)
		if err != nil {
			t.Fatal(err)
		}
		if g.Nodes() != p.Nodes() {
			t.Fatalf("%d nodes, want %d", g.Nodes(), p.Nodes())
		}
		if u, ok := g.Connected(); !ok {
			t.Fatalf("node %d cannot be reached", u)
		}
		transits, stubs, nodes := 0, 0, 0
		for _, d := range g.Domains {
			nodes += d.Size()
			if d.Kind == Transit {
				transits++
			} else {
				stubs++
			}
		}
		if transits != p.T || stubs != p.T*p.Nt*p.K || nodes != p.Nodes() {
			t.Fatalf("%d transit domains, %d stubs, %d nodes in them", transits, stubs, nodes)
		}
		s := Measure(g, 1, 1)
		if s.TransitStub < stubs || s.TransitStub > stubs+p.ExtraTS || s.StubStub > p.ExtraSS || s.Other != 0 {
			t.Fatalf("%d transit-stub and %d stub-stub edges for %d stubs", s.TransitStub, s.StubStub, stubs)
		}
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		again, err := Generate(p, seed)
		if err != nil || !reflect.DeepEqual(g, again) {
			t.Fatalf("one thread draws another graph (%v)", err)
		}
	})
}

func TestSpreadKeepsTheSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells, mean := rapid.IntRange(1, 100).Draw(t, "cells"), rapid.IntRange(1, 20).Draw(t, "mean")
		sum := 0
		for _, x := range spread(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), cells, mean) {
			if x < 1 {
				t.Fatal("a cell is empty")
			}
			sum += x
		}
		if sum != cells*mean {
			t.Fatalf("sum %d, want %d", sum, cells*mean)
		}
	})
}

// Our Dijkstra against gonum's.
func TestDijkstraEqualsGonum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, err := Generate(drawParams(t), rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		w := simple.NewWeightedUndirectedGraph(0, math.Inf(1))
		for u := range uint32(g.Nodes()) {
			w.AddNode(simple.Node(u))
		}
		for u := range uint32(g.Nodes()) {
			for _, a := range g.Row(u) {
				w.SetWeightedEdge(w.NewWeightedEdge(simple.Node(u), simple.Node(a.To), float64(a.Len)))
			}
		}
		d := NewDijkstra(g)
		for range 3 { // the same object again and again
			source := uint32(rapid.IntRange(0, g.Nodes()-1).Draw(t, "source"))
			tree := path.DijkstraFrom(simple.Node(source), w)
			for v, got := range d.Run(source) {
				if want := tree.WeightTo(int64(v)); float64(got) != want {
					t.Fatalf("distance %d-%d is %d, gonum says %v", source, v, got, want)
				}
			}
		}
	})
}

func TestEdgeListRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, err := Generate(drawParams(t), rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := Write(&b, g); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&b, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(g, again) {
			t.Fatal("the graph read is not the graph written")
		}
	})
}

func TestReadRefuses(t *testing.T) {
	for text, says := range map[string]string{
		"":                                   "no edge",
		"0 0 1":                              "line 1: a loop",
		"0 1 0":                              "length",
		"0 1 99999999":                       "length",
		"0 1 1.5":                            "length",
		"0 1 2 3":                            "4 fields",
		"0":                                  "1 fields",
		"a 1 1":                              "not a node",
		"0 -1 1":                             "not a node",
		"0 1 1\n2 3 1\n1 2 1\n9 9 9":         "line 4",
		"@nodes 3\n0 1 1":                    "cannot connect 3",
		"@nodes 4\n0 1\n1 2\n2 0":            "node 3 cannot be reached",
		"@nodes 2\n0 1\n1 2":                 "node 2 is named",
		"@nodes 1000000000000":               "possible are 1 to",
		"@nodes 2\n@nodes 2":                 "second @nodes",
		"@domain stub 2 1":                   "ascend",
		"@domain stub 0 1\n@domain stub 1 2": "ascend",
		"@domain moon 0 1":                   "known are transit and stub",
		"@what 1":                            "known are",
		"0 99999999999 1":                    "at most",
	} {
		if _, err := Read(strings.NewReader(text), 0); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

func TestReadForms(t *testing.T) {
	g, err := Read(strings.NewReader("# a comment\n\n 0\t1 5\n1 0 3\n1 2\n"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if g.Nodes() != 3 || g.Edges() != 2 || g.Row(0)[0] != (Arc{1, 3}) || g.Row(2)[0] != (Arc{1, 1}) {
		t.Errorf("graph %+v", g)
	}
}

// What Read accepts must be a sound graph that survives writing; it must never
// take memory out of proportion to its input.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"0 1 2\n", "@nodes 3\n0 1\n1 2 7\n", "@domain transit 0 1\n@domain stub 2 3\n0 1\n1 2\n2 3\n",
		"@nodes 268435456\n0 1\n", "0 1 16777216\n", "# x\n0 1\n0 1 2\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g, err := Read(strings.NewReader(s), 0)
		if err != nil {
			return
		}
		if _, ok := g.Connected(); !ok {
			t.Fatal("an unconnected graph was accepted")
		}
		if g.Nodes() > len(s) {
			t.Fatalf("%d nodes from %d bytes", g.Nodes(), len(s))
		}
		for u := range uint32(g.Nodes()) {
			for _, a := range g.Row(u) {
				if a.To == u || int(a.To) >= g.Nodes() || a.Len < 1 || a.Len > MaxLen {
					t.Fatalf("arc %d-%+v", u, a)
				}
			}
		}
		var b bytes.Buffer
		if err := Write(&b, g); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&b, 0)
		if err != nil || !reflect.DeepEqual(g, again) {
			t.Fatalf("written and read again it is another graph (%v)", err)
		}
	})
}

func TestParams(t *testing.T) {
	p, err := ParseParams("T=3, Nt=4,stub=.5,ss=2", Routers5050)
	if err != nil || p.T != 3 || p.Nt != 4 || p.K != 10 || p.PStub != .5 || p.ExtraSS != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	if q, err := ParseParams(p.String(), Params{}); err != nil || q != p {
		t.Errorf("%v reads as %v, %v", p, q, err)
	}
	for s, says := range map[string]string{
		"T=0": "least possible is 1", "Q=1": "unknown parameter", "T=x": "not a number", "stub=2": "0 to 1",
		"stub=0": "never connected", "T=100000,Nt=100000": "more than", "K=0,ts=1": "extra edges",
	} {
		if _, err := ParseParams(s, Routers5050); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", s, err, says)
		}
	}
	for _, hosts := range []int{1 << 16, 1 << 20} {
		if n := ForHosts(hosts).Nodes(); n != hosts {
			t.Errorf("%d nodes for %d hosts", n, hosts)
		}
	}
	for _, hosts := range []int{2, 100, 5000, 1 << 24} {
		if n := ForHosts(hosts).Nodes(); n < hosts {
			t.Errorf("%d nodes for %d hosts", n, hosts)
		}
	}
}
