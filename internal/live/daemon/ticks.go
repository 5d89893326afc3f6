// SPDX-License-Identifier: Apache-2.0

package daemon

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

// tick does what is due, and says how long the loop may sleep.
func (d *Daemon) tick() time.Duration {
	t := &d.ticks
	if t.stale {
		t.stale, t.every, t.streams = false, 0, t.streams[:0]
		want := func(id wire.StreamID, ps ...*pipeline) {
			var every time.Duration
			for _, p := range ps {
				every = oftener(every, p.every())
			}
			if every > 0 {
				t.streams = append(t.streams, id)
			}
			t.every = oftener(t.every, every)
		}
		for _, f := range d.flows {
			ps := []*pipeline{f.ingress}
			for _, p := range f.branches {
				ps = append(ps, p)
			}
			for _, sub := range f.entry.Local {
				if s := d.subs[sub]; s != nil {
					ps = append(ps, s.sinks)
				}
			}
			want(f.of, ps...)
		}
	}
	if t.every == 0 {
		return time.Hour
	}
	now := d.now()
	if now < t.due {
		return t.due - now
	}
	for _, id := range t.streams {
		d.tr.Poke(id)
	}
	t.due = d.now() + t.every
	return t.every
}
