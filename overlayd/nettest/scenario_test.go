// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"sandstream/internal/live/netem"
	"sandstream/overlayapi/overlayv1"
)

const (
	hosts     = 16
	seed      = 4
	publisher = 0
	median    = 20 * time.Millisecond // delay between two hosts
	// A host probes one peer each half second: by then each link is measured a few times.
	settle = 20 * time.Second
)

// lossy are hosts behind a bad access line: packets to them are lost at lossShare.
var lossy = []int{14, 15}

const lossShare = .03

// TestSixteenHosts is the scenario of the package comment.
func TestSixteenHosts(t *testing.T) {
	l, m := transitStub(t, hosts)
	defer l.close(t) // also where it ends early
	if !t.Run("join", l.join) {
		return
	}
	t.Run("idle", func(t *testing.T) { l.idle(t, m) })
	t.Run("video", func(t *testing.T) {
		// The lines are bad for this part only: later ones look at what is not lost.
		l.setLoss(t, m, lossShare)
		defer l.setLoss(t, m, 0)
		l.video(t, m)
		l.costs(t, m, "after the video")
	})
	s := l.startStamped(t)
	if s != nil {
		t.Run("kill", func(t *testing.T) { l.kill(t, s) })
		t.Run("partition", func(t *testing.T) { l.partition(t, s) })
		t.Run("order", func(t *testing.T) { l.order(t, s) })
		t.Run("narrow", l.narrow)
	}
}

// transitStub opens a lab of so many hosts on a transit-stub network.
func transitStub(t *testing.T, hosts int) (*lab, netem.Matrix) {
	t.Helper()
	switch {
	case testing.Short():
		t.Skip("takes minutes: run without -short")
	case raceDetector:
		t.Skip("measures times, which the race detector changes: run 'make test-overlay'")
	}
	l := newLab(t, hosts, seed, 10*time.Minute)
	m, err := netem.TransitStub(netem.Small, hosts, median, seed)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Net.SetLinks(m); err != nil {
		t.Fatal(err)
	}
	return l, m
}

// close notes what is true of a whole run.
func (l *lab) close(t *testing.T) {
	polls, claims := l.owners.Polls()
	l.never(t, "two owners of one (id, epoch)", fmt.Sprintf("%d (in %d statuses with %d claims)", len(l.owners.Wrong()), polls, claims), l.owners.Wrong() == nil)
	for _, w := range l.owners.Wrong() {
		t.Error(w)
	}
	stats := l.Net.Stats()
	l.figures.Add("datagrams moved; late by", fmt.Sprintf("%d; %v on average, %v at most", stats.Of(netem.Delivered), stats.LateMean, stats.LateMax), "", true)
	l.figures.Add("tenths of a second with packets 50 ms late by this machine", fmt.Sprintf("%d", len(l.flows.Stalls())), "", true)
}

// setLoss makes the lossy hosts' access lines lose so much.
func (l *lab) setLoss(t *testing.T, m netem.Matrix, share float64) {
	t.Helper()
	for _, j := range lossy {
		for i := range hosts {
			link := m[i][j]
			link.Loss = share
			if err := l.Net.SetLink(i, j, link); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// join starts all hosts, each through one that runs already.
func (l *lab) join(t *testing.T) {
	if err := l.StartDaemon(0); err != nil {
		t.Fatal(err)
	}
	l.await(t, "the first host", 20*time.Second, func() error { return whole(l.ctx, l.Clients(), l.owners) })
	l.watchOwners()
	rng := rand.New(rand.NewPCG(seed, 1))
	begin := time.Now()
	n := len(l.Hosts)
	for i := 1; i < n; i++ {
		if err := l.StartDaemon(i, rng.IntN(i)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(150 * time.Millisecond)
	}
	l.await(t, "one overlay of all hosts", 60*time.Second, func() error { return whole(l.ctx, l.Clients(), l.owners) })
	took := time.Since(begin)
	l.check(t, fmt.Sprintf("%d hosts join, every id owned once", n), round(took), "≤ 60 s", took <= time.Minute)
	for i, s := range poll(l.ctx, l.Clients()) {
		l.index[s.GetSelf().GetId()] = i
	}
	if len(l.index) != n {
		t.Fatalf("%d different host ids", len(l.index))
	}
}

// idle measures what the overlay costs when nothing flows, while links are measured.
func (l *lab) idle(t *testing.T, m netem.Matrix) {
	t0 := l.now()
	time.Sleep(settle)
	t1 := l.now()
	c := l.flows.All(t0, t1)
	l.figures.Add("idle: datagrams per host and second", fmt.Sprintf("%.1f", float64(c.Sent)/hosts/(t1-t0).Seconds()), "", true)
	var heap, goroutines uint64
	for _, s := range poll(l.ctx, l.Clients()) {
		heap, goroutines = max(heap, s.GetHeapBytes()), max(goroutines, uint64(s.GetGoroutines()))
	}
	l.costs(t, m, "after "+settle.String())
	l.figures.Add("idle: largest heap, most goroutines of a daemon", fmt.Sprintf("%d KiB, %d", heap>>10, goroutines), "", true)
}

// costs compares the costs of links as the hosts have measured them with the delays of
// the emulated network.
func (l *lab) costs(t *testing.T, m netem.Matrix, when string) {
	var off []float64
	for i, c := range l.Clients() {
		r, err := c.Peers(l.ctx, connect.NewRequest(&overlayv1.PeersRequest{}))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, p := range r.Msg.GetPeers() {
			if j, ok := l.index[p.GetHost().GetId()]; ok && p.GetRttUs() > 0 {
				d := m[i][j].Delay + m[j][i].Delay
				off = append(off, float64(p.GetCostUs())*2/float64(d.Microseconds())-1)
			}
		}
	}
	if len(off) == 0 {
		t.Error("no host has measured a link")
		return
	}
	slices.Sort(off)
	q := func(share float64) float64 { return 100 * off[int(share*float64(len(off)-1))] }
	l.figures.Add("link costs of "+fmt.Sprint(len(off))+" links against true delays, "+when,
		fmt.Sprintf("min %+.0f %%, median %+.0f %%, P90 %+.0f %%, max %+.0f %%", q(0), q(.5), q(.9), q(1)), "", true)
}

// stampedRun is a stream of numbered payloads that flows through kill and partition.
type stampedRun struct {
	Stamped
	subs map[int]*Arrivals // by host
	stop func()            // ends the stream
	wg   sync.WaitGroup
	err  chan failure
}

// failure is what went wrong at a host.
type failure struct {
	host int
	err  error
}

// startStamped publishes and subscribes at eight hosts. Nil if it does not flow.
func (l *lab) startStamped(t *testing.T) *stampedRun {
	t.Helper()
	ctx, cancel := context.WithCancel(l.ctx)
	s := &stampedRun{
		Stamped: Stamped{Name: "beats", Size: 600, Gap: 10 * time.Millisecond, Base: l.Net.Start()},
		subs:    map[int]*Arrivals{}, stop: cancel, err: make(chan failure, 32),
	}
	t.Cleanup(func() {
		cancel()
		s.wg.Wait()
	})
	started := make(chan struct{})
	s.wg.Go(func() {
		if _, err := s.Publish(ctx, l.Hosts[publisher].Client, started); err != nil && l.ctx.Err() == nil {
			s.err <- failure{publisher, err}
		}
	})
	select {
	case <-started:
	case f := <-s.err:
		t.Error(f.err)
		return nil
	case <-time.After(10 * time.Second):
		t.Error("the stream is not announced within 10 s")
		return nil
	}
	for i := 1; i < 14 && len(s.subs) < 8; i++ { // hosts without loss
		if i%3 == 0 {
			continue // some hosts have no subscription and only forward
		}
		a := &Arrivals{}
		s.subs[i] = a
		s.wg.Go(func() {
			err := s.Subscribe(ctx, l.Hosts[i].Client, &overlayv1.Contract{BestEffort: true}, a, nil)
			if err != nil && l.ctx.Err() == nil {
				s.err <- failure{i, err}
			}
		})
	}
	_, err := eventually(l.ctx, 15*time.Second, 100*time.Millisecond, func() error {
		for i, a := range s.subs {
			if n := a.Len(); n < 200 {
				return fmt.Errorf("host %d has %d payloads", i, n)
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("the numbered stream does not arrive everywhere: %v", err)
		return nil
	}
	return s
}

// forwarders counts how many subscribers' paths each host forwards for.
func (l *lab) forwarders(t *testing.T, s *stampedRun) map[int]int {
	t.Helper()
	count := map[int]int{}
	for i := range s.subs {
		sub, err := l.subscription(i, s.Name)
		if err != nil {
			t.Fatal(err)
		}
		path, err := l.hops(sub.GetPath())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("host %d gets %q by %v", i, s.Name, path)
		for _, h := range path {
			if h != publisher && h != i {
				count[h]++
			}
		}
	}
	return count
}

// victims are the three hosts whose loss hurts most, leaving six subscribers at least.
func victims(forward map[int]int, subs map[int]*Arrivals) []int {
	order := []int{}
	for i := range hosts {
		if i != publisher && !slices.Contains(lossy, i) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return forward[b] - forward[a] })
	var chosen []int
	lost := 0
	for _, i := range order {
		if _, sub := subs[i]; sub {
			if lost == 2 {
				continue
			}
			lost++
		}
		if chosen = append(chosen, i); len(chosen) == 3 {
			break
		}
	}
	return chosen
}

// kill kills three hosts at once, those that forward most.
func (l *lab) kill(t *testing.T, s *stampedRun) {
	forward := l.forwarders(t, s)
	dead := victims(forward, s.subs)
	hurt := 0
	for _, i := range dead {
		l.killed[i] = true
		hurt += forward[i]
	}
	at := l.now()
	for _, i := range dead {
		if err := l.Kill(i); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("killed hosts %v, through which %d paths went", dead, hurt)
	took, err := eventually(l.ctx, 30*time.Second, 100*time.Millisecond, func() error { return whole(l.ctx, l.Clients(), l.owners) })
	l.check(t, "3 of 16 killed: every id owned again", round(took)+because(err), "≤ 15 s", err == nil && took <= 15*time.Second)
	time.Sleep(max(0, 10*time.Second-(l.now()-at)))
	var worst time.Duration
	survivors := 0
	for _, i := range slices.Sorted(maps.Keys(s.subs)) {
		if l.killed[i] {
			continue
		}
		survivors++
		v := s.subs[i].Judge(at, at+10*time.Second)
		worst = max(worst, v.Gap)
		t.Logf("host %d: %+v", i, v)
	}
	l.check(t, fmt.Sprintf("longest silence at %d survivors (%d paths broken)", survivors, hurt), round(worst), "≤ 2 s", worst <= 2*time.Second)
}

// partition cuts the survivors in two for a while.
func (l *lab) partition(t *testing.T, s *stampedRun) {
	var sides [2][]int
	for i := range hosts {
		if !l.killed[i] {
			sides[i%2] = append(sides[i%2], i)
		}
	}
	mine := sides[publisher%2]
	const lasts = 12 * time.Second
	at := l.now()
	l.Net.Partition(sides[0], sides[1])
	time.Sleep(lasts)
	healed := l.now()
	l.Net.Heal()
	took, err := eventually(l.ctx, 40*time.Second, 100*time.Millisecond, func() error { return whole(l.ctx, l.Clients(), l.owners) })
	l.check(t, fmt.Sprintf("partition %d/%d for %v healed: one overlay", len(sides[0]), len(sides[1]), lasts), round(took)+because(err), "≤ 10 s", err == nil && took <= 10*time.Second)

	// When each subscriber of the other side gets the stream again.
	var back time.Duration
	_, err = eventually(l.ctx, 30*time.Second, 100*time.Millisecond, func() error {
		for i, a := range s.subs {
			if !l.killed[i] && a.Judge(l.now()-time.Second, l.now()).Got == 0 {
				return fmt.Errorf("host %d gets nothing", i)
			}
		}
		return nil
	})
	back = max(0, l.now()-healed-time.Second)
	if err != nil {
		l.explain(t, s)
	}
	l.check(t, "stream flows to every survivor after healing", round(back)+because(err), "≤ 10 s", err == nil && back <= 10*time.Second)
	var near time.Duration
	n := 0
	for _, i := range mine {
		if a := s.subs[i]; a != nil {
			v := a.Judge(at, healed)
			near = max(near, v.Gap)
			n++
			t.Logf("host %d, on the publisher's side: %+v", i, v)
		}
	}
	l.check(t, fmt.Sprintf("longest silence at %d subscribers on the publisher's side", n), round(near), "≤ 5 s", near <= 5*time.Second)
}

// explain logs what the hosts know of a stream that does not arrive everywhere.
func (l *lab) explain(t *testing.T, s *stampedRun) {
	for i, c := range l.Clients() {
		r, err := c.Streams(l.ctx, connect.NewRequest(&overlayv1.StreamsRequest{}))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, st := range r.Msg.GetStreams() {
			if st.GetName() == s.Name {
				path, _ := l.hops(st.GetPath())
				var children []int
				for _, b := range st.GetChildren() {
					children = append(children, l.index[b.GetHost().GetId()])
				}
				t.Logf("host %d: %q comes by %v, goes on to %v, %d packets", i, s.Name, path, children, st.GetPackets())
			}
		}
		if sub, err := l.subscription(i, s.Name); err == nil {
			t.Logf("host %d: %s: %s; %v; %v", i, sub.GetState(), sub.GetReason(), sub.GetMeasured(), sub.GetDelivery())
		}
	}
}

// order ends the stream and judges all of it.
func (l *lab) order(t *testing.T, s *stampedRun) {
	time.Sleep(2 * time.Second)
	end := l.now()
	s.stop()
	s.wg.Wait()
	close(s.err)
	for f := range s.err {
		if !l.killed[f.host] { // a killed daemon ends the call: no fault here
			t.Errorf("host %d: %v", f.host, f.err)
		}
	}
	var got, dup, swapped, missing int
	for i, a := range s.subs {
		v := a.Judge(0, end)
		got, dup, swapped, missing = got+v.Got, dup+v.Duplicates, swapped+v.Reordered, missing+v.Missing
		if err := a.Err(); err != nil {
			t.Errorf("host %d: %v", i, err)
		}
	}
	l.never(t, fmt.Sprintf("duplicated, out of order among %d payloads", got), fmt.Sprintf("%d, %d", dup, swapped), dup == 0 && swapped == 0)
	l.figures.Add("payloads missing over crash and partition", fmt.Sprint(missing), "", true)
}

// round writes a time as people read it.
func round(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// because adds the reason of a failure.
func because(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, context.Canceled) {
		return " (interrupted)"
	}
	return " (" + err.Error() + ")"
}
