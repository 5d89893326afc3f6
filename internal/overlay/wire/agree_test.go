// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What one host computes another must compute alike: these figures never change.
func TestHostsAgree(t *testing.T) {
	rec := Record{Zone: Zone{}.Child(2).Child(1), Counter: 7, Heirs: [2]Peer{{ID: HostID{1}}, {ID: HostID{2}}}}
	for what, c := range map[string][2]uint64{
		"the id of a stream, radix 3": {uint64(PointOfStream(StreamID{5}, 3)), 0x9a82949a15996209},
		"the id of a stream, radix 2": {uint64(PointOfStream(StreamID{5}, 2)), 0x5404415050001404},
		"the id of a name":            {uint64(PointOfName("camera", 3)), 0x568095911a8a8912},
		"the digest of a record":      {DigestOf([]Record{rec}), 0x15cc6947247cd193},
	} {
		if c[0] != c[1] {
			t.Errorf("%s is %#x, was %#x", what, c[0], c[1])
		}
	}
	if PointOfStream(StreamID{'x'}, 3) == PointOfName("x", 3) {
		t.Error("a stream and a name of the same bytes have one id")
	}
}

// A digest does not depend on the order of records, and on everything else that neighbours
// must know: zones, counters and heirs.
func TestDigest(t *testing.T) {
	if DigestOf(nil) != 0 {
		t.Error("no records have a digest")
	}
	rapid.Check(t, func(t *rapid.T) {
		rs := make([]Record, rapid.IntRange(1, 5).Draw(t, "records"))
		for i := range rs {
			rs[i] = Record{Zone: aZone(t, 3, "zone"), Counter: rapid.Uint64().Draw(t, "counter"), Owner: SampleHost}
		}
		was := DigestOf(rs)
		if was == 0 {
			t.Fatal("records have the digest of none")
		}
		other := slices.Clone(rs)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0)).Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
		if DigestOf(other) != was {
			t.Fatal("the order of records matters")
		}
		r := &other[0]
		switch rapid.IntRange(0, 3).Draw(t, "change") {
		case 0:
			r.Counter++
		case 1:
			r.Heirs[0].ID = HostID{7}
		case 2:
			r.Heirs[1].ID = HostID{7}
		case 3:
			r.Zone = r.Zone.Child(1)
		}
		if DigestOf(other) == was {
			t.Fatal("a change goes unseen")
		}
	})
}

// Of two epochs one is newer: by the counter, then by the host.
func TestEpochsAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		epoch := func(who string) Record {
			h := HostID{byte(rapid.IntRange(1, 2).Draw(t, who)), byte(rapid.IntRange(1, 2).Draw(t, who))}
			return Record{Counter: rapid.Uint64Range(1, 3).Draw(t, "counter of "+who), Owner: Peer{ID: h}}
		}
		a, b := epoch("one"), epoch("other")
		same := a.Counter == b.Counter && a.Owner.ID == b.Owner.ID
		if a.Newer(&b) && b.Newer(&a) || !same && !a.Newer(&b) && !b.Newer(&a) || same && a.Newer(&b) {
			t.Fatalf("%d@%s and %d@%s: %v, %v", a.Counter, a.Owner.ID, b.Counter, b.Owner.ID, a.Newer(&b), b.Newer(&a))
		}
		if a.Counter > b.Counter && !a.Newer(&b) {
			t.Fatal("the host counts for more than the counter")
		}
	})
}
