// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"testing"

	"sandstream/internal/overlay/script"
	"sandstream/internal/overlay/wire"
)

// Whatever hosts say, what is kept of it is bounded.
func TestBounds(t *testing.T) {
	stranger := func(i int) wire.Peer {
		p := script.Host("b")
		p.ID[1], p.ID[2] = byte(i>>8), byte(i)
		return p
	}
	h := member("", "")
	must(h.m.Set(&h.z.region.Region, "n:12 version:1 radix:3"))
	h.given("own", "000000000000/3")
	next := func(i int) wire.Zone { // all are next to ours, which is shorter
		z := zone("100000000000")
		for range 7 {
			z = z.Child(i % 3)
			i /= 3
		}
		return z
	}
	greedy := script.Host("z")
	a := &wire.Announce{Radix: 3}
	for i := range 200 {
		a.Records = append(a.Records, wire.Record{Zone: next(i), Counter: 1, Owner: greedy})
	}
	h.handle(greedy, a)
	if n := h.z.recordsOf(greedy.ID); n != maxTable/8 {
		t.Errorf("%d zones kept of one host", n)
	}
	for i := 200; i < 1200; i++ {
		p := stranger(i)
		h.handle(p, &wire.Announce{Radix: 3, Records: []wire.Record{{Zone: next(i), Counter: 1, Owner: p, Heirs: [2]wire.Peer{h.m.Turn.Self}}}})
		h.handle(p, &wire.Heirloom{})
	}
	if len(h.z.table) != maxTable || h.m.Turn.Counts()["table-full"] == 0 {
		t.Errorf("%d zones kept", len(h.z.table))
	}
	// All claim our zone, and one another's.
	for i := range 1200 {
		p := stranger(i)
		h.handle(p, &wire.Announce{Radix: 3, Records: []wire.Record{{Zone: h.z.own[0].Zone, Counter: 5, Owner: p}}})
		h.handle(p, &wire.Announce{Radix: 3, Records: []wire.Record{{Zone: next(1199 - i), Counter: 5, Owner: p}}})
	}
	for what, v := range map[string][2]int{
		"tentative": {len(h.z.doubts.tentative), maxTentative},
		"rivals":    {len(h.z.doubts.rivals), maxRivals},
		"wards":     {len(h.z.heirs.wards), maxWards},
	} {
		if v[0] != v[1] {
			t.Errorf("%s: %d of %d", what, v[0], v[1])
		}
	}
	if h.m.Turn.Counts()["claim-dropped"] == 0 || len(h.z.doubts.poll.asked) > pollHosts {
		t.Errorf("no claim was dropped, or too many are asked: %d", len(h.z.doubts.poll.asked))
	}
	// And then they die, all of them.
	for _, p := range h.l.Hosts() {
		h.l.Die(p)
	}
	if len(h.z.dead.graves) != maxGraves || len(h.z.dead.claims) > maxGraves || len(h.z.table) > 0 {
		t.Errorf("%d graves, %d claims, %d zones", len(h.z.dead.graves), len(h.z.dead.claims), len(h.z.table))
	}
}
