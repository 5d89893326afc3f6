// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"testing"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// All hosts know about how many there are, and to tell them costs no message and
// changes no region.
func TestAllKnowTheNumber(t *testing.T) {
	for _, m := range []int{5, 40} {
		w := grown(t, config(uint64(m)), m)
		regions, messages := 0, w.total()
		w.OnEffect = func(_ *Host, e overlay.Effect) {
			if e, ok := e.(overlay.Event); ok && e.Kind == "region" {
				regions++
			}
		}
		before := w.hosts[0].Node.Status(w.now).Region
		w.RunFor(10 * time.Minute)
		quiet := w.total() - messages
		for _, h := range w.hosts {
			if r := h.Node.Status(w.now).Region; int(r.Hosts) < m/2 || int(r.Hosts) > 2*m {
				t.Errorf("%d hosts: host %d knows of %d", m, h.Index, r.Hosts)
			}
		}
		now := w.hosts[0].Node.Status(w.now).Region
		t.Logf("%d hosts: %+v, then %+v; %.2f messages a second and host", m, before, now, float64(quiet)/600/float64(m))
		if regions > m { // the first estimate may change it once
			t.Errorf("%d hosts: %d changes of region", m, regions)
		}
		// One of each 20 s, and most differ too little.
		if up := now.Version - before.Version; up > 25 {
			t.Errorf("%d hosts: %d versions in 10 minutes", m, up)
		}
		for _, h := range w.hosts[m/5:] {
			w.Do(h, func(n *overlay.Node, now Time) { n.Leave(now) })
			w.RunFor(200 * time.Millisecond)
		}
		w.RunFor(2 * time.Minute)
		for _, h := range w.hosts[:m/5] {
			if r := h.Node.Status(w.now).Region; int(r.Hosts) > max(2, m/5*2) {
				t.Errorf("%d hosts, and %d left: host %d knows of %d", m, m/5, h.Index, r.Hosts)
			}
		}
	}
}

// Soon after many hosts have joined a small overlay, all know about how many there are:
// after one estimate, which the next one does not have to wait for.
func TestNumberIsKnownSoon(t *testing.T) {
	const m = 64
	for seed := range uint64(5) {
		w := New(config(seed))
		w.Do(w.Add(), func(n *overlay.Node, now Time) { n.Create(now) })
		w.RunFor(time.Minute) // alone
		for range m - 1 {
			w.Do(w.Add(), func(n *overlay.Node, now Time) { n.Join(now, []wire.Peer{w.hosts[0].Peer}) })
			w.RunFor(50 * time.Millisecond)
		}
		begin := w.now
		known := func() bool {
			for _, h := range w.hosts {
				if r := h.Node.Status(w.now).Region; r.Hosts < m/2 || r.Hosts > 2*m {
					return false
				}
			}
			return true
		}
		if !w.Until(35*time.Second, time.Second, known) {
			t.Errorf("seed %d: not all know the number 35 s after the last has joined", seed)
		}
		t.Logf("seed %d: %v", seed, w.now-begin)
	}
}
