// SPDX-License-Identifier: Apache-2.0

package turn

import (
	"math"

	"sandstream/internal/overlay/wire"
)

// Machine says whose a timer is.
type Machine uint8

// Who sets timers.
const (
	Requests Machine = iota
	Links
	Zones
	Streams
)

// Timer is a deadline. Timers are never taken out: who is woken looks whether
// there is still something to do.
type Timer struct {
	at   Time
	Key  uint64
	Host wire.HostID // or the stream's id
	Of   Machine
	What uint8 // of the machine's own numbering
}

// timers is a binary heap.
type timers []Timer

// After sets a timer.
func (t *Turn) After(d Time, w Timer) {
	w.at = t.Now + d
	t.timers.push(w)
}

// Deadline is when a timer is next due; the largest Time if never.
func (t *Turn) Deadline() Time { return t.timers.next() }

// Due takes a timer out that is due now.
func (t *Turn) Due() (Timer, bool) { return t.timers.due(t.Now) }

// Stop takes all timers out.
func (t *Turn) Stop() { t.timers = nil }

func (h timers) next() Time {
	if len(h) == 0 {
		return math.MaxInt64
	}
	return h[0].at
}

func (h *timers) push(t Timer) {
	s := append(*h, t)
	i := len(s) - 1
	for i > 0 && s[i].at < s[(i-1)/2].at {
		s[i], s[(i-1)/2] = s[(i-1)/2], s[i]
		i = (i - 1) / 2
	}
	*h = s
}

func (h *timers) due(now Time) (Timer, bool) {
	s := *h
	if len(s) == 0 || s[0].at > now {
		return Timer{}, false
	}
	top := s[0]
	last := len(s) - 1
	s[0] = s[last]
	s = s[:last]
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			break
		}
		if c+1 < last && s[c+1].at < s[c].at {
			c++
		}
		if s[i].at <= s[c].at {
			break
		}
		s[i], s[c] = s[c], s[i]
		i = c
	}
	*h = s
	return top, true
}
