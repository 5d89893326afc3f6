// SPDX-License-Identifier: Apache-2.0

package routing

import "math/bits"

// Ordered costs the routes that correct the highest dimension first, then the
// next, and so on: cost[id] becomes the cost of the route from source to id.
// (Any order would do; with this one the walk goes through memory in runs.)
// Half a ring is crossed upwards. cost has Cube.IDs() elements. The result is the cost of the
// tree: the sum over its links.
func (o *Overlay) Ordered(source uint32, cost []uint32) uint64 {
	return o.tree(source, cost, nil, false)
}

// Greedy costs the routes that take, at each hop, the cheapest link of those
// that shorten the way; of equal ones that of the highest dimension, and
// upwards before downwards. The result is the cost of the tree.
func (o *Overlay) Greedy(source uint32, cost []uint32) uint64 { return o.tree(source, cost, nil, true) }

// GreedyTree is Greedy, and sets parent[id] to the id before id on its route
// (source for source itself).
func (o *Overlay) GreedyTree(source uint32, cost, parent []uint32) uint64 {
	parent[source] = source
	return o.tree(source, cost, parent, true)
}

func (o *Overlay) tree(source uint32, cost, parent []uint32, greedy bool) uint64 {
	if o.Cube.K == 2 {
		w := binaryWalk{o: o, cost: cost, parent: parent, greedy: greedy}
		w.visit(source, uint32(o.Cube.IDs()-1), 0)
		return w.total
	}
	w := ringWalk{o: o, cost: cost, parent: parent, greedy: greedy}
	up := make([]uint32, 2*o.Cube.N)
	for i := range up {
		up[i] = uint32(o.Cube.K / 2)
	}
	w.visit(source, up, 0)
	return w.total
}

// binaryWalk walks the tree of a 2-ary cube. A visit to id with a mask serves
// the destinations that differ from id in dimensions of the mask only.
type binaryWalk struct {
	o      *Overlay
	cost   []uint32
	parent []uint32 // nil when not wanted
	greedy bool
	total  uint64
}

func (w *binaryWalk) visit(id, mask, sum uint32) {
	w.cost[id] = sum
	switch {
	case mask == 0:
		return
	case mask&(mask-1) == 0:
		l := w.o.Link(id, id^mask)
		w.cost[id^mask] = sum + l
		w.total += uint64(l)
		if w.parent != nil {
			w.parent[id^mask] = id
		}
		return
	}
	// Links as cost and dimension.
	var links [32]uint64
	n := 0
	for rest := mask; rest != 0; {
		d := 31 - bits.LeadingZeros32(rest)
		bit := uint32(1) << d
		rest ^= bit
		// The key holds the cost above and the dimension below, the higher the
		// less: sorting it breaks ties by dimension.
		key := uint64(w.o.Link(id, id^bit))<<32 | uint64(31-d)
		i := n
		for ; w.greedy && i > 0 && links[i-1] > key; i-- {
			links[i] = links[i-1]
		}
		links[i] = key
		n++
	}
	for _, l := range links[:n] {
		bit := uint32(1) << (31 - l&31)
		mask &^= bit
		w.total += l >> 32
		if w.parent != nil {
			w.parent[id^bit] = id
		}
		w.visit(id^bit, mask, sum+uint32(l>>32))
	}
}

// ringWalk walks the tree of a cube with k > 2. left holds, for each
// dimension d, how many steps down (left[2d]) and up (left[2d+1]) the
// destinations served by a visit are away at most. With even k the farthest
// destination is the same both ways and belongs to the link used first.
type ringWalk struct {
	o      *Overlay
	cost   []uint32
	parent []uint32 // nil when not wanted
	greedy bool
	total  uint64
	arena  []uint32 // memory for left and links of the visits under way
}

func (w *ringWalk) alloc(n int) []uint32 {
	if len(w.arena)+n > cap(w.arena) {
		// The old block stays alive through the visits that use it.
		w.arena = make([]uint32, 0, max(4096, n))
	}
	end := len(w.arena)
	w.arena = w.arena[:end+n]
	return w.arena[end : end+n : end+n]
}

func (w *ringWalk) visit(id uint32, left []uint32, sum uint32) {
	w.cost[id] = sum
	c := w.o.Cube
	var buf [16]uint64
	links := buf[:0]
	for i := len(left) - 1; i >= 0; i-- {
		if left[i] == 0 {
			continue
		}
		to := c.Step(id, i/2, i%2 == 1)
		key := uint64(w.o.Link(id, to))<<32 | uint64(len(left)-1-i)
		links = append(links, key)
		for j := len(links) - 1; w.greedy && j > 0 && links[j-1] > key; j-- {
			links[j], links[j-1] = links[j-1], links[j]
		}
	}
	if len(links) == 0 {
		return
	}
	arena := w.arena
	child := w.alloc(len(left))
	for _, l := range links {
		i := len(left) - 1 - int(l&0xffffffff)
		if left[i] == 0 {
			continue // its only destination went the other way round
		}
		copy(child, left)
		child[i]--
		child[i^1] = 0
		if left[i] == left[i^1] && 2*left[i] == uint32(c.K) {
			left[i^1]--
		}
		left[i] = 0
		w.total += l >> 32
		to := c.Step(id, i/2, i%2 == 1)
		if w.parent != nil {
			w.parent[to] = id
		}
		w.visit(to, child, sum+uint32(l>>32))
	}
	w.arena = arena
}
