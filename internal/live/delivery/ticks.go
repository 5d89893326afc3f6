// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"time"

	"sandstream/internal/overlay/wire"
)

// ticks calls SPAs that want to be called when time passes, while no packets
// come. It is the loop's; without such SPAs it costs nothing.
type ticks struct {
	stale   bool // pipelines have changed
	every   time.Duration
	due     wire.Time
	streams []wire.StreamID
}

// Tick calls SPAs as time passes: it does what is due, and says how long the loop
// may sleep.
func (s *Streams) Tick() time.Duration {
	t := &s.ticks
	if t.stale {
		s.scheduleTicks()
	}
	if t.every == 0 {
		return time.Hour
	}
	now := s.cfg.Now()
	if now < t.due {
		return t.due - now
	}
	for _, id := range t.streams {
		s.cfg.Transport.Poke(id)
	}
	t.due = s.cfg.Now() + t.every
	return t.every
}

// scheduleTicks finds the streams whose SPAs want to be called, and how often.
func (s *Streams) scheduleTicks() {
	t := &s.ticks
	t.stale, t.every, t.streams = false, 0, t.streams[:0]
	for _, f := range s.flows {
		every := f.ingress.every()
		for _, p := range f.branches {
			every = oftener(every, p.every())
		}
		for _, sub := range f.entry.Local {
			if u := s.subs[sub]; u != nil {
				every = oftener(every, u.sinks.every())
			}
		}
		if every > 0 {
			t.streams = append(t.streams, f.of)
		}
		t.every = oftener(t.every, every)
	}
}
