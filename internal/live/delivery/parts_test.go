// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"slices"
	"testing"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// A stream does not get into another by calling itself its part.
func TestForeignPart(t *testing.T) {
	h := newTestHost(t)
	victim, liar := wire.StreamID{1}, wire.StreamID{2}
	parts := []wire.Part{{ID: victim, Weight: 1}, {ID: liar, Weight: 1}}
	entry := func(id wire.StreamID, from byte, parts []wire.Part) *overlay.ForwardEntry {
		p := wire.Peer{ID: wire.HostID{from}, Addr: h.tr.Self().Addr}
		return &overlay.ForwardEntry{Upstream: p, Info: wire.StreamInfo{ID: id, Publisher: p, Parts: parts}}
	}
	here := func() (n int) {
		if err := h.do(t.Context(), func() { n = len(h.here(victim, parts)) }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, c := range []struct {
		what  string
		first *overlay.ForwardEntry
		want  int
	}{
		{"not split", entry(victim, 1, nil), 1},
		{"another publisher's", entry(victim, 1, parts), 1},
		{"its own", entry(victim, 2, parts), 2},
	} {
		if err := h.do(t.Context(), func() {
			h.Forward(liar, entry(liar, 2, parts))
			h.Forward(victim, c.first)
		}); err != nil {
			t.Fatal(err)
		}
		if n := here(); n != c.want {
			t.Errorf("%s: %d flows, want %d", c.what, n, c.want)
		}
	}
	if err := h.do(t.Context(), func() { h.Forward(liar, nil); h.Forward(victim, nil) }); err != nil {
		t.Fatal(err)
	}
}

// A reader of a split stream asks for the other part over other hosts, waits for it,
// and his contract is as bad as its worst part.
func TestPartsAreOneContract(t *testing.T) {
	h := newTestHost(t)
	first, second, between := wire.StreamID{1}, wire.StreamID{2}, wire.HostID{7}
	parts := []wire.Part{{ID: first, Weight: 3}, {ID: second, Weight: 1}}
	r, err := h.Subscribe(t.Context(), first.String(), wire.Contract{MinRateBps: 1000})
	if err != nil {
		t.Fatal(err)
	}
	whole := h.proto.last
	info := wire.StreamInfo{ID: first, Publisher: wire.Peer{ID: wire.HostID{9}}, Parts: parts}
	in := func(f func()) {
		if err := h.do(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	state := func(sub overlay.SubID, st overlay.ContractState) {
		in(func() {
			h.SubChanged(overlay.SubChanged{Sub: overlay.SubStatus{ID: sub, Stream: h.proto.subs[sub], State: st}})
		})
	}
	in(func() {
		h.Forward(first, &overlay.ForwardEntry{
			Upstream: wire.Peer{ID: between}, Info: info, Local: []overlay.SubID{whole},
			Path: []wire.Hop{{Host: info.Publisher}, {Host: wire.Peer{ID: between}}, {Host: h.tr.Self()}},
		})
	})
	part := h.proto.last
	if h.proto.subs[part] != second || !slices.Equal(h.proto.avoided, []wire.HostID{between}) {
		t.Fatalf("asked for %v, avoiding %v", h.proto.subs[part], h.proto.avoided)
	}
	if u := h.subs[whole]; u.sink != nil {
		t.Error("read before the other part has a path")
	}
	state(whole, overlay.Admitted)
	if _, changes, _, _ := r.Next(t.Context()); changes[len(changes)-1].State != overlay.Resolving {
		t.Errorf("with one part of two: %v", changes[len(changes)-1].State)
	}
	state(part, overlay.AtRisk)
	if _, changes, _, _ := r.Next(t.Context()); changes[len(changes)-1].State != overlay.AtRisk {
		t.Errorf("with both: %v", changes[len(changes)-1].State)
	}
	if u := h.subs[whole]; u.sink == nil {
		t.Error("not read though both parts have a path")
	}
	in(h.Measure)
	if len(h.proto.measured) != 2 {
		t.Errorf("measured: %v", h.proto.measured)
	}
	r.Close()
	if len(h.subs)+len(h.partOf)+len(h.proto.subs) != 0 {
		t.Errorf("left: %v, %v, %v", h.subs, h.partOf, h.proto.subs)
	}
}

// Parts that never get a path are waited for in vain, but not for ever.
func TestPartsAreNotWaitedForForEver(t *testing.T) {
	u := &subscription{info: &wire.StreamInfo{}, since: time.Now(), parts: map[overlay.SubID]*overlay.SubStatus{1: {}}}
	if u.settled() {
		t.Error("not waited for")
	}
	if u.since = u.since.Add(-partsWithin); !u.settled() {
		t.Error("waited for longer than partsWithin")
	}
}
