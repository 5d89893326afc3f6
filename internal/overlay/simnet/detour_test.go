// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// traffic sends packets over links that lose some, and reports to the subscriptions
// what came, as the daemon's data plane does.
type traffic struct {
	w     *Net
	f     *Flow
	r     *rand.Rand
	subs  map[*Host]overlay.SubID
	loss  func(from, to int) float64
	twice int // packets that a host got more than once
	moves map[int][]Time
	up    map[int]wire.HostID
	aside map[int]bool // about to change to a path around a link
	early int          // changes to a host that did not send yet
}

func newTraffic(w *Net, f *Flow) *traffic {
	x := &traffic{
		w: w, f: f, r: rand.New(rand.NewPCG(w.cfg.Seed, 31)), subs: map[*Host]overlay.SubID{},
		loss: func(int, int) float64 { return 0 }, moves: map[int][]Time{}, up: map[int]wire.HostID{}, aside: map[int]bool{},
	}
	w.Filter = func(from, to *Host, _ wire.Message) bool { return x.r.Float64() >= x.loss(from.Index, to.Index) }
	old := w.OnEffect
	w.OnEffect = func(h *Host, e overlay.Effect) {
		if old != nil {
			old(h, e)
		}
		switch e := e.(type) {
		case overlay.Event:
			if e.Kind == "path-detour" {
				x.aside[h.Index] = true
			}
		case overlay.Forward:
			if e.Stream != f.stream || e.Entry == nil || e.Entry.Upstream.ID == x.up[h.Index] {
				return
			}
			x.up[h.Index] = e.Entry.Upstream.ID
			x.moves[h.Index] = append(x.moves[h.Index], w.now)
			if x.aside[h.Index] {
				x.aside[h.Index] = false
				up := f.entries[w.HostByID(e.Entry.Upstream.ID).Index]
				if up == nil || !slices.ContainsFunc(up.Children, func(c overlay.Child) bool { return c.Host.ID == h.Peer.ID }) {
					x.early++
				}
			}
		}
	}
	return x
}

// runFor sends 100 packets a second and reports each half.
func (x *traffic) runFor(d Time) {
	const part, packets = 500 * time.Millisecond, 50
	for end := x.w.now + d; x.w.now < end; {
		x.w.RunFor(part)
		got := map[int]int{}
		for range packets {
			for h, n := range x.packet() {
				got[h]++
				if n > 1 {
					x.twice++
				}
			}
		}
		for _, h := range x.w.hosts {
			id, ok := x.subs[h]
			if !ok || !h.Up {
				continue
			}
			n := uint64(got[h.Index])
			rep := overlay.Report{Packets: n, Lost: packets - min(n, packets), Bytes: n * 1000, Duration: part}
			x.w.Do(h, func(n *overlay.Node, now Time) { n.Measured(now, id, rep) })
		}
	}
}

// packet counts who gets one packet how often.
func (x *traffic) packet() map[int]int {
	got := map[int]int{}
	var down func(i int, from wire.HostID, hops int)
	down = func(i int, from wire.HostID, hops int) {
		h, e := x.w.hosts[i], x.f.entries[i]
		if !h.Up || e == nil || hops > wire.MaxPath || !e.Publisher && e.Upstream.ID != from {
			return
		}
		if len(e.Local) > 0 {
			got[i]++
		}
		for _, c := range e.Children {
			if to := x.w.HostAt(c.Host.Addr); x.r.Float64() >= x.loss(i, to.Index) {
				down(to.Index, h.Peer.ID, hops+1)
			}
		}
	}
	for i, e := range x.f.entries {
		if e.Publisher {
			down(i, wire.HostID{}, 0)
		}
	}
	return got
}

// path lists the hosts of a subscription's path.
func (x *traffic) path(h *Host) (v []int) {
	for _, p := range x.w.sub(h, x.subs[h]).Path {
		v = append(v, x.w.HostByID(p.Host.ID).Index)
	}
	return v
}

func crosses(path []int, a, b int) bool {
	for i := 1; i < len(path); i++ {
		if path[i-1] == a && path[i] == b {
			return true
		}
	}
	return false
}

var lossySeeds = flag.Uint64("lossy.seeds", 30, "how many seeds TestLossyLinkIsAvoided plays")

// A link begins to lose a tenth. Who tolerates one per cent gets another path, and
// stays there; nobody else's path changes.
func TestLossyLinkIsAvoided(t *testing.T) {
	kinds := map[string]int{}
	var all []Time
	for seed := range *lossySeeds {
		cfg := config(seed)
		cfg.Links = plane{6}
		w := grown(t, cfg, 30)
		pub := w.hosts[seed%30]
		id := w.announce(t, pub, 1e6)
		x := newTraffic(w, w.Watch(id))
		w.RunFor(time.Second)
		for i, h := range w.hosts {
			if h != pub && i%2 == 0 {
				c := wire.Contract{BestEffort: true}
				if i%4 == 0 {
					c.LossPpm = 10_000
				}
				x.subs[h] = w.subscribe(t, h, id, c)
			}
		}
		x.runFor(20 * time.Second)
		// One subscriber with such a contract, and a link of its path.
		var who []*Host
		for _, h := range w.hosts {
			if x.subs[h] != 0 && h.Index%4 == 0 {
				who = append(who, h)
			}
		}
		h := who[x.r.IntN(len(who))]
		p := x.path(h)
		i := 1 + x.r.IntN(len(p)-1)
		a, b := p[i-1], p[i]
		kind := "on the way"
		if i == len(p)-1 {
			kind = "the last"
			if i == 1 {
				kind = "the only"
			}
		}
		kinds[kind]++
		before, moved := map[*Host][]int{}, map[int]int{}
		for h := range x.subs {
			before[h], moved[h.Index] = x.path(h), len(x.moves[h.Index])
		}
		x.loss = func(from, to int) float64 {
			if from == a && to == b || from == b && to == a {
				return .1
			}
			return 0
		}
		met := func() bool {
			for _, h := range who {
				if crosses(x.path(h), a, b) {
					return false
				}
				if st := w.sub(h, x.subs[h]); st.State != overlay.Admitted && st.State != overlay.AtRisk {
					return false
				}
			}
			return true
		}
		begin := w.now
		for !met() && w.now-begin < 60*time.Second {
			x.runFor(500 * time.Millisecond)
		}
		took := w.now - begin
		all = append(all, took)
		if took > 50*time.Second {
			for _, h := range who {
				st := w.sub(h, x.subs[h])
				t.Errorf("seed %d, link %d to %d (%s) of host %d: not met after %v: host %d %s (%s), path %v, %v", seed, a, b, kind, h.Index, took,
					h.Index, st.State, st.Reason, x.path(h), h.Node.Status(w.now).Counts)
			}
		}
		// Where the lossy link stays, because nobody minds, lost beats may break a path.
		settled := map[int]int{}
		for h := range x.subs {
			if !crosses(x.path(h), a, b) {
				settled[h.Index] = len(x.moves[h.Index])
			}
		}
		x.runFor(60 * time.Second)
		for i, n := range settled {
			if v := x.moves[i]; len(v) > n {
				t.Errorf("seed %d: host %d changes its path after all contracts are met again: %v, %v", seed, i, v[n:], w.now)
			}
		}
		for h, old := range before {
			now := x.path(h)
			mine := slices.Contains(who, h) && crosses(old, a, b)
			n := len(x.moves[h.Index]) - moved[h.Index]
			if mine && n > 2 {
				t.Errorf("seed %d: host %d changed its parent %d times", seed, h.Index, n)
			}
			if !crosses(old, a, b) && !slices.Equal(old, now) {
				t.Errorf("seed %d: the path of host %d, which asked for nothing, was %v and is %v; the link is %d to %d", seed, h.Index, old, now, a, b)
			}
		}
		if x.twice > 0 || x.early > 0 {
			t.Errorf("seed %d: %d packets came twice, %d hosts left a path before the new one brought anything", seed, x.twice, x.early)
		}
	}
	slices.Sort(all)
	t.Logf("%v; met again after %v in the middle, %v at most", kinds, all[len(all)/2], all[len(all)-1])
}

// The line of a host loses on all its links: no path is better, and it does not look
// for one all the time.
func TestLossyLineIsKept(t *testing.T) {
	most := 0
	for seed := range uint64(10) {
		cfg := config(seed)
		cfg.Links = plane{6}
		w := grown(t, cfg, 30)
		pub, h := w.hosts[0], w.hosts[7+seed]
		id := w.announce(t, pub, 1e6)
		x := newTraffic(w, w.Watch(id))
		w.RunFor(time.Second)
		x.subs[h] = w.subscribe(t, h, id, wire.Contract{LossPpm: 10_000})
		for i := 20; i < 30; i++ {
			x.subs[w.hosts[i]] = w.subscribe(t, w.hosts[i], id, wire.Contract{})
		}
		x.runFor(10 * time.Second)
		x.loss = func(_, to int) float64 {
			if to == h.Index {
				return .05
			}
			return 0
		}
		before := len(x.moves[h.Index])
		x.runFor(3 * time.Minute)
		most = max(most, len(x.moves[h.Index])-before)
		if st := w.sub(h, x.subs[h]); st.State != overlay.Violated {
			t.Errorf("seed %d: %s (%s), where 5 %% of all packets are lost", seed, st.State, st.Reason)
		}
		if x.twice > 0 {
			t.Errorf("seed %d: %d packets came twice", seed, x.twice)
		}
	}
	t.Logf("at most %d changes of the path in 3 minutes", most)
	if most > 5 {
		t.Errorf("%d changes of the path in 3 minutes, of which none can help", most)
	}
}
