// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// wish is a subscription that its user has not ended.
type wish struct {
	host   *Host
	born   Time // of the host's process
	id     overlay.SubID
	stream int
	c      wire.Contract
	trail  []string // states it went through
}

// surviving is a network where streams are wished for while hosts come and go.
type surviving struct {
	w      *Net
	r      *rand.Rand
	pubs   []*Host
	ids    []wire.StreamID
	flows  []*Flow
	points []wire.Point // of the directory entries
	wishes []*wish
	swaps  int
	events map[string]int
}

const (
	surviveHosts   = 24
	surviveStreams = 3
)

// survive plays a seed: subscriptions with and without bounds, by id and by name,
// exchanges of ids, joins, leaves, crashes of any host and of directory owners on
// purpose, returns, partitions of some seconds, all with loss; then quiet. It tells which wish for a stream that is still
// published was not granted.
func survive(t testing.TB, seed uint64, length Time) (s *surviving, bad []string) {
	cfg := config(seed)
	cfg.Links, cfg.Jitter = plane{6}, 1
	s = &surviving{w: New(cfg), r: rand.New(rand.NewPCG(seed, 21)), events: map[string]int{}}
	w, r := s.w, s.r
	s.start(t)
	w.cfg.Loss = float64(1+r.IntN(5)) / 100
	for end := w.now + length; w.now < end; {
		s.step()
		w.RunFor(Time(r.IntN(1500)) * time.Millisecond)
		if seed%2 == 1 {
			s.lose()
		}
	}
	w.cfg.Loss = 0
	w.RunFor(45 * time.Second)
	return s, s.broken()
}

// start makes the overlay and its streams, and follows them.
func (s *surviving) start(t testing.TB) {
	t.Helper()
	w := s.w
	w.Filter = func(_, _ *Host, m wire.Message) bool {
		if l, ok := m.(*wire.Lookup); ok && l.Kind == wire.Put && !slices.Contains(s.points, l.Target) {
			s.points = append(s.points, l.Target)
		}
		return true
	}
	w.OnEffect = func(h *Host, e overlay.Effect) {
		switch e := e.(type) {
		case overlay.SubChanged:
			for _, x := range s.wishes {
				if x.host == h && x.id == e.Sub.ID && x.born == h.Born {
					x.trail = append(x.trail, fmt.Sprintf("%.1f %s (%s)", w.now.Seconds(), e.Sub.State, e.Sub.Reason))
				}
			}
		case overlay.Event:
			switch e.Kind {
			case "swapped":
				s.swaps++
			case "path-detour":
				s.events["path around loss"]++
			}
		}
	}
	first := w.Add()
	w.Do(first, func(n *overlay.Node, now Time) { n.Create(now) })
	for range surviveHosts - 1 {
		s.join()
		w.RunFor(200 * time.Millisecond)
	}
	w.RunFor(10 * time.Second)
	for i := range surviveStreams {
		h := w.hosts[i]
		id := wire.StreamID{byte(i + 1), byte(w.cfg.Seed)}
		w.Do(h, func(n *overlay.Node, now Time) {
			if err := n.Announce(now, wire.StreamInfo{ID: id, Name: fmt.Sprint("s", i), Public: true, RateBps: 1e5}); err != nil {
				t.Fatal(err)
			}
		})
		s.pubs, s.ids, s.flows = append(s.pubs, h), append(s.ids, id), append(s.flows, w.Watch(id))
	}
	w.RunFor(time.Second)
}

func (s *surviving) join() {
	live := s.live(0)
	seed := live[s.r.IntN(len(live))]
	h := s.w.Add()
	s.w.Do(h, func(n *overlay.Node, now Time) { n.Join(now, []wire.Peer{seed.Peer, s.w.hosts[0].Peer}) })
}

// live are the hosts that run, from the i-th on: those before publish, and stay.
func (s *surviving) live(i int) []*Host {
	var v []*Host
	for _, h := range s.w.hosts[i:] {
		if h.Up && h.Node.State() == overlay.Member {
			v = append(v, h)
		}
	}
	return v
}

// step is one thing that happens.
func (s *surviving) step() {
	w, r := s.w, s.r
	live := s.live(surviveStreams)
	if r.IntN(8) == 0 {
		s.wish(s.pubs[r.IntN(len(s.pubs))]) // of another's stream: publishers exchange ids as well
	}
	op := r.IntN(21)
	if len(live) < surviveHosts/2 {
		op = 9
	}
	h := live[r.IntN(len(live))]
	switch {
	case op < 9:
		s.events["subscribe"]++
		s.wish(h)
	case op < 11:
		s.events["join"]++
		s.join()
	case op < 12:
		s.events["crash"]++
		w.Crash(h)
	case op < 14: // the owner of a directory entry
		if len(s.points) > 0 {
			if i := w.Own.Owner(s.points[r.IntN(len(s.points))]); i >= surviveStreams && w.hosts[i].Up {
				s.events["directory crash"]++
				w.Crash(w.hosts[i])
			}
		}
	case op < 16:
		for _, h := range w.hosts {
			if !h.Up && h.Node.State() != overlay.Gone {
				s.events["return"]++
				w.Restart(h, []wire.Peer{w.hosts[0].Peer})
				break
			}
		}
	case op < 17:
		s.events["leave"]++
		w.Do(h, func(n *overlay.Node, now Time) { n.Leave(now) })
	case op < 18:
		s.events["cut"]++
		side := 1 + r.IntN(7)
		for _, h := range w.hosts {
			h.Group = h.Index >> (side % 3) & 1
		}
		w.RunFor(Time(1+r.IntN(9)) * time.Second)
		for _, h := range w.hosts {
			h.Group = 0
		}
	default:
		if len(s.wishes) > 0 {
			x := s.wishes[r.IntN(len(s.wishes))]
			if x.alive() {
				s.events["unsubscribe"]++
				w.Do(x.host, func(n *overlay.Node, now Time) { _ = n.Unsubscribe(now, x.id) })
			}
			s.wishes = slices.DeleteFunc(s.wishes, func(y *wish) bool { return x == y })
		}
	}
}

// lose reports losses to those who mind: they look for other paths all the time.
func (s *surviving) lose() {
	for _, x := range s.wishes {
		if x.alive() && x.c.LossPpm > 0 {
			s.w.Do(x.host, func(n *overlay.Node, now Time) {
				n.Measured(now, x.id, overlay.Report{Packets: 180, Lost: 20, Duration: time.Second})
			})
		}
	}
}

// wish subscribes a host to a stream that it does not have yet.
func (s *surviving) wish(h *Host) {
	i := s.r.IntN(surviveStreams)
	if h == s.pubs[i] {
		return
	}
	if slices.ContainsFunc(s.wishes, func(x *wish) bool { return x.host == h && x.stream == i && x.alive() }) {
		return
	}
	x := &wish{host: h, born: h.Born, stream: i}
	if direct := s.w.Delay(s.pubs[i], h); s.r.IntN(2) == 0 {
		x.c.LatencyUs = uint32(direct/time.Microsecond) * uint32(11+s.r.IntN(6)) / 10
	}
	x.c.BestEffort = s.r.IntN(3) > 0
	if x.c.BestEffort && s.r.IntN(2) == 0 {
		x.c.LossPpm = 10_000
	}
	id, name := s.ids[i], ""
	if s.r.IntN(2) == 0 {
		id, name = wire.StreamID{}, fmt.Sprint("s", i)
	}
	s.w.Do(h, func(n *overlay.Node, now Time) {
		x.id, _ = n.Subscribe(now, id, name, x.c)
		s.wishes = append(s.wishes, x)
	})
}

// alive says whether the host still runs in which it was wished for.
func (x *wish) alive() bool {
	return x.host.Up && x.host.Born == x.born && x.host.Node.State() != overlay.Leaving
}

// broken lists what is wrong after the quiet time.
func (s *surviving) broken() (bad []string) {
	copies := make([]map[int]int, len(s.flows))
	for i, f := range s.flows {
		copies[i], _ = f.Packet()
	}
	for _, x := range s.wishes {
		if !x.alive() {
			continue
		}
		u := s.w.sub(x.host, x.id)
		got := copies[x.stream][x.host.Index]
		// A contract with a bound may be refused, for that bound, at the start.
		if u.State == overlay.Refused && x.c.LatencyUs > 0 && !x.c.BestEffort && got == 0 && strings.HasPrefix(u.Reason, "the path takes") && !x.served() {
			continue
		}
		if !served(u.State) || got != 1 {
			bad = append(bad, fmt.Sprintf("host %d, stream %d, %+v: %s (%s), %d copies; %v", x.host.Index, x.stream, x.c, u.State, u.Reason, got, x.trail))
		}
	}
	return bad
}

func served(s overlay.ContractState) bool {
	return s == overlay.Admitted || s == overlay.AtRisk || s == overlay.Violated
}

// served says whether the wish was ever granted.
func (x *wish) served() bool {
	return slices.ContainsFunc(x.trail, func(t string) bool {
		var at float64
		var state string
		_, _ = fmt.Sscan(t, &at, &state)
		return state == "admitted" || state == "at" || state == "violated"
	})
}

var (
	surviveFrom  = flag.Uint64("survive.from", 0, "the first seed of TestSubscriptionsSurvive")
	surviveSeeds = flag.Uint64("survive.seeds", 40, "how many seeds it plays")
)

// A user's subscription ends by his word, by the publisher's, or by a contract that
// no path can meet; whatever else happens, he gets the stream again.
func TestSubscriptionsSurvive(t *testing.T) {
	events := map[string]int{}
	swaps, wishes := 0, 0
	for seed := *surviveFrom; seed < *surviveFrom+*surviveSeeds; seed++ {
		s, bad := survive(t, seed, 60*time.Second)
		for _, b := range bad {
			t.Errorf("seed %d: %s", seed, b)
		}
		for k, v := range s.events {
			events[k] += v
		}
		swaps += s.swaps
		wishes += len(s.wishes)
	}
	t.Logf("%v; %d exchanges of ids, %d wishes", events, swaps, wishes)
}

// Directory entries move with the ids that they belong to: while hosts exchange ids,
// join and leave, and nobody crashes, the directory never says that it has no entry.
func TestDirectoryMoves(t *testing.T) {
	gets, none, swaps := 0, 0, 0
	for seed := range uint64(6) {
		cfg := config(seed)
		cfg.Links = plane{6}
		s := &surviving{w: New(cfg), r: rand.New(rand.NewPCG(seed, 22)), events: map[string]int{}}
		asked := map[uint64]bool{}
		s.start(t)
		s.w.Filter = func(_, _ *Host, m wire.Message) bool {
			switch m := m.(type) {
			case *wire.Lookup:
				if m.Kind == wire.Get && !asked[m.Req] {
					asked[m.Req] = true
					gets++
				}
			case *wire.Found:
				if asked[m.Req] && len(m.Infos) == 0 {
					none++
				}
			}
			return true
		}
		for range 100 {
			live := s.live(surviveStreams)
			switch s.r.IntN(10) {
			case 0:
				s.join()
			case 1:
				s.w.Do(live[s.r.IntN(len(live))], func(n *overlay.Node, now Time) { n.Leave(now) })
			default:
				s.wish(live[s.r.IntN(len(live))])
			}
			s.w.RunFor(200 * time.Millisecond)
		}
		swaps += s.swaps
	}
	t.Logf("%d looks into the directory, %d found nothing; %d exchanges", gets, none, swaps)
	if none > 0 || gets == 0 || swaps == 0 {
		t.Errorf("%d of %d looks into the directory found no entry during %d exchanges", none, gets, swaps)
	}
}

// A directory that has no entry of a stream, for a while, ends no subscription to it:
// who waits says so, and is served when the entry is there.
func TestWaitsForTheDirectory(t *testing.T) {
	w := grown(t, config(8), 20)
	lost := true
	w.Filter = func(_, _ *Host, m wire.Message) bool {
		l, ok := m.(*wire.Lookup)
		return !lost || !ok || l.Kind != wire.Put
	}
	pub := w.hosts[3]
	id := w.announce(t, pub, 1e5)
	h := w.hosts[11]
	sub := w.subscribe(t, h, id, wire.Contract{BestEffort: true})
	for range 9 {
		w.RunFor(time.Second)
		if st := w.sub(h, sub); st.State != overlay.Resolving || st.Reason != "waiting: stream not found" {
			t.Fatalf("after %v: %s (%s)", w.now, st.State, st.Reason)
		}
	}
	lost = false
	w.RunFor(8 * time.Second)
	if st := w.sub(h, sub); st.State != overlay.Admitted {
		t.Errorf("the publisher has renewed its entry: %s (%s)", st.State, st.Reason)
	}
}

// Who was served asks the publisher when the directory has nothing, and so learns
// whether the stream is still there.
func TestAsksThePublisher(t *testing.T) {
	w := grown(t, config(8), 20)
	pub, h := w.hosts[3], w.hosts[11]
	id := w.announce(t, pub, 1e5)
	w.RunFor(time.Second)
	sub := w.subscribe(t, h, id, wire.Contract{})
	w.RunFor(2 * time.Second)
	w.Filter = func(_, _ *Host, m wire.Message) bool {
		l, ok := m.(*wire.Lookup)
		return !ok || l.Kind != wire.Put
	}
	alone := func() overlay.SubStatus {
		t.Helper()
		h.Group = 1
		w.RunFor(30 * time.Second) // entries are kept for 20 s
		if st := w.sub(h, sub); st.State != overlay.Lost || !strings.HasPrefix(st.Reason, "waiting: ") {
			t.Errorf("cut off: %s (%s)", st.State, st.Reason)
		}
		h.Group = 0
		w.RunFor(20 * time.Second)
		return w.sub(h, sub)
	}
	if st := alone(); st.State != overlay.Admitted {
		t.Errorf("with a lost entry: %s (%s)", st.State, st.Reason)
	}
	h.Group = 1
	w.Do(pub, func(n *overlay.Node, now Time) {
		if err := n.Withdraw(now, id); err != nil {
			t.Error(err)
		}
	})
	if st := alone(); st.State != overlay.Withdrawn {
		t.Errorf("withdrawn meanwhile: %s (%s)", st.State, st.Reason)
	}
}

// What the directory of one side of a partition says is not believed.
func TestWaitsForTheOtherSide(t *testing.T) {
	w := grown(t, config(8), 20)
	pub, h := w.hosts[3], w.hosts[10]
	id := w.announce(t, pub, 1e5)
	w.RunFor(time.Second)
	for i, h := range w.hosts {
		h.Group = i % 2
	}
	w.RunFor(25 * time.Second) // entries are kept for 20 s
	sub := w.subscribe(t, h, id, wire.Contract{})
	w.RunFor(15 * time.Second)
	if st := w.sub(h, sub); st.State != overlay.Resolving || st.Reason != "waiting: stream not found" {
		t.Errorf("on the other side: %s (%s)", st.State, st.Reason)
	}
	for _, h := range w.hosts {
		h.Group = 0
	}
	w.RunFor(20 * time.Second)
	if st := w.sub(h, sub); st.State != overlay.Admitted {
		t.Errorf("after healing: %s (%s)", st.State, st.Reason)
	}
}
