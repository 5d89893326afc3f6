// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func aRadix(t *rapid.T) int { return rapid.IntRange(2, 3).Draw(t, "radix") }

func aPoint(t *rapid.T, k int, what string) Point {
	return PointOf(rapid.Uint64().Draw(t, what), k)
}

// aZone may be long or short, so that zones that contain one another are not rare.
func aZone(t *rapid.T, k int, what string) Zone {
	z := Zone{Len: uint8(rapid.IntRange(0, MaxDigits).Draw(t, what+" length"))}
	z.Path = aPoint(t, k, what) & z.mask()
	return z
}

// near is an id that begins as z does, for a random number of digits.
func near(t *rapid.T, z Zone, k int) (p Point, same int) {
	p = aPoint(t, k, "id")
	begin := Zone{Path: z.Path, Len: uint8(rapid.IntRange(0, int(z.Len)).Draw(t, "same digits"))}
	begin.Path &= begin.mask()
	return begin.Within(p), int(begin.Len)
}

// wrongDigits counts one by one what Zone computes for all digits at once.
func wrongDigits(z Zone, p Point, digits int) (n int) {
	for i := range digits {
		if z.Path.Digit(i) != p.Digit(i) {
			n++
		}
	}
	return n
}

// Behind each zone comes one that begins with the next id, until all ids were there.
func TestAfterWalksOverAllIds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := aRadix(t)
		var volume float64
		for at, steps := Point(0), 0; ; steps++ {
			z := Zone{Len: uint8(rapid.IntRange(0, 4).Draw(t, "length"))}
			for z.Path = at & z.mask(); z.Path != at; z.Path = at & z.mask() { // the shortest that begins here
				z.Len++
			}
			volume += z.Volume(k)
			next := z.After(k)
			if next == 0 {
				break
			}
			if next <= at || z.Covers(next) {
				t.Fatalf("behind %s comes %x", z, next)
			}
			at = next
		}
		if math.Abs(volume-1) > 1e-9 {
			t.Fatalf("the zones are %v of all ids", volume)
		}
	})
}

func TestPointsHaveDigitsOfTheirRadix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := aRadix(t)
		p := aPoint(t, k, "id")
		for i := range 32 {
			if p.Digit(i) >= k {
				t.Fatalf("digit %d of an id of radix %d is %d", i, k, p.Digit(i))
			}
		}
		i, v := rapid.IntRange(0, 31).Draw(t, "place"), rapid.IntRange(0, k-1).Draw(t, "digit")
		q := p.With(i, v)
		for j := range 32 {
			if want := p.Digit(j); j == i && q.Digit(j) != v || j != i && q.Digit(j) != want {
				t.Fatalf("digit %d set to %d: digit %d is %d", i, v, j, q.Digit(j))
			}
		}
	})
}

// Ids are spread evenly: each first digit has its share of hashes.
func TestPointsAreSpread(t *testing.T) {
	const hashes = 30_000
	for _, k := range []int{2, 3} {
		n := map[int]int{}
		for i := range uint64(hashes) {
			n[PointOf(i*0x9e3779b97f4a7c15, k).Digit(0)]++
		}
		for v := range k {
			if share := float64(n[v]) * float64(k) / hashes; math.Abs(share-1) > 0.05 {
				t.Errorf("radix %d: digit %d has %.2f of its share", k, v, share)
			}
		}
	}
}

func TestZonesDistance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := aRadix(t)
		z := aZone(t, k, "zone")
		p, _ := near(t, z, k)
		if got, want := z.Distance(p), wrongDigits(z, p, int(z.Len)); got != want {
			t.Fatalf("%s is %d from %b, want %d", z, got, p, want)
		}
		if z.Covers(p) != (z.Distance(p) == 0) {
			t.Fatalf("%s covers %b: %v, at distance %d", z, p, z.Covers(p), z.Distance(p))
		}
		in := z.Within(p)
		if !z.Covers(in) || wrongDigits(Zone{Path: p}, in, 32) != wrongDigits(z, p, int(z.Len)) {
			t.Fatalf("the id of %s that ends as %b does is %b", z, p, in)
		}
	})
}

// Of two zones, one contains the other, or they have no id in common; neighbours differ in
// one digit, and a hop to a neighbour changes the distance by one at most.
func TestZonesAndOneAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := aRadix(t)
		a, b := aZone(t, k, "zone"), Zone{}
		p, same := near(t, a, k)
		b.Len = uint8(min(same+rapid.IntRange(0, 3).Draw(t, "other digits"), MaxDigits))
		b.Path = p & b.mask()
		shorter := int(min(a.Len, b.Len))
		differ := wrongDigits(a, b.Path, shorter)
		if got := a.Overlaps(b); got != (differ == 0) || got != b.Overlaps(a) {
			t.Fatalf("%s and %s overlap: %v", a, b, got)
		}
		if got := a.Contains(b); got != (differ == 0 && a.Len <= b.Len) {
			t.Fatalf("%s contains %s: %v", a, b, got)
		}
		if got := a.Adjacent(b); got != (differ == 1) || got != b.Adjacent(a) {
			t.Fatalf("%s and %s are neighbours: %v", a, b, got)
		}
		if p = aPoint(t, k, "far id"); a.Adjacent(b) && a.Len == b.Len && math.Abs(float64(a.Distance(p)-b.Distance(p))) > 1 {
			t.Fatalf("%s and %s are neighbours, and %d and %d from %b", a, b, a.Distance(p), b.Distance(p), p)
		}
	})
}

// The children of a zone share its ids out among them, and each has it for a parent.
func TestZonesChildren(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := aRadix(t)
		z := aZone(t, k, "zone")
		if z.Len == MaxDigits {
			z = z.Parent()
		}
		p, owners, volume := z.Within(aPoint(t, k, "id")), 0, 0.
		for v := range k {
			c := z.Child(v)
			if c.Parent() != z || c.Last() != v || !c.Valid(k) || !z.Contains(c) || c.Contains(z) {
				t.Fatalf("%s is a child of %s", c, z)
			}
			for w := range v {
				if !c.Adjacent(z.Child(w)) {
					t.Fatalf("%s and its sibling are no neighbours", c)
				}
			}
			if c.Covers(p) {
				owners++
			}
			volume += c.Volume(k)
		}
		if owners != 1 || math.Abs(volume/z.Volume(k)-1) > 1e-9 {
			t.Fatalf("%d children of %s have its id %b, and all of them %g of its ids", owners, z, p, volume/z.Volume(k))
		}
	})
}

func TestZonesText(t *testing.T) {
	for want, z := range map[string]Zone{"*": {}, "0": Zone{}.Child(0), "0121": Zone{}.Child(0).Child(1).Child(2).Child(1)} {
		if z.String() != want {
			t.Errorf("%s, want %s", z, want)
		}
	}
}

// What another host says is a zone may be none.
func TestZonesThatAreNone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := aRadix(t)
		z := aZone(t, k, "zone")
		if !z.Valid(k) {
			t.Fatalf("%s is none of radix %d", z, k)
		}
		i := rapid.IntRange(0, 31).Draw(t, "place")
		v := rapid.IntRange(1, 3).Draw(t, "digit")
		bad := Zone{Path: z.Path.With(i, v), Len: z.Len}
		if want := i < int(z.Len) && v < k; bad.Valid(k) != want {
			t.Fatalf("digit %d of %s set to %d: a zone of radix %d: %v", i, z, v, k, !want)
		}
	})
	if (Zone{Len: MaxDigits + 1}).Valid(3) {
		t.Error("a zone has more than MaxDigits")
	}
	if z := (Zone{Len: 3}); strings.Count(z.String(), "0") != 3 {
		t.Error(z)
	}
}
