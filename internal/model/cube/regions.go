// SPDX-License-Identifier: Apache-2.0

package cube

import (
	"fmt"
	"math/big"
	"math/bits"
)

// Rule chooses a cube for a number of hosts.
type Rule int

const (
	// Authors is the procedure behind the paper's M-regions, and the default:
	// among the cubes whose A is no larger than that of the smallest hypercube
	// holding m, the one with the most ids. Its regions end at powers of two,
	// so it changes (k, n) seldom, and the choice has room for growth: a host
	// usually owns several ids.
	Authors Rule = iota
	// Strict minimises A subject to M >= m, the definition taken literally; of
	// equals the one with the most ids.
	Strict
)

// String names the rule as the tables do.
func (r Rule) String() string {
	if r == Strict {
		return "strict"
	}
	return "authors"
}

// Choose is the cube for m hosts, m >= 1. It fails when the choice would need
// more than MaxIDs ids.
func (r Rule) Choose(m int) (Cube, error) {
	if m < 1 {
		return Cube{}, fmt.Errorf("%w: %d hosts; the least is 1", ErrImpossible, m)
	}
	n := max(1, bits.Len(uint(m-1)))
	if n > 31 {
		return Cube{}, fmt.Errorf("%w: %d hosts; possible are at most %d", ErrImpossible, m, MaxIDs)
	}
	// The smallest hypercube that holds m bounds A in both rules: the strict
	// optimum is at least as good.
	bound := meanHops(2, n)
	bestK, bestN := 2, n
	bestM := pow64(2, n)
	bestA := bound
	for n := 1; n <= 64; n++ {
		for k := 2; meanHops(k, n).Cmp(bound) <= 0; k++ {
			ids, a := pow64(k, n), meanHops(k, n)
			if ids < uint64(m) {
				continue
			}
			better := ids > bestM
			if r == Strict {
				c := a.Cmp(bestA)
				better = c < 0 || c == 0 && ids > bestM
			}
			if better {
				bestK, bestN, bestM, bestA = k, n, ids, a
			}
		}
	}
	return New(bestK, bestN)
}

// pow64 is k^n, saturating.
func pow64(k, n int) uint64 {
	p := uint64(1)
	for range n {
		hi, lo := bits.Mul64(p, uint64(k))
		if hi != 0 {
			return 1<<64 - 1
		}
		p = lo
	}
	return p
}

// Region is a range of host counts for which one cube is the choice.
type Region struct {
	First, Last int
	Cube        Cube
	MeanHops    *big.Rat
}

// Regions lists the M-regions of hosts from..to, both included; the last ends
// at to even if the region goes on.
func (r Rule) Regions(from, to int) ([]Region, error) {
	var list []Region
	for m := from; m <= to; {
		c, err := r.Choose(m)
		if err != nil {
			return list, err
		}
		last := r.end(m, to, c)
		list = append(list, Region{m, last, c, c.MeanHops()})
		m = last + 1
	}
	return list, nil
}

// end is the last m' <= to with the same choice as m. A choice holds for an
// unbroken range: both rules' candidates shrink only by M >= m within a power
// of two, so doubling and halving finds its end.
func (r Rule) end(m, to int, c Cube) int {
	same := func(x int) bool {
		o, err := r.Choose(x)
		return err == nil && o.K == c.K && o.N == c.N
	}
	lo, hi := m, to+1 // same(lo), and hi is beyond or different
	for step := 1; lo+step < hi; step *= 2 {
		if !same(lo + step) {
			hi = lo + step
			break
		}
		lo += step
	}
	for lo+1 < hi {
		mid := lo + (hi-lo)/2
		if same(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}
