// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"
)

// An idle host is small however many neighbours it has: 64 hosts in one process
// with 30 sessions each, and a message a second to each neighbour.
func TestIdleFootprint(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("takes 20 s, and says nothing about a program with the race detector in it")
	}
	const hosts, degree = 64, 30
	memory := func() (heap, stack int64) {
		for range 4 { // empties the pools, and what finalizers keep
			debug.FreeOSMemory()
			time.Sleep(50 * time.Millisecond)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc), int64(m.StackInuse)
	}
	// What a process needs once is not counted: the runtime's records of goroutines
	// that have ended, of which connecting makes many, and one pair of hosts.
	var wg sync.WaitGroup
	all := make(chan struct{})
	for range 20_000 {
		wg.Go(func() { <-all })
	}
	close(all)
	wg.Wait()
	connect(t, newHost(t, nil), newHost(t, nil))
	time.Sleep(idleConn + time.Second)
	heap0, stack0 := memory()
	goroutines0 := runtime.NumGoroutine()
	hs := make([]*host, hosts)
	for i := range hs {
		hs[i] = newHost(t, nil)
	}
	for j := 1; j <= degree/2; j++ {
		for half := range 2 {
			for i := half; i < hosts; i += 2 {
				wg.Go(func() {
					if _, err := hs[i].Connect(context.Background(), hs[(i+j)%hosts].Self().Addr); err != nil {
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
			if h.Transport.control.awake() {
				return false
			}
		}
		return true
	})
	time.Sleep(2500 * time.Millisecond) // two ticks: keys of quiet sessions are no longer expanded
	heap, stack := memory()
	goroutines := runtime.NumGoroutine() - goroutines0
	for i, h := range hs {
		if s := h.Stats(); s.Sessions != degree || s.Peers != degree {
			t.Fatalf("host %d: %+v", i, s)
		}
	}
	perHeap, perStack := (heap-heap0)/hosts, (stack-stack0)/hosts
	t.Logf("per idle host with %d sessions: heap %d bytes, stacks %d bytes, %.1f goroutines", degree, perHeap, perStack, float64(goroutines)/hosts)
	if perHeap+perStack > 100_000 {
		t.Errorf("an idle host takes %d bytes, more than 100 KB", perHeap+perStack)
	}
	if goroutines > 8*hosts {
		t.Errorf("an idle host has %.1f goroutines, more than 8", float64(goroutines)/hosts)
	}
}

func (e *endpoint) awake() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.quic != nil
}
