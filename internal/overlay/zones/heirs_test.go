// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"math/rand/v2"
	"testing"

	"sandstream/internal/overlay/script"
	"sandstream/internal/overlay/wire"
)

// Whatever the table, the heirs of a zone are two different neighbours of it, if there are
// two, and nobody is nearer to it in the trie than they are.
func TestNameHeirs(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 500 {
		k := 2 + r.IntN(2)
		zs := cutUp(r, k, 1+r.IntN(9))
		n := owner(k, zs[:1], r)
		for i, z := range zs[1:] {
			n.table = append(n.table, wire.Record{Zone: z, Counter: 1, Owner: script.Host(string(rune('b' + i)))})
		}
		n.nameHeirs()
		z := n.own[0]
		near := func(h wire.Peer) int {
			for _, e := range n.table {
				if e.Owner == h && e.Zone.Adjacent(z.Zone) {
					return commonPrefix(e.Zone, z.Zone)
				}
			}
			return -1
		}
		count := 0
		for _, e := range n.table {
			if !e.Zone.Adjacent(z.Zone) {
				continue
			}
			count++
			if e.Owner != z.Heirs[0] && e.Owner != z.Heirs[1] && near(e.Owner) > near(z.Heirs[1]) {
				t.Fatalf("%s: the heir %s is farther than %s", z.Zone, script.Name(z.Heirs[1].ID), script.Name(e.Owner.ID))
			}
		}
		if count > 0 && (near(z.Heirs[0]) < 0 || near(z.Heirs[0]) < near(z.Heirs[1])) ||
			count > 1 && (near(z.Heirs[1]) < 0 || z.Heirs[0] == z.Heirs[1]) || count < 2 && !z.Heirs[1].ID.IsZero() {
			t.Fatalf("%d neighbours, the heirs of %s are %s", count, z.Zone, script.RecordText(z))
		}
		if n.digest != wire.DigestOf(n.own) {
			t.Fatal("the digest does not cover the heirs")
		}
	}
}

// Two hosts with the same neighbours each make the same choice among them, if none is as
// near as another.
func TestHeirsDoNotDependOnOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	table := []wire.Zone{zone("0001"), zone("001"), zone("01"), zone("1")}
	for range 50 {
		n := owner(3, []wire.Zone{zone("0000")}, r)
		for _, i := range r.Perm(len(table)) {
			n.table = append(n.table, wire.Record{Zone: table[i], Counter: 1, Owner: script.Host(string(rune('b' + i)))})
		}
		if n.nameHeirs(); n.own[0].Heirs != [2]wire.Peer{script.Host("b"), script.Host("c")} {
			t.Fatalf("the heirs are %s", script.RecordText(n.own[0]))
		}
	}
}
