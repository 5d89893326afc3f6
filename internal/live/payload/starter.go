// SPDX-License-Identifier: Apache-2.0

package payload

import "time"

// Starter lets a stream begin where a decoder can start. Of MPEG-TS it holds
// back what comes before the first random access point, except the tables (PAT
// and what follows it) just before it; anything else passes at once. A stream
// without such a point for Patience passes then, and one without video after a
// tenth of that.
type Starter struct {
	Patience time.Duration
	video    bool
	started  bool
	first    time.Time
	held     [][]byte // from the last PAT on
}

// heldAtMost bounds what is kept from a PAT on: tables are a few packets.
const heldAtMost = 8

// Feed takes a payload that came at now and gives those that may pass.
func (s *Starter) Feed(p []byte, now time.Time) [][]byte {
	switch {
	case s.started:
		return [][]byte{p}
	case s.first.IsZero():
		s.first = now
	}
	if !IsTS(p) {
		return s.start(p)
	}
	for i := 0; i < len(p) && !s.video; i += tsPacket {
		s.video = video(p[i : i+tsPacket])
	}
	if waited := now.Sub(s.first); waited > s.Patience || !s.video && waited > s.Patience/10 {
		return s.start(p)
	}
	key := firstKey(p)
	if at := lastPAT(p, key); at >= 0 {
		s.held = [][]byte{p[at:]}
	} else if len(s.held) > 0 {
		s.held = append(s.held, p)
	}
	if key < len(p) {
		if len(s.held) == 0 {
			return s.start(p[key:])
		}
		return s.start(nil)
	}
	if len(s.held) > heldAtMost {
		s.held = nil
	}
	return nil
}

func (s *Starter) start(p []byte) [][]byte {
	out := s.held
	if p != nil {
		out = append(out, p)
	}
	s.started, s.held = true, nil
	return out
}

// firstKey is where the first packet with a random access point begins; len(p)
// if there is none.
func firstKey(p []byte) int {
	for i := 0; i < len(p); i += tsPacket {
		if RandomAccess(p[i : i+tsPacket]) {
			return i
		}
	}
	return len(p)
}

// lastPAT is where the last packet of PID 0 before end begins, -1 if there is none.
func lastPAT(p []byte, end int) int {
	at := -1
	for i := 0; i < end; i += tsPacket {
		if p[i+1]&0x1f == 0 && p[i+2] == 0 {
			at = i
		}
	}
	return at
}
