// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"sandstream/internal/overlay/wire"
)

// thinning is what an SPA leaves of a stream here: bytes before and after it, older
// ones counting less. One report is a part of thinMemory of the sums.
type thinning struct {
	in, out float64
	reports int
}

const (
	thinMemory = 16 // reports: at two a second, 8 s, a few groups of pictures of a video
	thinLeast  = 16 // reports before a share is believed
	maxThinned = 8  // SPAs of a stream whose shares are kept
)

// Thinned takes what a degrading SPA made of a stream's bytes on the way to one child
// since the last call. A call without bytes changes nothing.
func (n *Streams) Thinned(id wire.StreamID, spa string, in, out uint64) {
	s := n.streams[id]
	if s == nil || in == 0 {
		return
	}
	if s.thinned == nil {
		s.thinned = map[string]*thinning{}
	}
	t := s.thinned[spa]
	if t == nil {
		if len(s.thinned) >= maxThinned {
			return // children name them
		}
		t = &thinning{}
		s.thinned[spa] = t
	}
	const keep = 1 - 1./thinMemory
	t.in, t.out = keep*t.in+float64(in), keep*t.out+float64(out)
	t.reports++
}

// sharePpm is the part of the stream's rate that is left behind the SPA, in millionths,
// as this host measured it or, for an SPA above it, as the beats say; 0: not known.
func (s *stream) sharePpm(spa string) uint32 {
	if t := s.thinned[spa]; t != nil && t.reports >= thinLeast {
		return uint32(max(1, min(1e6, 1e6*t.out/t.in)))
	}
	if spa == "" || spa != s.degraded {
		return 0
	}
	return s.abovePpm
}

// share is the part of the stream's rate that is left behind the SPA: as measured, or
// Config.DegradedShare before there are measurements.
func (n *Streams) share(s *stream, spa string) float64 {
	if spa == "" {
		return 1
	}
	if ppm := s.sharePpm(spa); ppm > 0 {
		return float64(ppm) / 1e6
	}
	return n.Cfg.DegradedShare
}

// load is what this host sends for all streams, in bits per second.
func (n *Streams) load() float64 {
	var sum float64
	for _, s := range n.sorted() {
		for i := range s.children {
			sum += float64(s.info.RateBps) * n.share(s, s.thinsFor(&s.children[i]))
		}
	}
	return sum
}

// thinsFor is the SPA that thins the stream out for a child, here or above.
func (s *stream) thinsFor(c *child) string {
	if c.spa != "" {
		return c.spa
	}
	return s.degraded
}
