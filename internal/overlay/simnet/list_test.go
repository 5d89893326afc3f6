// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// A walk over the directory from any host lists each public stream of the overlay once,
// in one look-up for each zone, and nothing that is not public.
func TestListNamesAllPublicStreams(t *testing.T) {
	for radix := 2; radix <= 3; radix++ {
		cfg := config(uint64(radix))
		cfg.Overlay.Radix = radix
		w := grown(t, cfg, 40)
		w.RunFor(20 * time.Second)
		var want []string
		for i, h := range w.hosts {
			for j := range 3 {
				info := wire.StreamInfo{ID: wire.StreamID{byte(i), byte(j), 9}, Name: fmt.Sprintf("s%d.%d", i, j), Public: j > 0}
				if info.Public {
					want = append(want, info.Name)
				}
				w.Do(h, func(n *overlay.Node, now Time) {
					if err := n.Announce(now, info); err != nil {
						t.Fatal(err)
					}
				})
			}
		}
		w.RunFor(10 * time.Second)
		zones := 0
		for _, h := range w.hosts {
			zones += len(h.Node.Status(w.now).Zones)
		}
		for _, h := range []*Host{w.hosts[0], w.hosts[17]} {
			got, steps := w.list(t, h)
			names := slices.Sorted(maps.Keys(got))
			slices.Sort(want)
			if !slices.Equal(names, want) {
				t.Errorf("radix %d: %d names of %d", radix, len(names), len(want))
			}
			if steps > zones+len(want)/8 {
				t.Errorf("radix %d: %d look-ups for %d zones", radix, steps, zones)
			}
			for n, times := range got {
				if times != 1 {
					t.Errorf("%s is listed %d times", n, times)
				}
			}
		}
	}
}

// list walks over the directory from a host: how often each name came, in so many steps.
func (w *Net) list(t *testing.T, h *Host) (names map[string]int, steps int) {
	t.Helper()
	names = map[string]int{}
	old := w.OnEffect
	defer func() { w.OnEffect = old }()
	var answer *overlay.Listed
	w.OnEffect = func(_ *Host, e overlay.Effect) {
		if l, ok := e.(overlay.Listed); ok {
			answer = &l
		}
	}
	for from := wire.Point(0); ; {
		answer = nil
		w.Do(h, func(n *overlay.Node, now Time) {
			if _, err := n.List(now, from); err != nil {
				t.Fatal(err)
			}
		})
		for range 100 {
			if answer == nil {
				w.RunFor(100 * time.Millisecond)
			}
		}
		if answer == nil || answer.Err != "" {
			t.Fatalf("step %d: %v", steps, answer)
		}
		steps++
		for _, i := range answer.Infos {
			names[i.Name]++
		}
		if from = answer.Next; from == 0 {
			return names, steps
		}
	}
}
