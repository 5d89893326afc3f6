// SPDX-License-Identifier: Apache-2.0

package routing

import "math/bits"

// Random costs routes that correct, at each hop, a random one of the
// dimensions that still differ, each route by itself. Half a ring is crossed
// in a random direction. The choices depend on seed, source and destination
// only. cost has Cube.IDs() elements.
func (o *Overlay) Random(source uint32, seed uint64, cost []uint32) {
	if o.Cube.K == 2 {
		for id := range cost {
			cost[id] = o.randomBinary(source, uint32(id), newDice(seed, source, uint32(id)))
		}
		return
	}
	left := make([]int, o.Cube.N)
	for id := range cost {
		cost[id] = o.randomRing(source, uint32(id), newDice(seed, source, uint32(id)), left)
	}
}

func (o *Overlay) randomBinary(at, to uint32, dice dice) uint32 {
	sum := uint32(0)
	for rest := at ^ to; rest != 0; {
		bit := nthBit(rest, dice.below(uint32(bits.OnesCount32(rest))))
		sum += o.Link(at, at^bit)
		at ^= bit
		rest ^= bit
	}
	return sum
}

// nthBit is the n-th set bit of x, counted from 0 at the low end.
func nthBit(x, n uint32) uint32 {
	for range n {
		x &= x - 1
	}
	return x & -x
}

func (o *Overlay) randomRing(at, to uint32, dice dice, left []int) uint32 {
	c := o.Cube
	open, sum := uint32(0), uint32(0)
	for d := range left {
		s := c.Digit(to, d) - c.Digit(at, d)
		if s < 0 {
			s += c.K
		}
		switch {
		case 2*s > c.K || 2*s == c.K && dice.below(2) == 1:
			s -= c.K // the short way is down
		}
		left[d] = s
		if s != 0 {
			open++
		}
	}
	for open > 0 {
		n := dice.below(open)
		for d, s := range left {
			if s == 0 {
				continue
			}
			if n > 0 {
				n--
				continue
			}
			next := c.Step(at, d, s > 0)
			sum += o.Link(at, next)
			at = next
			if s > 0 {
				left[d]--
			} else {
				left[d]++
			}
			if left[d] == 0 {
				open--
			}
			break
		}
	}
	return sum
}

// dice is SplitMix64 (Steele, Lea, Flood 2014): a generator of one word, cheap
// enough to have one for each route, so that results do not depend on the
// order in which routes are computed.
type dice struct{ x uint64 }

func newDice(seed uint64, source, id uint32) dice {
	d := dice{seed ^ uint64(source)*0x9e3779b97f4a7c15}
	d.x ^= d.next() ^ uint64(id)*0xbf58476d1ce4e5b9
	d.next()
	return d
}

func (d *dice) next() uint64 {
	d.x += 0x9e3779b97f4a7c15
	z := d.x
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below is uniform in 0..n-1 up to a bias of n/2^32.
func (d *dice) below(n uint32) uint32 {
	return uint32(d.next() >> 32 * uint64(n) >> 32)
}
