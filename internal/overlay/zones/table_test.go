// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"math"
	"math/rand/v2"
	"testing"

	"sandstream/internal/overlay/links"
	"sandstream/internal/overlay/script"
	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

func zone(s string) wire.Zone {
	z, err := script.Zone(s)
	must(err)
	return z
}

// cutUp cuts the zone of all ids into parts at random.
func cutUp(r *rand.Rand, k, cuts int) []wire.Zone {
	zs := []wire.Zone{{}}
	for range cuts {
		i := r.IntN(len(zs))
		z := zs[i]
		if z.Len == 8 {
			continue
		}
		zs[i] = z.Child(0)
		for v := 1; v < k; v++ {
			zs = append(zs, z.Child(v))
		}
	}
	r.Shuffle(len(zs), func(i, j int) { zs[i], zs[j] = zs[j], zs[i] })
	return zs
}

// owner is a host that owns zones, in a cube of radix k.
func owner(k int, zs []wire.Zone, r *rand.Rand) *Zones {
	cfg := turn.DefaultConfig()
	cfg.Radix = k
	t := turn.New(cfg, script.Host(script.Self), 1)
	l := links.New(t)
	z := New(t, l)
	l.Up, z.Up = z, &above{t: t}
	for _, x := range zs {
		z.own = append(z.own, wire.Record{Zone: x, Counter: 1 + r.Uint64N(9), Owner: t.Self})
	}
	return z
}

// top is the highest counter of zones that have an id of z.
func top(rs []wire.Record, z wire.Zone) (c uint64) {
	for i := range rs {
		if rs[i].Zone.Overlaps(z) {
			c = max(c, rs[i].Counter)
		}
	}
	return c
}

// Joining siblings changes no id's owner, lowers no id's epoch, and leaves nothing to join.
func TestMergeZones(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		k := 2 + r.IntN(2)
		zs := cutUp(r, k, r.IntN(30))
		n := owner(k, zs[:1+r.IntN(len(zs))], r)
		before, share := append([]wire.Record(nil), n.own...), n.volume()
		n.mergeZones()
		if math.Abs(n.volume()-share) > 1e-9 {
			t.Fatalf("%v were joined to %v", before, n.own)
		}
		for _, b := range before {
			o := n.owned(b.Zone.Path)
			if o == nil || !o.Zone.Contains(b.Zone) || o.Counter < b.Counter || o.Zone != b.Zone && o.Counter == b.Counter {
				t.Fatalf("%v is not in %v", b, n.own)
			}
		}
		for i, o := range n.own {
			for j, p := range n.own {
				if i != j && o.Zone.Overlaps(p.Zone) {
					t.Fatalf("%s and %s overlap", o.Zone, p.Zone)
				}
			}
			siblings := 0
			for _, p := range n.own {
				if o.Zone.Len > 0 && p.Zone.Len == o.Zone.Len && p.Zone.Parent() == o.Zone.Parent() {
					siblings++
				}
			}
			if siblings == k {
				t.Fatalf("%v could be joined still", n.own)
			}
		}
		if len(zs) == len(before) && (len(n.own) != 1 || n.own[0].Zone.Len != 0) {
			t.Fatalf("the parts of everything were joined to %v", n.own)
		}
	}
}

// What is left of a zone when a part is given up is the rest, whole and under higher epochs.
func TestLoseBut(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		k := 2 + r.IntN(2)
		zs := cutUp(r, k, r.IntN(12))
		n := owner(k, zs, r)
		z := zs[r.IntN(len(zs))]
		part := z
		for range r.IntN(5) {
			part = part.Child(r.IntN(k))
		}
		was, share := top(n.own, z), n.volume()
		n.loseBut(z, part)
		if got := n.volume() + part.Volume(k); math.Abs(got-share) > 1e-9 || n.overlapsOwn(part) {
			t.Fatalf("%s but %s: left are %v", z, part, n.own)
		}
		for i := range n.own {
			if z.Contains(n.own[i].Zone) && n.own[i].Counter <= was {
				t.Fatalf("the counter of %s was %d: left is %v", z, was, n.own[i])
			}
		}
	}
}

// Every id next to ours is either in the table or found to be a gap, whatever is known.
func TestGap(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		k := 2 + r.IntN(2)
		zs := cutUp(r, k, 1+r.IntN(20))
		n := owner(k, zs[:1], r)
		known := r.IntN(len(zs))
		for _, z := range zs[1:][:known] {
			n.table = append(n.table, wire.Record{Zone: z, Counter: 1, Owner: script.Host("b")})
		}
		z := wire.Zone{}
		for range r.IntN(6) {
			z = z.Child(r.IntN(k))
		}
		var share float64
		for _, x := range zs[:1+known] {
			if z.Contains(x) {
				share += x.Volume(k)
			} else if x.Contains(z) {
				share += z.Volume(k)
			}
		}
		p, gap := n.gap(z)
		if gap != (share < z.Volume(k)-1e-9) {
			t.Fatalf("%s: known is %v of it, a gap: %t", z, share/z.Volume(k), gap)
		}
		if !gap {
			continue
		}
		if !z.Covers(p) {
			t.Fatalf("the gap %s is not in %s", script.Point(p), z)
		}
		for _, x := range zs[:1+known] {
			if x.Covers(p) {
				t.Fatalf("%s is no gap: it is in %s", script.Point(p), x)
			}
		}
	}
}

// A host gives at most two thirds of what it owns, and never its last id.
func TestGift(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		k := 2 + r.IntN(2)
		zs := cutUp(r, k, r.IntN(20))
		n := owner(k, zs[:1+r.IntN(len(zs))], r)
		n.region.N = 9
		z, ok := n.gift()
		if !ok {
			t.Fatalf("nothing to give of %v", n.own)
		}
		if part := z.Volume(k) / n.volume(); part > 2./3+1e-9 || n.owned(z.Path) == nil {
			t.Fatalf("%s, %v of %v", z, part, n.own)
		}
	}
}
