// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"fmt"
	"testing"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// Who was started with another radix is told so, joins nothing, and changes
// nothing for others.
func TestAnotherRadixIsShutOut(t *testing.T) {
	for _, radix := range []int{2, 3} {
		for _, m := range []int{1, 30, 200} {
			cfg := config(uint64(m))
			cfg.Overlay.Radix = radix
			w := grown(t, cfg, m)
			other := 5 - radix
			w.cfg.Overlay.Radix = other
			h := w.Add()
			w.cfg.Overlay.Radix = radix
			said, at := "", Time(0)
			w.OnEffect = func(x *Host, e overlay.Effect) {
				if e, ok := e.(overlay.Event); ok && x == h && e.Kind == overlay.EventShutOut {
					said, at = e.Detail, w.now
				}
			}
			start := w.now
			w.Do(h, func(n *overlay.Node, now Time) { n.Join(now, []wire.Peer{w.hosts[m/2].Peer}) })
			w.RunFor(5 * time.Second)
			if want := fmt.Sprintf("this overlay has radix %d, this host was started with --radix %d", radix, other); said != want || at-start > time.Second {
				t.Errorf("%d hosts: %q after %v, want %q within a second", m, said, at-start, want)
			}
			if st := h.Node.Status(w.now); st.State != overlay.Gone || len(st.Zones) > 0 {
				t.Errorf("%d hosts: the one of another radix is %s and owns %v", m, st.State, st.Zones)
			}
			w.Crash(h)
			w.check(t)
		}
	}
}

// A member comes back as the first host of an overlay of another radix: for the
// others it is dead, though it answers.
func TestAnotherRadixIsDead(t *testing.T) {
	w := grown(t, config(13), 30)
	before := w.hosts[0].Node.Status(w.now).Region
	h := w.hosts[7]
	w.Crash(h)
	h.Up, h.tick = true, never
	h.gen++
	cfg := w.cfg.Overlay
	cfg.Radix = 2
	h.Node = overlay.New(cfg, h.Peer, 99)
	w.Do(h, func(n *overlay.Node, now Time) { n.Create(now) })
	for _, o := range w.hosts {
		w.Inject(h, o, &wire.Ping{Seq: 1, Region: wire.Region{N: 9, Version: before.Version + 1, Radix: 2}})
	}
	w.RunFor(time.Minute)
	if st := h.Node.Status(w.now); len(st.Zones) != 1 || st.Zones[0].Zone.Len != 0 || len(st.Peers) > 0 {
		t.Errorf("the overlay of radix 2 has become: %v, peers %v", st.Zones, st.Peers)
	}
	w.Crash(h)
	w.RunFor(time.Second)
	w.check(t)
	for _, o := range w.hosts {
		if st := o.Node.Status(w.now); o.Up && st.Region.N != before.N {
			t.Errorf("host %d has taken %+v from a host of radix 2", o.Index, st.Region)
		}
	}
}
