// SPDX-License-Identifier: Apache-2.0

// Package oracle answers "how long is the shortest path between u and v" on a
// physical graph, exactly, many millions of times.
//
// A domain that hangs on the rest of the graph by one edge (a pendant cell: in
// a transit-stub graph without extra edges, every stub) is left and entered
// through that edge only. Inside it a table of all pairs answers; between
// cells the distance is the way out, the distance between the two attachment
// nodes, and the way in: three array reads. What is not pendant is the core.
// Its distances come from a full matrix while that is small, else from pruned
// hub labels (Akiba, Iwata, Yoshida: Fast exact shortest-path distance queries
// on large networks by pruned landmark labeling, SIGMOD 2013), which are exact
// on every graph.
package oracle

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"sandstream/internal/model/bigmem"
	"sandstream/internal/model/topology"
)

// MatrixLimit is the largest core for which a full matrix is kept: 8,192
// nodes take 256 MB.
const MatrixLimit = 8192

// none marks a node without a cell.
const none = ^uint32(0)

// place locates a node: the core node through which it is reached, the way
// there, and for a node in a pendant cell the cell and the index within.
type place struct {
	core, access uint32
	cell, local  uint32
}

// Oracle knows all distances of one graph. It is safe for concurrent use.
type Oracle struct {
	places []place
	cells  []cell
	tables []uint32 // of all cells, one after the other
	core   core
	nodes  int
}

// cell is a pendant domain: its table has size*size entries from offset.
type cell struct {
	offset uint64
	size   uint32
}

// core is the exact distance between core nodes.
type core interface {
	dist(a, b uint32) uint32
}

// New prepares the distances of g, which must be connected.
func New(g *topology.Graph) (*Oracle, error) { return build(g, MatrixLimit) }

func build(g *topology.Graph, matrixLimit int) (*Oracle, error) {
	o := &Oracle{places: bigmem.Make[place](g.Nodes()), nodes: g.Nodes()}
	gates := o.findCells(g)
	o.fillCells(g, gates)
	coreGraph, err := o.split(g, gates)
	if err != nil {
		return nil, err
	}
	if coreGraph.Nodes() <= matrixLimit {
		o.core = newMatrix(coreGraph)
	} else {
		o.core = newLabels(coreGraph)
	}
	return o, nil
}

// Nodes is the number of nodes.
func (o *Oracle) Nodes() int { return o.nodes }

// Kind says what answers: how many pendant cells, how large the core and how
// its distances are kept.
func (o *Oracle) Kind() string {
	switch c := o.core.(type) {
	case *matrix:
		return fmt.Sprintf("%d pendant cells, core of %d nodes as a matrix", len(o.cells), c.n)
	case *labels:
		return fmt.Sprintf("%d pendant cells, core of %d nodes with %.1f hub labels each", len(o.cells), len(c.off)-1, c.mean())
	}
	return "unknown"
}

// Dist is the length of the shortest path between nodes u and v.
func (o *Oracle) Dist(u, v uint32) uint32 {
	p, q := &o.places[u], &o.places[v]
	switch {
	case p.cell == q.cell && p.cell != none:
		return o.within(p.cell, p.local, q.local)
	case p.core != q.core:
		return p.access + q.access + o.core.dist(p.core, q.core)
	default:
		return p.access + q.access
	}
}

// within is the distance between two nodes of one cell.
func (o *Oracle) within(cell, a, b uint32) uint32 {
	c := &o.cells[cell]
	return o.tables[c.offset+uint64(a)*uint64(c.size)+uint64(b)]
}

// gate is the one edge that joins a pendant cell to the rest.
type gate struct{ inside, outside, length uint32 }

// findCells numbers the domains that have exactly one edge to the outside, and
// that to a node which is in no such domain itself.
func (o *Oracle) findCells(g *topology.Graph) []gate {
	for i := range o.places {
		o.places[i].cell = none
	}
	if len(g.Domains) < 2 {
		return nil
	}
	var gates []gate
	candidates := make([]int, 0, len(g.Domains))
	for i, d := range g.Domains {
		exits, found := 0, gate{}
		for u := d.First; u <= d.Last; u++ {
			for _, a := range g.Row(u) {
				if a.To < d.First || a.To > d.Last {
					exits++
					found = gate{u, a.To, a.Len}
				}
			}
		}
		if exits == 1 && d.Kind == topology.Stub {
			candidates = append(candidates, i)
			gates = append(gates, found)
		}
	}
	kept := gates[:0]
	pendant := make([]bool, g.Nodes())
	for _, i := range candidates {
		d := g.Domains[i]
		for u := d.First; u <= d.Last; u++ {
			pendant[u] = true
		}
	}
	for k, i := range candidates {
		if pendant[gates[k].outside] {
			continue // two domains hanging on each other stay in the core
		}
		d := g.Domains[i]
		for u := d.First; u <= d.Last; u++ {
			o.places[u].cell, o.places[u].local = uint32(len(o.cells)), u-d.First
		}
		size := uint32(d.Size())
		offset := uint64(0)
		if n := len(o.cells); n > 0 {
			offset = o.cells[n-1].offset + uint64(o.cells[n-1].size)*uint64(o.cells[n-1].size)
		}
		o.cells = append(o.cells, cell{offset, size})
		kept = append(kept, gates[k])
	}
	return kept
}

// fillCells computes the tables of all pairs inside each cell, in parallel.
// With Floyd and Warshall's three loops: cells are small and dense, and no
// queue beats that there; large sparse ones get a search from each node.
func (o *Oracle) fillCells(g *topology.Graph, gates []gate) {
	if len(o.cells) == 0 {
		return
	}
	last := o.cells[len(o.cells)-1]
	o.tables = bigmem.Make[uint32](int(last.offset + uint64(last.size)*uint64(last.size)))
	parallel(len(o.cells), 64, func() func(int) {
		return func(i int) {
			c := o.cells[i]
			first := gates[i].inside - o.places[gates[i].inside].local
			t := o.tables[c.offset : c.offset+uint64(c.size)*uint64(c.size)]
			if c.size <= 64 {
				floyd(g, first, c.size, t)
			} else {
				search(g, first, c.size, t)
			}
		}
	})
}

// floyd fills t with all distances among nodes first..first+n-1.
func floyd(g *topology.Graph, first, n uint32, t []uint32) {
	const far = topology.Unreached / 2 // two of them still fit
	for i := range t {
		t[i] = far
	}
	for i := range n {
		t[i*n+i] = 0
		for _, a := range g.Row(first + i) {
			if j := a.To - first; j < n {
				t[i*n+j] = a.Len
			}
		}
	}
	for k := range n {
		rk := t[k*n : k*n+n]
		for i := range n {
			ri := t[i*n : i*n+n]
			d := ri[k]
			for j, x := range rk {
				if y := d + x; y < ri[j] {
					ri[j] = y
				}
			}
		}
	}
}

// search fills t as floyd does, by a search from each node.
func search(g *topology.Graph, first, n uint32, t []uint32) {
	var edges []topology.Edge
	for i := range n {
		for _, a := range g.Row(first + i) {
			if j := a.To - first; j < n && i < j {
				edges = append(edges, topology.Edge{U: i, V: j, Len: a.Len})
			}
		}
	}
	inner, err := topology.New(int(n), edges, nil)
	if err != nil {
		panic("oracle: a part of a valid graph is not valid: " + err.Error())
	}
	d := topology.NewDijkstra(inner)
	for i := range n {
		copy(t[i*n:], d.Run(i))
	}
}

// split numbers the core nodes, sets the way of every other node to them, and
// returns the core as a graph of its own.
func (o *Oracle) split(g *topology.Graph, gates []gate) (*topology.Graph, error) {
	number := uint32(0)
	for u := range o.places {
		if p := &o.places[u]; p.cell == none {
			p.core = number
			number++
		}
	}
	for u := range o.places {
		p := &o.places[u]
		if p.cell == none {
			continue
		}
		gt, c := gates[p.cell], o.cells[p.cell]
		inside := o.places[gt.inside].local
		p.core = o.places[gt.outside].core
		p.access = gt.length + o.tables[c.offset+uint64(p.local)*uint64(c.size)+uint64(inside)]
	}
	var edges []topology.Edge
	for u := range uint32(g.Nodes()) {
		if o.places[u].cell != none {
			continue
		}
		for _, a := range g.Row(u) {
			if a.To > u && o.places[a.To].cell == none {
				edges = append(edges, topology.Edge{U: o.places[u].core, V: o.places[a.To].core, Len: a.Len})
			}
		}
	}
	return topology.New(int(number), edges, nil)
}

// matrix keeps all distances of a small core.
type matrix struct {
	n uint64
	d []uint32
}

func newMatrix(g *topology.Graph) *matrix {
	n := g.Nodes()
	m := &matrix{n: uint64(n), d: bigmem.Make[uint32](n * n)}
	parallel(n, 8, func() func(int) {
		d := topology.NewDijkstra(g)
		return func(u int) { copy(m.d[u*n:], d.Run(uint32(u))) }
	})
	return m
}

func (m *matrix) dist(a, b uint32) uint32 { return m.d[uint64(a)*m.n+uint64(b)] }

// parallel runs job(0..n-1) on all processors, run indices at a time; each
// worker has a job function of its own from start.
func parallel(n, run int, start func() func(int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), (n+run-1)/run)
	for range workers {
		wg.Go(func() {
			job := start()
			for {
				end := int(next.Add(int64(run)))
				for i := end - run; i < min(end, n); i++ {
					job(i)
				}
				if end >= n {
					return
				}
			}
		})
	}
	wg.Wait()
}
