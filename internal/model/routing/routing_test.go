// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sandstream/internal/model/cube"
	"sandstream/internal/model/oracle"
	"sandstream/internal/model/topology"
)

// draw makes an overlay of a small cube on a small network.
func draw(t *rapid.T) *Overlay {
	k := rapid.IntRange(2, 7).Draw(t, "k")
	n := rapid.IntRange(1, 5).Draw(t, "n")
	for n > 1 && math.Pow(float64(k), float64(n)) > 300 {
		n--
	}
	c := cube.Must(k, n)
	seed := rapid.Uint64().Draw(t, "seed")
	g, err := topology.Generate(topology.Params{T: 2, Nt: 2, K: 2, Ns: 4, PTop: 1, PTransit: 1, PStub: .5}, seed)
	if err != nil {
		t.Fatal(err)
	}
	orc, err := oracle.New(g)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	hosts := rapid.IntRange(1, c.IDs()).Draw(t, "hosts")
	nodes, owner := make([]uint32, hosts), make([]uint32, c.IDs())
	for h := range nodes {
		nodes[h] = uint32(rng.IntN(g.Nodes()))
	}
	for i := range owner {
		owner[i] = uint32(i % hosts)
	}
	rng.Shuffle(len(owner), func(i, j int) { owner[i], owner[j] = owner[j], owner[i] })
	return &Overlay{c, orc.Attach(owner, nodes, 1)}
}

// perm is the numbers below n in a random order.
func perm(n int) []uint32 {
	p := make([]uint32, n)
	for i, x := range rand.New(rand.NewPCG(1, 1)).Perm(n) {
		p[i] = uint32(x)
	}
	return p
}

// walk is the definition: hop by hop, with a chooser among the links that
// shorten the way.
func walk(o *Overlay, from, to uint32, choose func(links []uint32, dims []int) int) (cost uint32, hops int) {
	for from != to {
		var links []uint32
		var dims []int
		for d := o.Cube.N - 1; d >= 0; d-- {
			for _, up := range []bool{true, false} {
				x := o.Cube.Step(from, d, up)
				if o.Cube.Distance(x, to) < o.Cube.Distance(from, to) && !slices.Contains(links, x) {
					links, dims = append(links, x), append(dims, d)
				}
			}
		}
		next := links[choose(links, dims)]
		cost += o.Link(from, next)
		from = next
		hops++
	}
	return cost, hops
}

func TestTreesEqualHopByHop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := draw(t)
		source := uint32(rapid.IntRange(0, o.Cube.IDs()-1).Draw(t, "source"))
		ordered, greedy := make([]uint32, o.Cube.IDs()), make([]uint32, o.Cube.IDs())
		o.Ordered(source, ordered)
		o.Greedy(source, greedy)
		for to := range uint32(o.Cube.IDs()) {
			want, hops := walk(o, source, to, func([]uint32, []int) int { return 0 })
			if ordered[to] != want {
				t.Fatalf("ordered %d-%d costs %d, hop by hop %d", source, to, ordered[to], want)
			}
			if hops != o.Cube.Distance(source, to) {
				t.Fatalf("%d hops for a distance of %d", hops, o.Cube.Distance(source, to))
			}
			at := source
			want, _ = walk(o, source, to, func(links []uint32, _ []int) int {
				best := 0
				for i, l := range links {
					if o.Link(at, l) < o.Link(at, links[best]) {
						best = i
					}
				}
				at = links[best]
				return best
			})
			if greedy[to] != want {
				t.Fatalf("greedy %d-%d costs %d, hop by hop %d", source, to, greedy[to], want)
			}
		}
	})
}

func TestOrderOfRoutings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := draw(t)
		m := o.Cube.IDs()
		source := uint32(rapid.IntRange(0, m-1).Draw(t, "source"))
		greedy, best, shortest, random, one, far := make([]uint32, m), make([]uint32, m), make([]uint32, m), make([]uint32, m), make([]uint32, m), make([]uint32, m)
		o.Greedy(source, greedy)
		o.Best(source, best)
		o.BestShortest(source, shortest)
		o.Random(source, 7, random)
		links := NewLinks(o)
		if err := o.Lookahead(source, 1, links, one); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(one, greedy) {
			t.Fatal("lookahead of one hop is not greedy")
		}
		if err := o.Lookahead(source, MaxLookahead, links, far); err != nil {
			t.Fatal(err)
		}
		for id := range uint32(m) {
			unicast := o.Points.Dist(source, id)
			if unicast > best[id] || best[id] > shortest[id] || shortest[id] > min(greedy[id], random[id], far[id]) {
				t.Fatalf("id %d: unicast %d, best %d, best of shortest %d, greedy %d, random %d, lookahead %d", id, unicast, best[id], shortest[id], greedy[id], random[id], far[id])
			}
			// Within the horizon the lookahead sees everything.
			if o.Cube.Distance(source, id) <= MaxLookahead && far[id] != shortest[id] {
				t.Fatalf("id %d at %d hops: lookahead %d, best of shortest %d", id, o.Cube.Distance(source, id), far[id], shortest[id])
			}
		}
	})
}

// Best against the textbook: relax all links until nothing changes.
func TestBestEqualsBellmanFord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := draw(t)
		m := o.Cube.IDs()
		got, want := make([]uint32, m), make([]uint32, m)
		o.Best(0, got)
		for i := range want {
			want[i] = math.MaxUint32 / 2
		}
		want[0] = 0
		for changed := true; changed; {
			changed = false
			for id := range uint32(m) {
				for _, to := range o.Cube.Neighbours(id, nil) {
					if x := want[id] + o.Link(id, to); x < want[to] {
						want[to], changed = x, true
					}
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("best %v, by relaxation %v", got, want)
		}
	})
}

// The tree's cost is the sum of its links: with the cost of each id known, the
// last link is what it adds to its parent.
func TestTreeCost(t *testing.T) {
	g, err := topology.Generate(topology.Routers5050, 1)
	if err != nil {
		t.Fatal(err)
	}
	orc, err := oracle.New(g)
	if err != nil {
		t.Fatal(err)
	}
	o := &Overlay{cube.Must(2, 8), orc.Attach(nil, perm(256), 0)}
	cost := make([]uint32, 256)
	total := o.Ordered(5, cost)
	var want uint64
	for id := range uint32(256) {
		if diff := id ^ 5; diff != 0 {
			// Ordered corrects the lowest differing dimension last.
			parent := id
			for d := range 8 {
				if diff>>d&1 == 1 {
					parent = id ^ 1<<d
					break
				}
			}
			if cost[id] != cost[parent]+o.Link(parent, id) {
				t.Fatalf("id %d does not follow its parent %d", id, parent)
			}
			want += uint64(o.Link(parent, id))
		}
	}
	if total != want {
		t.Errorf("tree costs %d, its links %d", total, want)
	}
}

func TestSameOnAnyNumberOfThreads(t *testing.T) {
	g, err := topology.Generate(topology.Routers5050, 1)
	if err != nil {
		t.Fatal(err)
	}
	orc, err := oracle.New(g)
	if err != nil {
		t.Fatal(err)
	}
	o := &Overlay{cube.Must(3, 7), orc.Attach(nil, perm(2187), 1)}
	run := func(threads int) (random, look []uint32) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
		random, look = make([]uint32, o.Cube.IDs()), make([]uint32, o.Cube.IDs())
		o.Random(9, 3, random)
		if err := o.Lookahead(9, 3, NewLinks(o), look); err != nil {
			t.Fatal(err)
		}
		return random, look
	}
	r1, l1 := run(1)
	r7, l7 := run(7)
	if !slices.Equal(r1, r7) || !slices.Equal(l1, l7) {
		t.Error("one and seven threads differ")
	}
}

func TestLookaheadState(t *testing.T) {
	for _, c := range []struct{ k, n, depth, costs, listeners int }{
		{2, 16, 1, 16, 0},
		{2, 16, 2, 17 * 16, 16},
		{2, 16, 3, 137 * 16, 136},
		{16, 4, 2, 9 * 8, 8},
		{3, 2, 3, 9 * 4, 8},
	} {
		costs, listeners := (&Overlay{Cube: cube.Must(c.k, c.n)}).LookaheadState(c.depth)
		if costs != c.costs || listeners != c.listeners {
			t.Errorf("%+v: %d costs, %d listeners", c, costs, listeners)
		}
	}
}

// The fixture in the shape of the paper's Figure 3: a 2-ary 3-cube of eight
// hosts on two routers. Hosts A B C D hang on router R1, E F G H on R2, by the
// links below; R1-R2 costs 10. Ids are the paper's.
func figure3(t *testing.T) (o *Overlay, id map[string]uint32) {
	t.Helper()
	hosts := []struct {
		name   string
		id     uint32
		router uint32
		link   uint32
	}{
		{"A", 0b010, 8, 1},
		{"B", 0b011, 8, 2},
		{"C", 0b111, 8, 3},
		{"D", 0b110, 8, 4},
		{"E", 0b000, 9, 1},
		{"F", 0b001, 9, 2},
		{"G", 0b101, 9, 3},
		{"H", 0b100, 9, 4},
	}
	edges := []topology.Edge{{U: 8, V: 9, Len: 10}}
	owner := make([]uint32, 8)
	id = map[string]uint32{}
	for i, h := range hosts {
		edges = append(edges, topology.Edge{U: uint32(i), V: h.router, Len: h.link})
		owner[h.id] = uint32(i)
		id[h.name] = h.id
	}
	g, err := topology.New(10, edges, nil)
	if err != nil {
		t.Fatal(err)
	}
	orc, err := oracle.New(g)
	if err != nil {
		t.Fatal(err)
	}
	return &Overlay{cube.Must(2, 3), orc.Attach(owner, nil, 0)}, id
}

func TestFigure3(t *testing.T) {
	o, id := figure3(t)
	for _, c := range []struct {
		a, b string
		want uint32
	}{{"A", "B", 3}, {"A", "E", 12}, {"A", "D", 5}, {"B", "F", 14}, {"C", "G", 16}, {"G", "H", 7}, {"F", "G", 5}} {
		if got := o.Link(id[c.a], id[c.b]); got != c.want {
			t.Errorf("link %s-%s costs %d, want %d", c.a, c.b, got, c.want)
		}
	}
	if h := o.Cube.Distance(id["A"], id["G"]); h != 3 {
		t.Fatalf("A and G are %d hops apart", h)
	}
	cost := make([]uint32, 8)
	// Ordered A-G: 010, 110 (D, 5), 100 (H, 18), 101 (G, 7).
	if o.Ordered(id["A"], cost); cost[id["G"]] != 30 {
		t.Errorf("ordered A-G costs %d, want 30", cost[id["G"]])
	}
	// Greedy A-G: B (3), then C (5) is cheaper than F (14), then G (16).
	if o.Greedy(id["A"], cost); cost[id["G"]] != 24 {
		t.Errorf("greedy A-G costs %d, want 24: the first step is cheap, the last has no choice", cost[id["G"]])
	}
	// Best A-G: E (12), F (3), G (5).
	if o.Best(id["A"], cost); cost[id["G"]] != 20 {
		t.Errorf("best A-G costs %d, want 20", cost[id["G"]])
	}
	if u := o.Points.Dist(id["A"], id["G"]); u != 14 {
		t.Errorf("unicast A-G costs %d, want 14", u)
	}
}

func TestTargets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := draw(t)
		hosts := 0
		for id := range uint32(o.Cube.IDs()) {
			hosts = max(hosts, int(o.Points.Host(id))+1)
		}
		fixed := map[uint32]bool{}
		for _, id := range o.FixedTargets(hosts) {
			fixed[o.Points.Host(id)] = true
		}
		if len(fixed) != hosts {
			t.Fatalf("fixed ids for %d of %d hosts", len(fixed), hosts)
		}
		found := map[uint32]bool{}
		for _, id := range o.Targets(0, hosts) {
			h := o.Points.Host(id)
			if found[h] {
				t.Fatalf("host %d has two targets", h)
			}
			found[h] = true
			for x := range uint32(o.Cube.IDs()) {
				if o.Points.Host(x) == h && o.Cube.Distance(0, x) < o.Cube.Distance(0, id) {
					t.Fatalf("host %d is reached at %d, but %d is nearer", h, id, x)
				}
			}
		}
	})
}
