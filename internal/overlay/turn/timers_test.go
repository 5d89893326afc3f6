// SPDX-License-Identifier: Apache-2.0

package turn

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sandstream/internal/overlay/wire"
)

var self = wire.Peer{ID: wire.HostID{1}, Addr: wire.SampleHost.Addr}

func newTurn() *Turn { return New(DefaultConfig(), self, 1) }

// Timers come out in the order of their times, whatever the order in which they were set,
// each when it is due and not before, and none is lost.
func TestTimersAreDueInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := newTurn()
		var want []Time // of the timers set and not yet due, sorted
		key := uint64(0)
		at := map[uint64]Time{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "set one") {
				key++
				d := Time(rapid.IntRange(0, 20).Draw(t, "in"))
				u.After(d, Timer{Key: key, Of: Streams, What: 3})
				at[key] = u.Now + d
				want = append(want, u.Now+d)
				slices.Sort(want)
				continue
			}
			u.Advance(u.Now + Time(rapid.IntRange(0, 10).Draw(t, "time passes")))
			for {
				next := Time(math.MaxInt64)
				if len(want) > 0 {
					next = want[0]
				}
				if got := u.Deadline(); got != next {
					t.Fatalf("the next timer is due at %d, want %d", got, next)
				}
				w, ok := u.Due()
				if ok != (next <= u.Now) {
					t.Fatalf("at %d a timer for %d is due: %v", u.Now, next, ok)
				}
				if !ok {
					break
				}
				if at[w.Key] != next || w.Of != Streams || w.What != 3 {
					t.Fatalf("timer %+v is due in place of one for %d", w, next)
				}
				delete(at, w.Key)
				want = want[1:]
			}
		}
	})
}

func TestTimersAreStopped(t *testing.T) {
	u := newTurn()
	if _, ok := u.Due(); ok || u.Deadline() != math.MaxInt64 {
		t.Error("a timer that nobody set")
	}
	u.After(0, Timer{})
	u.Stop()
	if _, ok := u.Due(); ok || u.Deadline() != math.MaxInt64 {
		t.Error("a timer after Stop")
	}
}

func TestTimeDoesNotGoBack(t *testing.T) {
	u := newTurn()
	u.Advance(time.Second)
	u.Advance(time.Second / 2)
	if u.Now != time.Second {
		t.Errorf("it is %v", u.Now)
	}
}
