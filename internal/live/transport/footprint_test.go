// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"sync"
	"testing"
	"time"

	"sandstream/internal/live/footprint"
)

// An idle host is small however many neighbours it has: 64 hosts in one process
// with 30 sessions each, and a message a second to each neighbour.
func TestIdleFootprint(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("takes 20 s, and says nothing about a program with the race detector in it")
	}
	const hosts, degree = 64, 30
	footprint.Warm()
	connect(t, newHost(t, nil), newHost(t, nil))
	time.Sleep(idleConn + time.Second)
	before := footprint.Read()
	hs := make([]*host, hosts)
	for i := range hs {
		hs[i] = newHost(t, nil)
	}
	var wg sync.WaitGroup
	for j := 1; j <= degree/2; j++ {
		for half := range 2 {
			for i := half; i < hosts; i += 2 {
				wg.Go(func() {
					var err error
					for n := 0; n == 0 || err != nil && n < tries; n++ {
						_, err = hs[i].Connect(context.Background(), hs[(i+j)%hosts].Self().Addr)
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		if j%3 == 0 {
			time.Sleep(idleConn)
		}
	}
	ping := func() {
		for i, h := range hs {
			for j := 1; j <= degree/2; j++ {
				if err := h.SendControl(hs[(i+j)%hosts].Self(), []byte("are you there?")); err != nil {
					t.Error(err)
				}
			}
		}
	}
	for range 5 {
		time.Sleep(time.Second)
		ping()
	}
	eventually(t, "nobody needs QUIC", func() bool {
		for _, h := range hs {
			if h.Transport.control.awake.Load() {
				return false
			}
		}
		return true
	})
	for i, h := range hs {
		if s := h.Stats(); s.Sessions < degree || s.Peers != degree {
			t.Fatalf("host %d: %+v", i, s)
		}
	}
	small := func(s footprint.State) bool { return s.Heap+s.Stacks <= 100_000 && s.Goroutines <= 8 }
	each := footprint.Rest(before, hosts, 2500*time.Millisecond, small) // two ticks: keys of quiet sessions are no longer expanded
	t.Logf("per idle host with %d sessions: %.0f bytes of heap, %.0f of stacks, %.1f goroutines", degree, each.Heap, each.Stacks, each.Goroutines)
	if each.Heap+each.Stacks > 100_000 {
		t.Errorf("an idle host takes %.0f bytes, more than 100 KB", each.Heap+each.Stacks)
	}
	if each.Goroutines > 8 {
		t.Errorf("an idle host has %.1f goroutines, more than 8", each.Goroutines)
	}
}
