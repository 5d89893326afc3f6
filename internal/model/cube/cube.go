// SPDX-License-Identifier: Apache-2.0

// Package cube is the arithmetic of k-ary n-cubes: ids, neighbours, hop
// distances, and the choice of (k, n) for a number of hosts.
//
// A k-ary n-cube has M = k^n logical ids of n base-k digits, digit 0 the least
// significant. Two ids are neighbours if they differ in one digit by 1 modulo
// k, so that each has n neighbours if k = 2 and 2n otherwise.
package cube

import (
	"errors"
	"fmt"
	"math"
	"math/big"
)

// MaxIDs bounds M: ids are kept in 32 bits.
const MaxIDs = 1 << 31

// ErrImpossible is the kind of every error for a cube that cannot be.
var ErrImpossible = errors.New("impossible cube")

// Cube is a k-ary n-cube. Make one with New.
type Cube struct {
	K, N int
	m    uint32
	pow  []uint32 // pow[d] = K^d
}

// New checks 2 <= k, 1 <= n and k^n <= MaxIDs. Its error names the nearest
// possible values.
func New(k, n int) (Cube, error) {
	if k < 2 {
		return Cube{}, fmt.Errorf("%w: radix k is %d; the least is 2", ErrImpossible, k)
	}
	if n < 1 {
		return Cube{}, fmt.Errorf("%w: number of dimensions n is %d; the least is 1", ErrImpossible, n)
	}
	c := Cube{K: k, N: n}
	m := uint64(1)
	for d := range n {
		c.pow = append(c.pow, uint32(m))
		if m *= uint64(k); m > MaxIDs {
			root := int(math.Floor(math.Pow(MaxIDs, 1/float64(n)) + 1e-9))
			hint := fmt.Sprintf("at most n = %d with k = %d", d, k)
			if d == 0 {
				hint = fmt.Sprintf("k is at most %d", MaxIDs)
			} else if root >= 2 {
				hint += fmt.Sprintf(", or k = %d with n = %d", root, n)
			}
			return Cube{}, fmt.Errorf("%w: %d^%d ids are more than %d; possible: %s", ErrImpossible, k, n, MaxIDs, hint)
		}
	}
	c.m = uint32(m)
	return c, nil
}

// Must is New for constants: it panics on an impossible cube.
func Must(k, n int) Cube {
	c, err := New(k, n)
	if err != nil {
		panic(err)
	}
	return c
}

// IDs is M = k^n.
func (c Cube) IDs() int { return int(c.m) }

// String is like "2-ary 16-cube".
func (c Cube) String() string { return fmt.Sprintf("%d-ary %d-cube", c.K, c.N) }

// Degree is the number of links of an id: n if k = 2, else 2n.
func (c Cube) Degree() int {
	if c.K == 2 {
		return c.N
	}
	return 2 * c.N
}

// Pow is k^d, the value of one unit of digit d; 0 <= d < n.
func (c Cube) Pow(d int) uint32 { return c.pow[d] }

// Digit is digit d of id.
func (c Cube) Digit(id uint32, d int) int { return int(id / c.pow[d] % uint32(c.K)) }

// Step is the neighbour of id in dimension d, one up or one down modulo k.
func (c Cube) Step(id uint32, d int, up bool) uint32 {
	digit, p := c.Digit(id, d), c.pow[d]
	switch {
	case up && digit == c.K-1:
		return id - p*uint32(c.K-1)
	case up:
		return id + p
	case digit == 0:
		return id + p*uint32(c.K-1)
	default:
		return id - p
	}
}

// Neighbours appends the neighbours of id to dst: dimension by dimension, up
// before down.
func (c Cube) Neighbours(id uint32, dst []uint32) []uint32 {
	for d := range c.N {
		dst = append(dst, c.Step(id, d, true))
		if c.K > 2 {
			dst = append(dst, c.Step(id, d, false))
		}
	}
	return dst
}

// ring is the distance between two digits on a ring of k.
func (c Cube) ring(a, b int) int {
	d := a - b
	if d < 0 {
		d = -d
	}
	return min(d, c.K-d)
}

// Distance is the number of hops between two ids.
func (c Cube) Distance(a, b uint32) int {
	sum := 0
	for d := range c.N {
		sum += c.ring(c.Digit(a, d), c.Digit(b, d))
	}
	return sum
}

// Diameter is W(k,n) = n⌊k/2⌋ hops.
func (c Cube) Diameter() int { return c.N * (c.K / 2) }

// MeanHops is A(k,n) = n⌊k²/4⌋/k: the mean over all ordered pairs of ids, self
// included, as an exact fraction.
func (c Cube) MeanHops() *big.Rat { return meanHops(c.K, c.N) }

func meanHops(k, n int) *big.Rat {
	kk := big.NewInt(int64(k))
	num := new(big.Int).Mul(kk, kk)
	num.Rsh(num, 2).Mul(num, big.NewInt(int64(n)))
	return new(big.Rat).SetFrac(num, kk)
}

// FarthestRoutes is the number of shortest routes between two ids at distance
// W, the paper's (⌊k/2⌋n)!/(⌊k/2⌋!)^n. It counts one direction in each
// dimension; with even k > 2 both directions are shortest, which multiplies it
// by 2^n.
func (c Cube) FarthestRoutes() *big.Int {
	h := int64(c.K / 2)
	r := new(big.Int).MulRange(1, h*int64(c.N))
	f := new(big.Int).MulRange(1, h)
	return r.Div(r, f.Exp(f, big.NewInt(int64(c.N)), nil))
}
