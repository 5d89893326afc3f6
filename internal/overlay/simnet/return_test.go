// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"encoding/binary"
	"testing"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

func (w *Net) publish(t testing.TB, h *Host, name string, n uint64, rate uint64) wire.StreamID {
	t.Helper()
	var id wire.StreamID
	binary.BigEndian.PutUint64(id[:], n)
	id[15] = byte(h.Index)
	w.Do(h, func(n *overlay.Node, now Time) {
		if err := n.Announce(now, wire.StreamInfo{ID: id, Name: name, Public: true, RateBps: rate}); err != nil {
			t.Fatal(err)
		}
	})
	return id
}

func (w *Net) byName(t testing.TB, h *Host, name string, c wire.Contract) (id overlay.SubID) {
	t.Helper()
	w.Do(h, func(n *overlay.Node, now Time) {
		var err error
		if id, err = n.Subscribe(now, wire.StreamID{}, name, c); err != nil {
			t.Fatal(err)
		}
	})
	return id
}

// served is when a subscription gets its stream, counted from now; at most 30 s.
func (w *Net) served(h *Host, s overlay.SubID, id wire.StreamID) Time {
	start := w.now
	w.Until(30*time.Second, 10*time.Millisecond, func() bool {
		st := w.sub(h, s)
		return st.Stream == id && st.State == overlay.Admitted
	})
	return w.now - start
}

// A publisher that ends and comes back under its name, again and again, is found
// as fast as the first time: with its old entries gone, as they are if it says
// that it ends, and among those it has left behind.
func TestPublisherComesBack(t *testing.T) {
	for name, lost := range map[string]bool{"withdrawn": false, "left behind": true} {
		t.Run(name, func(t *testing.T) {
			w := grown(t, config(31), 30)
			infos := 0
			w.Filter = func(_, _ *Host, m wire.Message) bool {
				if f, ok := m.(*wire.Found); ok && len(f.Infos) > infos {
					infos = len(f.Infos)
				}
				l, ok := m.(*wire.Lookup)
				return !ok || l.Kind != wire.Drop || !lost
			}
			pub, reader := w.hosts[3], w.hosts[20]
			var first, worst Time
			for round := range uint64(14) {
				id := w.publish(t, pub, "reuse", round+1, 1e6)
				w.RunFor(200 * time.Millisecond)
				s := w.byName(t, reader, "reuse", wire.Contract{})
				took := w.served(reader, s, id)
				worst = max(worst, took)
				if round == 0 {
					first = took
				}
				if limit := first + 50*time.Millisecond; took > limit {
					t.Errorf("round %d: found after %v, want %v: %+v", round, took, limit, w.sub(reader, s))
				}
				w.Do(pub, func(n *overlay.Node, now Time) { _ = n.Withdraw(now, id) })
				w.Do(reader, func(n *overlay.Node, now Time) { _ = n.Unsubscribe(now, s) })
			}
			if !lost && infos > 2 || lost && infos != 8 {
				t.Errorf("the directory gave up to %d entries", infos)
			}
			t.Logf("found after %v at most, among up to %d entries", worst, infos)
			w.RunFor(time.Second)
			s := w.byName(t, reader, "reuse", wire.Contract{})
			w.RunFor(2 * time.Second)
			want := "waiting: stream not found"
			if lost {
				want = "waiting: the publisher has no such stream"
			}
			if st := w.sub(reader, s); st.Reason != want {
				t.Errorf("when it has ended: %q, want %q", st.Reason, want)
			}
		})
	}
}

// A member that puts entries of its own, or in the publisher's name, under a
// public name neither drives the publisher's out nor stands before it for long.
func TestLiarUnderAName(t *testing.T) {
	for name, own := range map[string]bool{"own entries": true, "in another's name": false} {
		t.Run(name, func(t *testing.T) {
			w := grown(t, config(32), 30)
			pub, liar, reader := w.hosts[3], w.hosts[9], w.hosts[20]
			id := w.publish(t, pub, "reuse", 1, 1e6)
			w.RunFor(time.Second)
			var at wire.Point
			w.Filter = func(_, _ *Host, m wire.Message) bool {
				if l, ok := m.(*wire.Lookup); ok && l.Kind == wire.Get {
					at = l.Target
				}
				return true
			}
			s := w.byName(t, reader, "reuse", wire.Contract{})
			w.served(reader, s, id)
			w.Do(reader, func(n *overlay.Node, now Time) { _ = n.Unsubscribe(now, s) })
			owner := w.hosts[w.Own.Owner(at)]
			for i := range byte(20) {
				info := wire.StreamInfo{ID: wire.StreamID{i, 7}, Name: "reuse", Public: true, Publisher: pub.Peer, RateBps: 1e6, Version: 1 << 50}
				if own {
					info.Publisher = liar.Peer
				}
				w.Inject(liar, owner, &wire.Lookup{Kind: wire.Put, Target: at, Origin: liar.Peer, Info: &info, Radix: 3})
				w.Inject(liar, owner, &wire.Lookup{Kind: wire.Drop, Target: at, Origin: pub.Peer, Info: &wire.StreamInfo{ID: id}, Radix: 3})
			}
			w.RunFor(time.Second)
			s = w.byName(t, reader, "reuse", wire.Contract{})
			if took := w.served(reader, s, id); took > time.Second {
				t.Errorf("found after %v: %+v", took, w.sub(reader, s))
			}
		})
	}
}

// Best effort takes any rate, a contract does not; nor does an entry of too low a
// rate stand before one that will do.
func TestRateOfTheEntry(t *testing.T) {
	w := grown(t, config(33), 10)
	id := w.publish(t, w.hosts[3], "slow", 1, 1e6)
	w.publish(t, w.hosts[4], "two", 2, 1e6)
	w.RunFor(time.Second)
	fast := w.publish(t, w.hosts[5], "two", 3, 3e6)
	w.RunFor(time.Second)
	asks := wire.Contract{MinRateBps: 2e6}
	firm := w.byName(t, w.hosts[7], "slow", asks)
	of2 := w.byName(t, w.hosts[7], "two", asks)
	asks.BestEffort = true
	soft := w.byName(t, w.hosts[7], "slow", asks)
	w.RunFor(time.Second)
	if st := w.sub(w.hosts[7], firm); st.State != overlay.Refused || st.Reason != "the publisher sends 1000000 bit/s, 2000000 asked" {
		t.Errorf("contract: %s (%s)", st.State, st.Reason)
	}
	if st := w.sub(w.hosts[7], soft); st.State != overlay.Violated || st.Stream != id || st.Reason != "the path brings 1000000 bit/s, 2000000 asked" {
		t.Errorf("best effort: %s (%s)", st.State, st.Reason)
	}
	if st := w.sub(w.hosts[7], of2); st.State != overlay.Admitted || st.Stream != fast {
		t.Errorf("with two entries: %s (%s), stream %s", st.State, st.Reason, st.Stream)
	}
}
