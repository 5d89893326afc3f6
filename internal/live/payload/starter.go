// SPDX-License-Identifier: Apache-2.0

package payload

import "time"

// Starter lets a stream begin where a decoder can start. Of MPEG-TS it holds
// back what comes before the first random access point of video, and then begins
// with the tables (PAT and what follows it) just before it; anything else passes at
// once. A stream without such a point begins at its last tables when Patience is over,
// one without video after a tenth of that. What is held when a stream ends before is
// not lost: see End.
type Starter struct {
	Patience time.Duration
	video    bool
	ts       bool
	started  bool
	gaveUp   bool
	first    time.Time
	held     [][]byte // all that came, as far as there is room
	tables   int      // index in held of the last PAT's payload, -1: none
	tablesAt int      // where in it the PAT begins
	bytes    int
	dropped  uint64
}

// HeldAtMost bounds what is kept for a stream that may end before it can begin.
const HeldAtMost = 16 << 20 // bytes

// Feed takes a payload that came at now and gives those that may pass.
func (s *Starter) Feed(p []byte, now time.Time) [][]byte {
	switch {
	case s.started:
		return [][]byte{p}
	case s.first.IsZero():
		s.first, s.tables = now, -1
		if s.ts = IsTS(p) && !text(p); !s.ts {
			return s.start(p)
		}
	}
	if !IsTS(p) { // damaged on the way: it decides nothing
		s.hold(p)
		return s.Due(now)
	}
	for i := 0; i < len(p) && !s.video; i += tsPacket {
		s.video = video(p[i : i+tsPacket])
	}
	key := firstKey(p)
	at := lastPAT(p, key)
	if key < len(p) {
		return s.begin(p, key, at)
	}
	s.hold(p)
	if at >= 0 {
		s.tables, s.tablesAt = len(s.held)-1, lastPAT(p, len(p))
	}
	return s.Due(now)
}

// Due gives what may pass although nothing came: the patience is over.
func (s *Starter) Due(now time.Time) [][]byte {
	if !s.Waiting() {
		return nil
	}
	if waited := now.Sub(s.first); waited <= s.Patience && (s.video || waited <= s.Patience/10) {
		return nil
	}
	s.gaveUp = s.video
	if s.tables >= 0 {
		s.keep(s.fromTables())
	}
	return s.start(nil)
}

// End gives what is held at the end of the stream: no decoder could start in it
// for certain, but it is all there is.
func (s *Starter) End() [][]byte {
	if !s.Waiting() {
		return nil
	}
	s.gaveUp = s.video
	return s.start(nil)
}

// Waiting says whether something came, and all of it is held back.
func (s *Starter) Waiting() bool { return !s.started && !s.first.IsZero() }

// GaveUp says that the stream began without a random access point in its video.
func (s *Starter) GaveUp() bool { return s.gaveUp }

// Dropped is how many bytes were not passed, since a decoder cannot use them.
func (s *Starter) Dropped() uint64 { return s.dropped }

// hold keeps a payload; of more than HeldAtMost the oldest go.
func (s *Starter) hold(p []byte) {
	s.held, s.bytes = append(s.held, p), s.bytes+len(p)
	for s.bytes > HeldAtMost {
		s.bytes -= len(s.held[0])
		s.dropped += uint64(len(s.held[0]))
		s.held = s.held[1:]
		s.tables = max(-1, s.tables-1)
	}
}

// begin starts at the random access point at key of p, with the tables before it:
// those at pat of p, or else the last that are held if they are near.
func (s *Starter) begin(p []byte, key, pat int) [][]byte {
	var out [][]byte
	all := len(p)
	switch {
	case pat >= 0:
		p = p[pat:]
	case s.tables >= 0 && len(s.held)-s.tables <= tablesNear:
		out = s.fromTables()
	default:
		p = p[key:]
	}
	s.dropped += uint64(all - len(p))
	s.keep(out)
	return s.start(p)
}

// fromTables is what is held from the last PAT on.
func (s *Starter) fromTables() [][]byte {
	out := s.held[s.tables:]
	out[0] = out[0][s.tablesAt:]
	return out
}

// keep drops all that is held but out.
func (s *Starter) keep(out [][]byte) {
	n := 0
	for _, q := range out {
		n += len(q)
	}
	s.dropped += uint64(s.bytes - n)
	s.held, s.bytes = out, n
}

// tablesNear is how many payloads before a random access point its tables are
// looked for: they are a few packets.
const tablesNear = 8

func (s *Starter) start(p []byte) [][]byte {
	out := s.held
	if p != nil {
		out = append(out, p)
	}
	s.started, s.held, s.bytes = true, nil, 0
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
