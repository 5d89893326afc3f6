// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"math"

	"sandstream/internal/overlay/wire"
)

type timerKind uint8

const (
	tProbe timerKind = iota
	tAck
	tIndirect
	tMaintain
	tGrave
	tRegion
	tClaim
	tTentative
	tHeirs
	tPoll
	tRequest
	tXfer
	tJoin
	tBeat
	tStream
	tSub
	tPath
	tAnnounceStream
)

// timer is a deadline. Timers are never taken out: who is woken looks whether
// there is still something to do.
type timer struct {
	at   wire.Time
	key  uint64
	host wire.HostID // or the stream's id
	what timerKind
}

// timers is a binary heap.
type timers []timer

func (n *Node) after(d wire.Time, t timer) {
	t.at = n.now + d
	n.timers.push(t)
}

func (h timers) next() wire.Time {
	if len(h) == 0 {
		return math.MaxInt64
	}
	return h[0].at
}

func (h *timers) push(t timer) {
	s := append(*h, t)
	i := len(s) - 1
	for i > 0 && s[i].at < s[(i-1)/2].at {
		s[i], s[(i-1)/2] = s[(i-1)/2], s[i]
		i = (i - 1) / 2
	}
	*h = s
}

func (h *timers) due(now wire.Time) (timer, bool) {
	s := *h
	if len(s) == 0 || s[0].at > now {
		return timer{}, false
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
