// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"math"
	"math/bits"
)

// Unreached is the distance of a node that cannot be reached.
const Unreached = math.MaxUint32

// Dijkstra computes shortest paths from one source after another, reusing its
// memory. Lengths are small integers, so the queue is a radix heap: an entry
// goes to the bucket of the highest bit in which its distance differs from the
// last one taken out; each entry moves to lower buckets at most 32 times, and
// in practice once or twice. Not for concurrent use.
type Dijkstra struct {
	g       *Graph
	Dist    []uint32 // of the last Run; Unreached where there is no path
	buckets [33][]entry
}

type entry struct{ dist, node uint32 }

// NewDijkstra prepares shortest paths on g.
func NewDijkstra(g *Graph) *Dijkstra {
	return &Dijkstra{g: g, Dist: make([]uint32, g.Nodes())}
}

// Run computes the distances from source to all nodes into d.Dist and returns
// them; the next Run overwrites them.
func (d *Dijkstra) Run(source uint32) []uint32 {
	for i := range d.Dist {
		d.Dist[i] = Unreached
	}
	d.Dist[source] = 0
	d.buckets[0] = append(d.buckets[0][:0], entry{0, source})
	last, queued := uint32(0), 1
	for queued > 0 {
		if len(d.buckets[0]) == 0 {
			last = d.redistribute()
		}
		zero := d.buckets[0]
		queued -= len(zero)
		// Lengths are at least 1, so no entry joins bucket 0 meanwhile.
		d.buckets[0] = zero[:0]
		for _, e := range zero {
			if e.dist != d.Dist[e.node] {
				continue // a shorter way was found since
			}
			for _, a := range d.g.Row(e.node) {
				if t := e.dist + a.Len; t < d.Dist[a.To] {
					d.Dist[a.To] = t
					b := bits.Len32(t ^ last)
					d.buckets[b] = append(d.buckets[b], entry{t, a.To})
					queued++
				}
			}
		}
	}
	return d.Dist
}

// redistribute empties the first non-empty bucket into lower ones and returns
// the least distance, whose entries are then in bucket 0.
func (d *Dijkstra) redistribute() uint32 {
	i := 1
	for len(d.buckets[i]) == 0 {
		i++
	}
	least := uint32(math.MaxUint32)
	for _, e := range d.buckets[i] {
		least = min(least, e.dist)
	}
	for _, e := range d.buckets[i] {
		b := bits.Len32(e.dist ^ least)
		d.buckets[b] = append(d.buckets[b], e)
	}
	d.buckets[i] = d.buckets[i][:0]
	return least
}

// Hops computes the hop distance from source to all nodes (breadth first)
// into dst, which has one element for each node.
func (g *Graph) Hops(source uint32, dst []uint32) {
	for i := range dst {
		dst[i] = Unreached
	}
	dst[source] = 0
	queue := []uint32{source}
	for len(queue) > 0 {
		u := queue[0]
		queue = queue[1:]
		for _, a := range g.Row(u) {
			if dst[a.To] == Unreached {
				dst[a.To] = dst[u] + 1
				queue = append(queue, a.To)
			}
		}
	}
}
