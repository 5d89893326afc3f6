// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"testing"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// grown is an overlay of m hosts that has settled.
func grown(t testing.TB, cfg Config, m int) *Net {
	t.Helper()
	w := New(cfg)
	first := w.Add()
	w.Do(first, func(n *overlay.Node, now Time) { n.Create(now) })
	for i := 1; i < m; i++ {
		h := w.Add()
		seed := w.hosts[int(w.rng.Uint64()%uint64(i))]
		w.Do(h, func(n *overlay.Node, now Time) { n.Join(now, []wire.Peer{seed.Peer}) })
		w.RunFor(5 * time.Millisecond)
	}
	all := func() bool {
		for _, h := range w.hosts {
			if !h.Joined {
				return false
			}
		}
		return true
	}
	if !w.Until(2*time.Minute, time.Second, all) {
		n := 0
		for _, h := range w.hosts {
			if !h.Joined {
				n++
			}
		}
		t.Fatalf("%d of %d hosts have not joined after %v", n, m, w.now)
	}
	w.RunFor(30 * time.Second)
	return w
}

func config(seed uint64) Config {
	return Config{Overlay: overlay.DefaultConfig(), Links: Uniform(20 * time.Millisecond), Seed: seed}
}

func TestGrow(t *testing.T) {
	for _, m := range []int{1, 2, 3, 5, 17, 100, 1000} {
		w := grown(t, config(uint64(m)), m)
		w.check(t)
		t.Logf("m=%d: %v virtual, %d events, %v, region %+v", m, w.now, w.Events, w.Messages, w.hosts[0].Node.Status(w.now).Region)
	}
}

// check fails unless every id has exactly one owner and every table is right.
func (w *Net) check(t testing.TB) {
	t.Helper()
	for _, p := range w.Problems() {
		t.Error(p)
	}
}

func TestCrash(t *testing.T) {
	for _, m := range []int{2, 5, 30, 300} {
		w := grown(t, config(uint64(m)), m)
		for i, h := range w.hosts {
			if i%5 == 1 {
				w.Crash(h)
			}
		}
		w.RunFor(60 * time.Second)
		w.check(t)
		var worst Time
		for _, g := range w.Own.Crash {
			worst = max(worst, g.For)
		}
		t.Logf("m=%d: %d zones taken over, the last after %v; %d overlaps", m, len(w.Own.Crash), worst, w.Own.Overlaps)
	}
}

func TestLeave(t *testing.T) {
	for _, m := range []int{1, 2, 5, 30, 300} {
		w := grown(t, config(uint64(m)), m)
		for i, h := range w.hosts {
			if i%3 == 0 {
				w.Do(h, func(n *overlay.Node, now Time) { n.Leave(now) })
			}
		}
		w.RunFor(60 * time.Second)
		for i, h := range w.hosts {
			if i%3 == 0 && h.Up {
				t.Errorf("m=%d: host %d has not left: %s", m, i, h.Node.State())
			}
		}
		if m > 1 {
			w.check(t)
		}
		if len(w.Own.Crash) > 0 {
			t.Errorf("m=%d: %d zones had to be claimed", m, len(w.Own.Crash))
		}
	}
}

func TestLossAndReordering(t *testing.T) {
	cfg := config(7)
	cfg.Loss, cfg.Jitter = 0.05, 2
	w := grown(t, cfg, 200)
	for i, h := range w.hosts {
		if i%10 == 3 {
			w.Crash(h)
		}
	}
	w.RunFor(60 * time.Second)
	w.cfg.Loss = 0
	w.RunFor(60 * time.Second)
	w.check(t)
	t.Logf("%d overlaps, %d lost", w.Own.Overlaps, w.Lost)
}

func TestPartition(t *testing.T) {
	for _, m := range []int{6, 50, 300} {
		w := grown(t, config(uint64(m)), m)
		for i, h := range w.hosts {
			h.Group = i % 2
		}
		w.RunFor(90 * time.Second)
		if w.Own.Twice() == 0 {
			t.Errorf("m=%d: the two sides did not take over each other's ids", m)
		}
		for _, h := range w.hosts {
			h.Group = 0
		}
		healed := w.now
		ok := w.Until(1*time.Minute, time.Second, func() bool { return len(w.Problems()) == 0 })
		if !ok {
			w.check(t)
		}
		t.Logf("m=%d: one overlay again %v after healing", m, w.now-healed)
	}
}

// The number of digits follows the number of hosts, up and down (the paper's
// M-regions), and every id keeps its owner on the way.
func TestRegionFollows(t *testing.T) {
	w := grown(t, config(21), 200)
	digits := func() (least, most uint8) {
		least = 255
		for _, h := range w.hosts {
			if h.Up {
				n := h.Node.Status(w.now).Region.N
				least, most = min(least, n), max(most, n)
			}
		}
		return least, most
	}
	w.RunFor(time.Minute)
	least, high := digits()
	// 129 to 512 hosts: the 3-ary 6-cube.
	if least != high || high < 6 {
		t.Errorf("200 hosts: %d to %d digits, want 6 or more, the same everywhere", least, high)
	}
	for _, h := range w.hosts[12:] {
		w.Do(h, func(n *overlay.Node, now Time) { n.Leave(now) })
		w.RunFor(200 * time.Millisecond)
	}
	w.RunFor(8 * time.Minute)
	least, low := digits()
	// 9 to 16 hosts: 3-ary 3-cube.
	if least != low || low > 4 || low < 3 {
		t.Errorf("12 hosts: %d to %d digits, want 3 or 4, the same everywhere", least, low)
	}
	w.check(t)
	for _, h := range w.hosts[:12] {
		if n := len(h.Node.Status(w.now).Zones); n == 0 {
			t.Errorf("host %d is %s and owns nothing", h.Index, h.Node.State())
		}
	}
	if len(w.Own.Crash) > 0 {
		t.Errorf("%d zones had to be claimed though nobody crashed", len(w.Own.Crash))
	}
}
