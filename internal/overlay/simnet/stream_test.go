// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// plane is a network where delay is distance on a plane: hosts i on a grid.
type plane struct{ side int }

func (p plane) Delay(a, b int) Time {
	dx, dy := a%p.side-b%p.side, a/p.side-b/p.side
	return 2*time.Millisecond + time.Duration(dx*dx+dy*dy)*time.Millisecond/4
}

func (w *Net) announce(t testing.TB, h *Host, rate uint64) wire.StreamID {
	t.Helper()
	id := wire.StreamID{byte(h.Index), 1, 2}
	w.Do(h, func(n *overlay.Node, now Time) {
		if err := n.Announce(now, wire.StreamInfo{ID: id, Name: fmt.Sprint("s", h.Index), Public: true, RateBps: rate}); err != nil {
			t.Fatal(err)
		}
	})
	return id
}

func (w *Net) subscribe(t testing.TB, h *Host, id wire.StreamID, c wire.Contract) overlay.SubID {
	t.Helper()
	var s overlay.SubID
	w.Do(h, func(n *overlay.Node, now Time) {
		var err error
		if s, err = n.Subscribe(now, id, "", c); err != nil {
			t.Fatal(err)
		}
	})
	return s
}

func (w *Net) sub(h *Host, id overlay.SubID) overlay.SubStatus {
	for _, s := range h.Node.Status(w.now).Subs {
		if s.ID == id {
			return s
		}
	}
	return overlay.SubStatus{}
}

func TestStreamReachesAll(t *testing.T) {
	cfg := config(3)
	cfg.Links = plane{8}
	w := grown(t, cfg, 60)
	pub := w.hosts[5]
	id := w.announce(t, pub, 1e6)
	f := w.Watch(id)
	w.RunFor(time.Second)
	subs := map[*Host]overlay.SubID{}
	for i := 10; i < 40; i++ {
		subs[w.hosts[i]] = w.subscribe(t, w.hosts[i], id, wire.Contract{})
	}
	w.RunFor(3 * time.Second)
	once := func(when string) {
		t.Helper()
		copies, delay := f.Packet()
		for h, s := range subs {
			st := w.sub(h, s)
			if !h.Up {
				continue
			}
			if copies[h.Index] != 1 {
				t.Errorf("%s: host %d gets %d copies, is %s (%s), %s", when, h.Index, copies[h.Index], st.State, st.Reason, st.Stream)
			}
			if got, want := Time(st.Predicted.CostUs)*time.Microsecond, delay[h.Index]; got < want*8/10 || got > want*12/10 {
				t.Errorf("%s: host %d: %v predicted, the links take %v", when, h.Index, got, want)
			}
		}
	}
	once("at first")
	for i := 6; i < 60; i += 6 {
		w.Crash(w.hosts[i])
	}
	w.RunFor(2 * time.Second)
	copies, _ := f.Packet()
	for h := range subs {
		if h.Up && copies[h.Index] != 1 {
			t.Errorf("2 s after a crash of a sixth of the hosts, host %d gets %d copies: %+v", h.Index, copies[h.Index], w.sub(h, subs[h]))
		}
	}
	w.RunFor(20 * time.Second)
	once("after the crash")
	w.check(t)
	// The tree goes away with its subscribers.
	for h, s := range subs {
		if h.Up {
			w.Do(h, func(n *overlay.Node, now Time) {
				if err := n.Unsubscribe(now, s); err != nil {
					t.Error(err)
				}
			})
		}
	}
	w.RunFor(20 * time.Second)
	for i := range f.entries {
		if w.hosts[i].Up && i != pub.Index {
			t.Errorf("host %d still forwards the stream that nobody wants", i)
		}
	}
}

func TestContracts(t *testing.T) {
	cfg := config(4)
	cfg.Links = plane{8}
	w := grown(t, cfg, 40)
	pub := w.hosts[0]
	id := w.announce(t, pub, 1e6)
	w.RunFor(time.Second)
	far := w.hosts[39] // 7 columns and 4 rows away: 18.25 ms by the direct link
	cases := []struct {
		name string
		host *Host
		c    wire.Contract
		want overlay.ContractState
		why  string
	}{
		{"near", w.hosts[1], wire.Contract{LatencyUs: 40_000}, overlay.Admitted, ""},
		{"slower than light", far, wire.Contract{LatencyUs: 5_000}, overlay.Refused, "ms"},
		{"too fast", w.hosts[2], wire.Contract{MinRateBps: 2e6}, overlay.Refused, "bit/s"},
		{"best effort", w.hosts[3], wire.Contract{LatencyUs: 1_000, BestEffort: true}, overlay.Violated, "ms"},
		{"unknown", w.hosts[4], wire.Contract{}, overlay.Refused, "no host publishes"},
	}
	ids := make([]overlay.SubID, len(cases))
	for i, c := range cases {
		s := id
		if c.name == "unknown" {
			s[15] = 99
		}
		ids[i] = w.subscribe(t, c.host, s, c.c)
	}
	w.RunFor(15 * time.Second)
	for i, c := range cases {
		st := w.sub(c.host, ids[i])
		if st.State != c.want || !strings.Contains(st.Reason, c.why) {
			t.Errorf("%s: %s (%s), want %s with %q", c.name, st.State, st.Reason, c.want, c.why)
		}
	}
}

// Of a host with too small an uplink, a subscriber that accepts it gets the
// stream thinned out, one that does not gets a reason.
func TestDegrade(t *testing.T) {
	cfg := config(5)
	cfg.Links = plane{8}
	cfg.Overlay.CapacityBps = 1_600_000
	w := grown(t, cfg, 20)
	id := w.announce(t, w.hosts[0], 1e6)
	w.RunFor(time.Second)
	var degraded, refused, full int
	var hs []*Host
	var ids []overlay.SubID
	for i := 1; i < 20; i++ {
		c := wire.Contract{}
		if i%2 == 0 {
			c.Degrade = []string{"filter"}
		}
		hs = append(hs, w.hosts[i])
		ids = append(ids, w.subscribe(t, w.hosts[i], id, c))
		w.RunFor(time.Second)
	}
	w.RunFor(5 * time.Second)
	for i, h := range hs {
		st := w.sub(h, ids[i])
		switch {
		case st.State == overlay.Refused:
			refused++
		case st.Degraded == "filter" && len(st.Contract.Degrade) == 0:
			t.Errorf("host %d gets a filtered stream that it did not accept", h.Index)
		case st.Degraded == "filter":
			degraded++
		case st.State == overlay.Admitted:
			full++
		default:
			t.Errorf("host %d: %s (%s)", h.Index, st.State, st.Reason)
		}
	}
	t.Logf("%d full, %d degraded, %d refused", full, degraded, refused)
	if full == 0 || degraded == 0 || refused == 0 {
		t.Error("want some of each")
	}
}

func TestSwap(t *testing.T) {
	cfg := config(6)
	cfg.Links = plane{10}
	w := grown(t, cfg, 100)
	pub := w.hosts[0]
	id := w.announce(t, pub, 1e5)
	f := w.Watch(id)
	w.RunFor(time.Second)
	with, without, swaps := 0, 0, 0
	for round, noSwap := range []bool{true, false} {
		var hs []*Host
		var ids []overlay.SubID
		for i := 20; i < 60; i++ {
			h := w.hosts[i]
			direct := w.Delay(pub, h)
			c := wire.Contract{LatencyUs: uint32(direct/time.Microsecond) * 3 / 2, NoSwap: noSwap}
			hs, ids = append(hs, h), append(ids, w.subscribe(t, h, id, c))
			w.RunFor(500 * time.Millisecond)
		}
		w.RunFor(30 * time.Second)
		copies, _ := f.Packet()
		for i, h := range hs {
			st := w.sub(h, ids[i])
			swaps += st.Swaps
			if st.State == overlay.Admitted || st.State == overlay.AtRisk {
				if round == 0 {
					without++
				} else {
					with++
				}
				if copies[h.Index] != 1 {
					t.Errorf("host %d: %d copies", h.Index, copies[h.Index])
				}
			}
			w.Do(h, func(n *overlay.Node, now Time) { _ = n.Unsubscribe(now, ids[i]) })
		}
		w.RunFor(20 * time.Second)
		w.check(t)
	}
	t.Logf("of 40 contracts at 1.5 times the direct latency: %d met without exchanges, %d with (%d tried)", without, with, swaps)
	if with <= without {
		t.Errorf("exchanging ids does not help: %d contracts met with, %d without", with, without)
	}
}
