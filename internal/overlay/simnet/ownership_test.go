// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sandstream/internal/overlay/wire"
)

// The watcher against a table of all 27 ids of three digits.
func TestOwnershipAgainstTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := newOwnership(3)
		type zoneOf struct {
			host int
			zone wire.Zone
		}
		var held []zoneOf
		covers := func(z wire.Zone, id int) bool {
			for i := range int(z.Len) {
				if z.Path.Digit(i) != id/[]int{9, 3, 1}[i]%3 {
					return false
				}
			}
			return true
		}
		counter := uint64(0)
		ever := [27]bool{}
		for now := range Time(rapid.IntRange(1, 40).Draw(t, "steps")) {
			h := rapid.IntRange(0, 3).Draw(t, "host")
			switch rapid.IntRange(0, 4).Draw(t, "op") {
			case 0, 1, 2:
				var z wire.Zone
				for range rapid.IntRange(0, 3).Draw(t, "len") {
					z = z.Child(rapid.IntRange(0, 2).Draw(t, "digit"))
				}
				if slices.ContainsFunc(held, func(v zoneOf) bool { return v.host == h && v.zone.Overlaps(z) }) {
					continue // a host's own zones never overlap
				}
				counter++
				o.owned(h, wire.Record{Zone: z, Counter: counter, Owner: wire.Peer{ID: wire.HostID{byte(h)}}}, now)
				held = append(held, zoneOf{h, z})
				for id := range ever {
					ever[id] = ever[id] || covers(z, id)
				}
			case 3:
				if len(held) > 0 {
					i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
					v := held[i]
					held = slices.Delete(held, i, i+1)
					o.released(v.host, wire.Record{Zone: v.zone}, now)
				}
			case 4:
				o.crashed(h, now)
				held = slices.DeleteFunc(held, func(v zoneOf) bool { return v.host == h })
			}
			free, double := false, false
			for id := range 27 {
				var owners []int
				for _, v := range held {
					if covers(v.zone, id) {
						owners = append(owners, v.host)
					}
				}
				free = free || ever[id] && len(owners) == 0
				double = double || len(owners) > 1
				var p wire.Point
				p = p.With(0, id/9).With(1, id/3%3).With(2, id%3)
				if got := o.Owner(p); (got >= 0) != (len(owners) > 0) || got >= 0 && !slices.Contains(owners, got) {
					t.Fatalf("id %d: owner %d, the table says %v", id, got, owners)
				}
			}
			if n, _ := o.Unowned(); (n > 0) != free {
				t.Fatalf("%d gaps, ids without owner: %v (%v)", n, free, held)
			}
			if (o.Twice() > 0) != double {
				t.Fatalf("%d zones twice, ids with two owners: %v (%v)", o.Twice(), double, held)
			}
		}
	})
}

// One claim under one epoch by two hosts is what the watcher is for.
func TestOwnershipSeesDuplicates(t *testing.T) {
	o := newOwnership(3)
	r := wire.Record{Zone: wire.Zone{}.Child(1), Counter: 5, Owner: wire.Peer{ID: wire.HostID{9}}}
	o.owned(0, r, 1)
	o.owned(1, r, 2)
	if len(o.Duplicates) != 1 || o.Overlaps != 1 {
		t.Errorf("two owners of one epoch: %v, %d overlaps", o.Duplicates, o.Overlaps)
	}
}
