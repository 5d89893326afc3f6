// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"math"
	"testing"
	"time"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

func thinnedStream(capacity uint64) (*Streams, *stream) {
	cfg := turn.DefaultConfig()
	cfg.CapacityBps = capacity
	n, _ := newStreams(cfg)
	return n, n.addStream(wire.StreamInfo{ID: wire.StreamID{5}, RateBps: 1_000_000})
}

func report(n *Streams, spa string, times int, in, out uint64) {
	for range times {
		n.Advance(n.Now + time.Second/2)
		n.Thinned(wire.StreamID{5}, spa, in, out)
	}
}

// What an SPA leaves is assumed until it has been measured for a while, and follows the
// stream.
func TestShareIsMeasured(t *testing.T) {
	n, s := thinnedStream(0)
	want := func(what string, share float64) {
		t.Helper()
		if got := n.share(s, "filter"); math.Abs(got-share) > 0.005 {
			t.Errorf("%s: share %.3f, want %.3f", what, got, share)
		}
	}
	want("at the beginning", n.Cfg.DegradedShare)
	report(n, "filter", thinLeast-1, 60_000, 12_000)
	want("after few reports", n.Cfg.DegradedShare)
	report(n, "filter", 100, 0, 0)
	want("after reports of nothing", n.Cfg.DegradedShare)
	report(n, "filter", 1, 60_000, 12_000)
	want("measured", 0.2)
	report(n, "filter", thinMemory, 60_000, 30_000)
	old := math.Pow(1-1./thinMemory, thinMemory) // what the first reports still count for
	want("as many of another", (0.2*old+0.5)/(old+1))
	report(n, "filter", 20*thinMemory, 60_000, 30_000)
	want("another", 0.5)
	report(n, "filter", 20*thinMemory, 60_000, 90_000)
	want("of an SPA that adds", 1)
	if got := n.share(s, ""); got != 1 {
		t.Errorf("without an SPA %.2f of the stream are left", got)
	}
	if got := n.share(s, "monitor"); got != n.Cfg.DegradedShare {
		t.Errorf("of another SPA: %.2f", got)
	}
	for i := range 100 {
		report(n, string(rune('a'+i)), 1, 1, 1)
	}
	if len(s.thinned) != maxThinned {
		t.Errorf("%d SPAs are remembered", len(s.thinned))
	}
}

// The uplink is shared out by what is measured.
func TestAdmissionByMeasuredShare(t *testing.T) {
	for _, c := range []struct {
		name     string
		out      uint64 // of 100; 0: no measurement
		min      uint64 // bit/s asked
		children int    // degraded ones that are there already
		spa      string // what the new one gets; "": refused
	}{
		{"assumed", 0, 0, 0, "filter"},
		{"assumed, no room for a second", 0, 0, 1, ""},
		{"leaves more", 70, 0, 0, ""},
		{"leaves less", 20, 0, 2, "filter"},
		{"leaves less, no room for a fourth", 20, 0, 3, ""},
		{"assumed to be enough", 0, 400_000, 0, "filter"},
		{"leaves too little", 20, 400_000, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, s := thinnedStream(1_600_000)
			s.publisher = true
			s.children = append(s.children, child{Peer: wire.Peer{ID: wire.HostID{2}, Addr: wire.SampleHost.Addr}})
			for i := range c.children {
				s.children = append(s.children, child{Peer: wire.Peer{ID: wire.HostID{3, byte(i)}, Addr: wire.SampleHost.Addr}, spa: "filter"})
			}
			if c.out > 0 {
				report(n, "filter", thinLeast, 100_000, c.out*1000)
			}
			spa, why := n.admit(s, wire.Peer{ID: wire.HostID{9}, Addr: wire.SampleHost.Addr}, &wire.Contract{MinRateBps: c.min, Degrade: []string{"filter"}})
			if spa != c.spa || (why == "") != (c.spa != "") {
				t.Errorf("gets %q (%s), want %q", spa, why, c.spa)
			}
		})
	}
}

// Below the SPA the share is known from the beats, which say it on.
func TestShareIsToldDown(t *testing.T) {
	n, s := thinnedStream(0)
	above, below := wire.Peer{ID: wire.HostID{2}, Addr: wire.SampleHost.Addr}, wire.Peer{ID: wire.HostID{3}, Addr: wire.SampleHost.Addr}
	s.parent = above
	s.children = []child{{Peer: below, until: time.Hour}}
	told := func(ppm uint32) (share float64, said uint32) {
		n.Effects(func(turn.Effect) {})
		n.Advance(n.Now + time.Second/5)
		n.Handle(above, &wire.Beat{
			Stream: s.info.ID, Path: []wire.Hop{{Host: above}}, Info: s.info, Degrade: "filter", SharePpm: ppm,
		})
		n.Effects(func(e turn.Effect) {
			if e, ok := e.(turn.Send); ok && e.To.ID == below.ID {
				if b, ok := e.Msg.(*wire.Beat); ok {
					said = b.SharePpm
				}
			}
		})
		return n.share(s, "filter"), said
	}
	for _, c := range []struct {
		ppm   uint32
		share float64
		said  uint32
	}{{0, n.Cfg.DegradedShare, 0}, {300_000, 0.3, 300_000}, {math.MaxUint32, 1, 1_000_000}, {0, n.Cfg.DegradedShare, 0}} {
		if share, said := told(c.ppm); share != c.share || said != c.said {
			t.Errorf("told %d: share %.2f, and says %d on; want %.2f and %d", c.ppm, share, said, c.share, c.said)
		}
	}
	if got := n.load(); got != 1_000_000*n.Cfg.DegradedShare {
		t.Errorf("load %.0f", got)
	}
	told(300_000)
	if got := n.load(); got != 300_000 {
		t.Errorf("load %.0f, want 300,000", got)
	}
}
