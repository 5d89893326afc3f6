// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"sandstream/internal/live/netem"
	"sandstream/overlayapi/overlayv1"
)

const (
	swapHosts  = 48 // enough that most hosts are not one another's neighbours
	swapGroups = 3
	swapGroup  = 12
	// About 20 peers, one probed each half second, three samples each.
	swapSettle = 30 * time.Second
)

// TestExchangeOfIDs subscribes groups of hosts with bounds a little above the direct way's
// latency, once with ids fixed and once with leave to exchange them (paper, Figure 5), and
// compares how many contracts are met.
func TestExchangeOfIDs(t *testing.T) {
	l, m := transitStub(t, swapHosts)
	defer l.close(t) // also where it ends early
	if !t.Run("join", l.join) {
		return
	}
	time.Sleep(swapSettle)
	l.costs(t, m, "after "+swapSettle.String())
	l.swap(t, m)
}

// swap is the experiment itself, on an overlay whose links are measured.
func (l *lab) swap(t *testing.T, m netem.Matrix) {
	ctx, cancel := context.WithCancel(l.ctx)
	var wg sync.WaitGroup
	defer func() {
		cancel()
		wg.Wait()
	}()
	s := Stamped{Name: "tight", Size: 200, Gap: 20 * time.Millisecond, Base: l.Net.Start()}
	started := make(chan struct{})
	wg.Go(func() {
		if _, err := s.Publish(ctx, l.Hosts[publisher].Client, started); err != nil && l.ctx.Err() == nil {
			t.Error(err)
		}
	})
	select {
	case <-started:
	case <-time.After(10 * time.Second):
		t.Fatal("the stream is not announced within 10 s")
	}
	rng := rand.New(rand.NewPCG(seed, 2))
	var met [2]int // fixed, adaptive
	var swaps uint32
	for range swapGroups {
		group := rng.Perm(swapHosts - 1)[:swapGroup] // host i+1; not the publisher
		for adaptive := range 2 {
			n, made := l.tight(t, s, m, group, adaptive == 1)
			met[adaptive] += n
			swaps += made
		}
	}
	const all = swapGroups * swapGroup
	l.check(
		t, fmt.Sprintf("contracts of %d met (bound: 1.3 × direct + 3 ms), ids fixed → exchanged", all),
		fmt.Sprintf("%d → %d, by %d exchanges", met[0], met[1], swaps), "more", met[1] > met[0],
	)
}

// tight subscribes a group for a while and counts whose path is within its bound.
func (l *lab) tight(t *testing.T, s Stamped, m netem.Matrix, group []int, adaptive bool) (met int, swaps uint32) {
	t.Helper()
	ctx, cancel := context.WithCancel(l.ctx)
	var wg sync.WaitGroup
	for _, g := range group {
		i := g + 1
		c := &overlayv1.Contract{
			LatencyUs:  uint32((m[publisher][i].Delay*13/10 + 3*time.Millisecond).Microseconds()),
			BestEffort: true, NoSwap: !adaptive,
		}
		wg.Go(func() {
			var last *overlayv1.Subscription
			err := s.Subscribe(ctx, l.Hosts[i].Client, c, &Arrivals{}, func(s *overlayv1.Subscription) { last = s })
			if l.ctx.Err() == nil && (err != nil || ctx.Err() == nil) {
				t.Errorf("host %d: the subscription ended: %v; it was %s: %s", i, err, last.GetState(), last.GetReason())
			}
		})
		time.Sleep(300 * time.Millisecond)
	}
	time.Sleep(7 * time.Second)
	for _, g := range group {
		sub, err := l.subscription(g+1, s.Name)
		if err != nil {
			t.Error(err)
			continue
		}
		path, _ := l.hops(sub.GetPath())
		ok := sub.GetPredictedUs() <= sub.GetContract().GetLatencyUs() && len(path) > 0
		if ok {
			met++
		}
		swaps += sub.GetSwaps()
		t.Logf("host %d, adaptive %v: %v ms of %v by %v, %d exchanges, %s", g+1, adaptive,
			float64(sub.GetPredictedUs())/1e3, float64(sub.GetContract().GetLatencyUs())/1e3, path, sub.GetSwaps(), sub.GetState())
	}
	cancel()
	wg.Wait()
	time.Sleep(time.Second)
	return met, swaps
}
