// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A loop calls what it is given once, in order, one at a time; turns follow at the
// times they ask for, and no goroutine is left in between.
func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next, turns, ended := time.Duration(math.MaxInt64), 0, false
		l := newLoop(func() time.Duration { turns++; return next }, func() { ended = true })
		var got []int
		inside := 0
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 100 {
					l.post(func() {
						if inside++; inside != 1 {
							t.Error("two at a time")
						}
						got = append(got, 1000*g+i)
						inside--
					})
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		last := map[int]int{}
		for _, v := range got {
			if v%1000 != last[v/1000] {
				t.Fatalf("%d came after %d of the same caller", v%1000, last[v/1000]-1)
			}
			last[v/1000]++
		}
		if len(got) != 400 || turns == 0 || l.running {
			t.Fatalf("%d of 400 called, %d turns, running: %v", len(got), turns, l.running)
		}

		// A turn asks for the next one.
		next, turns = time.Second, 0
		l.post(func() {})
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if turns != 11 || l.running {
			t.Errorf("%d turns in 10 s, one a second after the first; running: %v", turns, l.running)
		}

		// Control messages are bounded, what users want is not.
		release := make(chan struct{})
		l.post(func() { <-release })
		synctest.Wait()
		n := 0
		for l.offer(func() { n++ }) {
		}
		for range 10 {
			l.post(func() { n++ })
		}
		if l.offer(func() {}) {
			t.Error("room for one more control message")
		}
		close(release)
		synctest.Wait()
		if n != inboxSize+10 {
			t.Errorf("%d called of %d", n, inboxSize+10)
		}

		// Stopped during a call: what waits is dropped, and nothing runs any more.
		hold := make(chan struct{})
		l.post(func() { <-hold })
		synctest.Wait()
		l.post(func() { t.Error("called after stop") })
		l.stop()
		close(hold)
		<-l.ended
		turns = 0
		l.post(func() { t.Error("called after the end") })
		time.Sleep(time.Minute)
		synctest.Wait()
		if !ended || turns != 0 {
			t.Errorf("ended: %v, %d turns after", ended, turns)
		}
	})
}
