// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"math"
	"math/bits"
	"strings"
)

// MaxDigits is the longest id: 3^24 ids are more than the hosts there are.
const MaxDigits = 24

// Point is a whole id of 32 digits, two bits each, digit 0 in the top bits.
type Point uint64

// Digit is digit i.
func (p Point) Digit(i int) int { return int(p>>(62-2*i)) & 3 }

// With is p with digit i set to v.
func (p Point) With(i, v int) Point {
	s := uint(62 - 2*i)
	return p&^(3<<s) | Point(v)<<s
}

// PointOf spreads 64 bits of hash over the ids of radix k, each id as likely as
// another up to 2^-13.
func PointOf(h uint64, k int) Point {
	var p Point
	for i := range 32 {
		hi, lo := bits.Mul64(h, uint64(k))
		p = p.With(i, int(hi))
		h = lo
	}
	return p
}

// Zone is a prefix of ids: the first Len digits of Path; what follows is 0.
type Zone struct {
	Path Point `cbor:"1,keyasint"`
	Len  uint8 `cbor:"2,keyasint"`
}

func (z Zone) mask() Point {
	if z.Len == 0 {
		return 0
	}
	return ^Point(0) << (64 - 2*uint(z.Len))
}

// Covers says whether the id p begins with z.
func (z Zone) Covers(p Point) bool { return (z.Path^p)&z.mask() == 0 }

// Within is the id of z that ends as p does.
func (z Zone) Within(p Point) Point { return z.Path | p&^z.mask() }

// Contains says whether every id of o is one of z.
func (z Zone) Contains(o Zone) bool { return z.Len <= o.Len && z.Covers(o.Path) }

// Overlaps says whether z and o have an id in common.
func (z Zone) Overlaps(o Zone) bool { return z.Contains(o) || o.Contains(z) }

// After is the first id behind z in a cube of radix k, 0 if z is the last.
func (z Zone) After(k int) Point {
	for z.Len > 0 {
		if d := z.Last(); d+1 < k {
			return z.Path.With(int(z.Len)-1, d+1)
		}
		z = z.Parent()
	}
	return 0
}

// Child is z with the digit v appended.
func (z Zone) Child(v int) Zone { return Zone{z.Path.With(int(z.Len), v), z.Len + 1} }

// Parent is z without its last digit.
func (z Zone) Parent() Zone {
	p := Zone{z.Path, z.Len - 1}
	p.Path &= p.mask()
	return p
}

// Last is the last digit.
func (z Zone) Last() int { return z.Path.Digit(int(z.Len) - 1) }

// wrong has a bit set (the lower of the two) for each digit in which a and b differ.
func wrong(a, b Point) uint64 {
	x := uint64(a ^ b)
	return (x | x>>1) & 0x5555555555555555
}

// Distance is the number of z's digits in which the id p differs: the hops that
// are left when routing from z to p.
func (z Zone) Distance(p Point) int {
	return bits.OnesCount64(wrong(z.Path, p) & uint64(z.mask()))
}

// Adjacent says whether z and o are neighbours: over the shorter of their
// lengths they differ in one digit, and by 1 modulo k (any two digits do while
// k is 2 or 3).
func (z Zone) Adjacent(o Zone) bool {
	m := z.mask() & o.mask()
	return bits.OnesCount64(wrong(z.Path, o.Path)&uint64(m)) == 1
}

// Volume is the share of all ids that lie in z.
func (z Zone) Volume(k int) float64 { return math.Pow(float64(k), -float64(z.Len)) }

// Valid says whether z could be a zone of a cube of radix k.
func (z Zone) Valid(k int) bool {
	if z.Len > MaxDigits || z.Path&^z.mask() != 0 {
		return false
	}
	for i := range int(z.Len) {
		if z.Path.Digit(i) >= k {
			return false
		}
	}
	return true
}

// String writes the digits, e.g. 0121; * for the zone of all ids.
func (z Zone) String() string {
	if z.Len == 0 {
		return "*"
	}
	var b strings.Builder
	for i := range int(z.Len) {
		b.WriteByte(byte('0' + z.Path.Digit(i)))
	}
	return b.String()
}
