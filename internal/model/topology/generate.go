// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
)

// Streams of randomness: every domain has its own, so that the graph does not
// depend on how many threads draw it.
const (
	streamShape = iota
	streamTop
	streamExtra
	streamTransit       // + domain
	streamStub    = 1e9 // + stub
)

func stream(seed uint64, n uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 0x746f706f_00000000+n))
}

type point struct{ x, y int32 }

// dist is the rounded Euclidean distance, at least 1: two nodes in one place
// still have a wire between them.
func dist(a, b point) uint32 {
	return max(1, uint32(math.Round(math.Hypot(float64(a.x-b.x), float64(a.y-b.y)))))
}

// domainSpread is fitted to the published mean length of edges between transit
// domains, 388 ± 42; the published shortest length, which was not used for the
// fit, then agrees as well, mean and spread.
const domainSpread = 0.68

// maxDraws bounds the search for a connected domain.
const maxDraws = 10000

// Generate draws a transit-stub graph: nodes 0..T·Nt-1 are the transit nodes,
// domain by domain, then come the stubs. The same seed gives the same graph
// whatever the number of threads.
//
// Geometry: on a plane of side √(80·N), the planes of transit domains have half
// that side and begin at random points of a square of domainSpread sides; a
// stub's plane has the side of stubSide and is laid so that a random point of
// it falls on the stub's transit node. With these rules all published
// statistics come out ('experiments topology --topology published').
func Generate(p Params, seed uint64) (*Graph, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	b := builder{p: p, seed: seed}
	b.shape()
	if err := b.transits(); err != nil {
		return nil, err
	}
	if err := b.stubs(); err != nil {
		return nil, err
	}
	b.extra()
	n := p.Nodes()
	g, err := New(n, b.edges, b.domains)
	if err != nil {
		return nil, err
	}
	return g, nil
}

type builder struct {
	p        Params
	seed     uint64
	edges    []Edge
	domains  []Domain
	transitN int
	firsts   []uint32 // first node of each stub, and the end
	parent   []uint32 // transit node of each stub
	place    []point  // of transit nodes
}

// shape draws the sizes of all domains.
func (b *builder) shape() {
	rng, p := stream(b.seed, streamShape), b.p
	b.transitN = p.T * p.Nt
	next := uint32(0)
	for _, size := range spread(rng, p.T, p.Nt) {
		b.domains = append(b.domains, Domain{next, next + uint32(size) - 1, Transit})
		next += uint32(size)
	}
	if p.K == 0 {
		b.firsts = []uint32{next}
		return
	}
	stubs := b.transitN * p.K
	b.parent = make([]uint32, 0, stubs)
	for node, k := range spread(rng, b.transitN, p.K) {
		for range k {
			b.parent = append(b.parent, uint32(node))
		}
	}
	b.firsts = make([]uint32, 0, stubs+1)
	b.domains = slices.Grow(b.domains, stubs)
	for _, size := range spread(rng, stubs, p.Ns) {
		b.firsts = append(b.firsts, next)
		b.domains = append(b.domains, Domain{next, next + uint32(size) - 1, Stub})
		next += uint32(size)
	}
	b.firsts = append(b.firsts, next)
}

// spread gives cells numbers with exactly the mean: all begin there; then,
// three times as often as there are cells, one unit moves from a random cell
// (never below 1) to another.
func spread(rng *rand.Rand, cells, mean int) []int {
	size := make([]int, cells)
	for i := range size {
		size[i] = mean
	}
	if cells < 2 {
		return size
	}
	for range 3 * cells {
		from := rng.IntN(cells)
		to := rng.IntN(cells - 1)
		if to >= from {
			to++
		}
		if size[from] > 1 {
			size[from]--
			size[to]++
		}
	}
	return size
}

func (b *builder) transits() error {
	side := math.Sqrt(80 * float64(b.p.Nodes()))
	half := side / 2
	top := stream(b.seed, streamTop)
	b.place = make([]point, b.transitN)
	for i, d := range b.domains[:b.p.T] {
		rng := stream(b.seed, streamTransit+uint64(i))
		ox, oy := domainSpread*side*top.Float64(), domainSpread*side*top.Float64()
		for u := d.First; u <= d.Last; u++ {
			b.place[u] = point{int32(ox + half*rng.Float64()), int32(oy + half*rng.Float64())}
		}
		pairs, err := connected(rng, d.Size(), b.p.PTransit, nil)
		if err != nil {
			return fmt.Errorf("topology: transit domain %d: %w (raise transit=)", i, err)
		}
		for _, e := range pairs {
			b.transitEdge(d.First+uint32(e[0]), d.First+uint32(e[1]))
		}
	}
	pairs, err := connected(top, b.p.T, b.p.PTop, nil)
	if err != nil {
		return fmt.Errorf("topology: the transit domains: %w (raise top=)", err)
	}
	for _, e := range pairs {
		for range 2 {
			b.transitEdge(pick(top, b.domains[e[0]]), pick(top, b.domains[e[1]]))
		}
	}
	return nil
}

func pick(rng *rand.Rand, d Domain) uint32 { return d.First + rng.Uint32N(uint32(d.Size())) }

func (b *builder) transitEdge(u, v uint32) {
	b.edges = append(b.edges, Edge{u, v, dist(b.place[u], b.place[v])})
}

// stubSide is the side of a stub's plane.
func (p Params) stubSide() float64 {
	return math.Sqrt(16 * float64(p.Ns+3*(p.K+3*(p.Nt+3*p.T))))
}

// stubs draws the stub domains, each with one edge to its transit node, in
// parallel: a worker takes a run of stubs, and the runs are joined in order.
func (b *builder) stubs() error {
	const run = 256
	n := len(b.firsts) - 1
	parts := make([][]Edge, (n+run-1)/run)
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	work := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			w := stubWorker{b: b, side: b.p.stubSide()}
			for i := range work {
				w.edges = nil
				for s := i * run; s < min(n, (i+1)*run) && errs[i] == nil; s++ {
					errs[i] = w.draw(s)
				}
				parts[i] = w.edges
			}
		})
	}
	for i := range parts {
		work <- i
	}
	close(work)
	wg.Wait()
	total := len(b.edges)
	for i, part := range parts {
		if errs[i] != nil {
			return errs[i]
		}
		total += len(part)
	}
	b.edges = slices.Grow(b.edges, total-len(b.edges)+b.p.ExtraSS+b.p.ExtraTS)
	for i, part := range parts {
		b.edges = append(b.edges, part...)
		parts[i] = nil
	}
	return nil
}

type stubWorker struct {
	b     *builder
	side  float64
	edges []Edge
	pairs [][2]uint16
	at    []point
}

func (w *stubWorker) draw(s int) (err error) {
	rng := stream(w.b.seed, streamStub+uint64(s))
	first, size := w.b.firsts[s], int(w.b.firsts[s+1]-w.b.firsts[s])
	w.at = w.at[:0]
	for range size {
		w.at = append(w.at, point{int32(w.side * rng.Float64()), int32(w.side * rng.Float64())})
	}
	if w.pairs, err = connected(rng, size, w.b.p.PStub, w.pairs); err != nil {
		return fmt.Errorf("topology: stub %d: %w (raise stub=)", s, err)
	}
	for _, e := range w.pairs {
		w.edges = append(w.edges, Edge{first + uint32(e[0]), first + uint32(e[1]), dist(w.at[e[0]], w.at[e[1]])})
	}
	// A random point of the stub's plane lies on its transit node.
	parent := point{int32(w.side * rng.Float64()), int32(w.side * rng.Float64())}
	gate := rng.IntN(size)
	w.edges = append(w.edges, Edge{w.b.parent[s], first + uint32(gate), dist(parent, w.at[gate])})
	return nil
}

// extra adds the optional edges; their length is drawn as that of a regular
// transit-stub edge, since stubs have no common plane. A pair that is drawn
// twice is one edge.
func (b *builder) extra() {
	rng, stubs := stream(b.seed, streamExtra), b.domains[b.p.T:]
	side := b.p.stubSide()
	length := func() uint32 {
		at := func() point { return point{int32(side * rng.Float64()), int32(side * rng.Float64())} }
		return dist(at(), at())
	}
	for range b.p.ExtraTS {
		u := pick(rng, stubs[rng.IntN(len(stubs))])
		b.edges = append(b.edges, Edge{uint32(rng.IntN(b.transitN)), u, length()})
	}
	for range b.p.ExtraSS {
		if len(stubs) < 2 {
			break
		}
		s, t := rng.IntN(len(stubs)), rng.IntN(len(stubs)-1)
		if t >= s {
			t++
		}
		b.edges = append(b.edges, Edge{pick(rng, stubs[s]), pick(rng, stubs[t]), length()})
	}
}

// connected draws edges among n nodes, each pair with probability p, again
// and again until the nodes are connected. buf is reused.
func connected(rng *rand.Rand, n int, p float64, buf [][2]uint16) ([][2]uint16, error) {
	if n > math.MaxUint16 {
		return nil, fmt.Errorf("%d nodes in one domain; possible are at most %d", n, math.MaxUint16)
	}
	limit := uint64(p * (1 << 53))
	root := make([]uint16, n)
	find := func(i uint16) uint16 {
		for root[i] != i {
			root[i] = root[root[i]]
			i = root[i]
		}
		return i
	}
	for range maxDraws {
		buf = buf[:0]
		for i := range root {
			root[i] = uint16(i)
		}
		parts := n
		for i := range n {
			for j := i + 1; j < n; j++ {
				if rng.Uint64()>>11 >= limit {
					continue
				}
				buf = append(buf, [2]uint16{uint16(i), uint16(j)})
				if a, b := find(uint16(i)), find(uint16(j)); a != b {
					root[a] = b
					parts--
				}
			}
		}
		if parts <= 1 {
			return buf, nil
		}
	}
	return nil, fmt.Errorf("%d nodes with edge probability %g were unconnected in %d draws", n, p, maxDraws)
}
