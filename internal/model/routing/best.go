// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"math"
	"math/bits"
)

// settled marks an id whose route is final; no link costs as much.
const settled = math.MaxUint32

// Best costs the cheapest routes over the links of the cube, longer ways in
// hops allowed: the lower bound for any routing on this placement of ids. The
// first copy of a message that is flooded over the cube arrives this way. The
// result is the cost of the tree of these routes.
func (o *Overlay) Best(source uint32, cost []uint32) (total uint64) {
	from := make([]uint32, len(cost)) // cost of the last link, so far
	for i := range cost {
		cost[i] = math.MaxUint32
	}
	cost[source] = 0
	var q radixQueue
	q.push(0, source)
	var around []uint32
	for {
		d, id, ok := q.pop()
		if !ok {
			return total
		}
		if d != cost[id] || from[id] == settled {
			continue
		}
		total += uint64(from[id])
		from[id] = settled
		around = o.Cube.Neighbours(id, around[:0])
		for _, to := range around {
			// A neighbour already nearer than this id needs no look at the link.
			if cost[to] <= d {
				continue
			}
			l := o.Link(id, to)
			if t := d + l; t < cost[to] {
				cost[to], from[to] = t, l
				q.push(t, to)
			}
		}
	}
}

// radixQueue is a monotone priority queue: a pushed key is never below the
// last popped one. Equal keys come in no particular order.
type radixQueue struct {
	last    uint32
	size    int
	buckets [33][]queued
}

type queued struct{ key, id uint32 }

func (q *radixQueue) push(key, id uint32) {
	b := bits.Len32(key ^ q.last)
	q.buckets[b] = append(q.buckets[b], queued{key, id})
	q.size++
}

func (q *radixQueue) pop() (key, id uint32, ok bool) {
	if q.size == 0 {
		return 0, 0, false
	}
	if len(q.buckets[0]) == 0 {
		b := 1
		for len(q.buckets[b]) == 0 {
			b++
		}
		least := uint32(math.MaxUint32)
		for _, e := range q.buckets[b] {
			least = min(least, e.key)
		}
		q.last = least
		moved := q.buckets[b]
		q.buckets[b] = moved[:0]
		for _, e := range moved {
			to := bits.Len32(e.key ^ least)
			q.buckets[to] = append(q.buckets[to], e)
		}
	}
	n := len(q.buckets[0]) - 1
	e := q.buckets[0][n]
	q.buckets[0] = q.buckets[0][:n]
	q.size--
	return e.key, e.id, true
}

// BestShortest costs the cheapest of the routes that shorten the way at every
// hop: the bound for routings of the paper's kind.
func (o *Overlay) BestShortest(source uint32, cost []uint32) {
	c := o.Cube
	layers := make([][]uint32, c.Diameter()+1)
	for id := range uint32(c.IDs()) {
		h := c.Distance(source, id)
		layers[h] = append(layers[h], id)
		cost[id] = math.MaxUint32
	}
	cost[source] = 0
	var around []uint32
	for h := 1; h < len(layers); h++ {
		for _, id := range layers[h] {
			around = c.Neighbours(id, around[:0])
			for _, from := range around {
				if c.Distance(source, from) == h-1 {
					cost[id] = min(cost[id], cost[from]+o.Link(from, id))
				}
			}
		}
	}
}
