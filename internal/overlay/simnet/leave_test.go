// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"testing"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// All hosts stop at once: none waits for another to take its ids over.
func TestAllLeave(t *testing.T) {
	for _, m := range []int{2, 3, 5, 30, 300} {
		for _, apart := range []Time{0, 20 * time.Millisecond} {
			w := grown(t, config(uint64(m)), m)
			var last Time
			w.OnEffect = func(_ *Host, e overlay.Effect) {
				if _, ok := e.(overlay.Left); ok {
					last = w.now
				}
			}
			for _, h := range w.hosts {
				w.Do(h, func(n *overlay.Node, now Time) { n.Leave(now) })
				w.RunFor(apart)
			}
			start := w.now
			w.RunFor(30 * time.Second)
			for _, h := range w.hosts {
				if h.Up {
					t.Errorf("%d hosts, %v apart: host %d is still %s", m, apart, h.Index, h.Node.State())
				}
			}
			t.Logf("%d hosts, %v apart: the last left after %v", m, apart, last-start)
			if limit := 2*time.Second + Time(min(m, 30))*150*time.Millisecond; last-start > limit {
				t.Errorf("%d hosts, %v apart: the last left after %v", m, apart, last-start)
			}
		}
	}
}

// Most leave at once, and some stay: those get the ids.
func TestMostLeave(t *testing.T) {
	for _, c := range []struct{ hosts, stay int }{{2, 1}, {3, 1}, {5, 1}, {30, 1}, {30, 5}, {300, 30}} {
		w := grown(t, config(uint64(c.hosts)), c.hosts)
		var last Time
		left := 0
		w.Filter = func(_, _ *Host, m wire.Message) bool {
			if a, ok := m.(*wire.Announce); ok && a.Gone {
				left++
			}
			return true
		}
		w.OnEffect = func(_ *Host, e overlay.Effect) {
			if _, ok := e.(overlay.Left); ok {
				last = w.now
			}
		}
		for _, h := range w.hosts[c.stay:] {
			w.Do(h, func(n *overlay.Node, now Time) { n.Leave(now) })
		}
		start := w.now
		unowned := Time(0)
		w.Until(60*time.Second, 100*time.Millisecond, func() bool {
			if n, _ := w.Own.Unowned(); n > 0 {
				unowned = w.now - start
			}
			return false
		})
		w.check(t)
		if left > 0 {
			t.Errorf("%d of %d stay: %d times a host that left its ids behind took leave", c.stay, c.hosts, left)
		}
		t.Logf("%d of %d stay: the last left after %v, all ids had owners after %v", c.stay, c.hosts, last-start, unowned)
	}
}
