// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// MaxLookahead bounds the depth: what a host must know grows with degree^depth.
const MaxLookahead = 4

// Links is the cost of every link: Row(id) has Degree costs in the order of
// Cube.Neighbours.
type Links struct {
	degree int
	costs  []uint32
}

// NewLinks measures all links of o, 4·Degree bytes for each id.
func NewLinks(o *Overlay) *Links {
	deg := o.Cube.Degree()
	l := &Links{deg, make([]uint32, o.Cube.IDs()*deg)}
	inParallel(o.Cube.IDs(), func() func(uint32) {
		var around []uint32
		return func(id uint32) {
			around = o.Cube.Neighbours(id, around[:0])
			for i, to := range around {
				l.costs[int(id)*deg+i] = o.Link(id, to)
			}
		}
	})
	return l
}

// Row is the costs of the links of id.
func (l *Links) Row(id uint32) []uint32 { return l.costs[int(id)*l.degree : (int(id)+1)*l.degree] }

// Lookahead costs routes by a host that knows the links of all hosts fewer
// than depth hops away: at each hop it finds the cheapest of all ways to go
// depth hops nearer to the destination (all the way, when that is nearer) and
// takes their first link. Depth 1 is greedy. links is what NewLinks measured.
// cost has Cube.IDs() elements.
//
// What it needs is local: LookaheadState link costs in each host, and each
// host tells its own costs to those fewer than depth hops away when they
// change.
func (o *Overlay) Lookahead(source uint32, depth int, links *Links, cost []uint32) error {
	if depth < 1 || depth > MaxLookahead {
		return fmt.Errorf("routing: lookahead of %d hops; possible are 1 to %d", depth, MaxLookahead)
	}
	inParallel(o.Cube.IDs(), func() func(uint32) {
		w := looker{o: o, links: links, left: make([]int, o.Cube.N)}
		return func(id uint32) { cost[id] = w.route(source, id, depth) }
	})
	return nil
}

// LookaheadState is how many link costs a host keeps for a depth, and to how
// many others it tells its own.
func (o *Overlay) LookaheadState(depth int) (costs, listeners int) {
	// Count ids by distance from 0 with one ring's generating polynomial,
	// n times multiplied.
	byDist := []int{1}
	ring := make([]int, o.Cube.K/2+1)
	for digit := range o.Cube.K {
		ring[min(digit, o.Cube.K-digit)]++
	}
	for range o.Cube.N {
		next := make([]int, min(len(byDist)+len(ring)-1, depth))
		for i, a := range byDist {
			for j, b := range ring {
				if i+j < len(next) {
					next[i+j] += a * b
				}
			}
		}
		byDist = next
	}
	for _, n := range byDist {
		listeners += n
	}
	return listeners * o.Cube.Degree(), listeners - 1
}

type looker struct {
	o     *Overlay
	links *Links
	left  []int // signed steps to go in each dimension
}

func (w *looker) route(at, to uint32, depth int) uint32 {
	c := w.o.Cube
	hops := 0
	for d := range w.left {
		s := c.Digit(to, d) - c.Digit(at, d)
		if s < 0 {
			s += c.K
		}
		if 2*s > c.K {
			s -= c.K
		}
		w.left[d] = s
		hops += max(s, -s)
	}
	sum := uint32(0)
	for ; hops > 0; hops-- {
		_, first := w.look(at, min(depth, hops), math.MaxUint32)
		d, up := first/2, first%2 == 0
		sum += w.link(at, d, up)
		w.move(d, up)
		at = c.Step(at, d, up)
	}
	return sum
}

// move takes one step off what is left; half a ring may be left by either way.
func (w *looker) move(d int, up bool) {
	switch s := w.left[d]; {
	case up && s < 0: // half a ring, counted as down
		w.left[d] = -s - 1
	case !up && s > 0: // half a ring, counted as up
		w.left[d] = -s + 1
	case up:
		w.left[d]--
	default:
		w.left[d]++
	}
}

func (w *looker) link(id uint32, d int, up bool) uint32 {
	if w.o.Cube.K == 2 {
		return w.links.Row(id)[d]
	}
	i := 2 * d
	if !up {
		i++
	}
	return w.links.Row(id)[i]
}

// look finds the cheapest way of depth hops from id that costs less than
// bound; first is its first link, 2·dimension and +1 if down.
func (w *looker) look(id uint32, depth int, bound uint32) (best uint32, first int) {
	c := w.o.Cube
	best, first = bound, -1
	for d := len(w.left) - 1; d >= 0; d-- { // ties as in Greedy
		s := w.left[d]
		if s == 0 {
			continue
		}
		half := c.K > 2 && 2*max(s, -s) == c.K
		for _, up := range [2]bool{true, false} {
			if up != (s > 0) && !half {
				continue
			}
			l := w.link(id, d, up)
			if l >= best {
				continue
			}
			if depth > 1 {
				w.move(d, up)
				rest, way := w.look(c.Step(id, d, up), depth-1, best-l)
				w.left[d] = s
				if way < 0 {
					continue
				}
				l += rest
			}
			best, first = l, 2*d
			if !up {
				first++
			}
		}
	}
	return best, first
}

// inParallel runs job for ids 0..n-1 on all processors; start makes one job
// function for each worker. Jobs write to places of their own only, so results
// do not depend on the number of workers.
func inParallel(n int, start func() func(id uint32)) {
	const run = 2048
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (n+run-1)/run) {
		wg.Go(func() {
			job := start()
			for {
				end := int(next.Add(run))
				for id := end - run; id < min(end, n); id++ {
					job(uint32(id))
				}
				if end >= n {
					return
				}
			}
		})
	}
	wg.Wait()
}
