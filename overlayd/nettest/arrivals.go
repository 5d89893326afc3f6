// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"
)

// stampLen is the length of the stamp at the begin of a payload.
const stampLen = 16

// stamp makes a payload of size bytes with a number, from 1, and the time.
func stamp(seq uint64, at time.Duration, size int) []byte {
	b := make([]byte, max(size, stampLen))
	binary.BigEndian.PutUint64(b, seq)
	binary.BigEndian.PutUint64(b[8:], uint64(at))
	for i := stampLen; i < len(b); i++ { // what is cut off or mixed up shows
		b[i] = byte(seq) + byte(i)
	}
	return b
}

// Arrival is a numbered payload as an application got it. Times are of one clock.
type Arrival struct {
	Seq      uint64
	Sent, At time.Duration
}

// unstamp reads a payload and checks every byte of it.
func unstamp(b []byte, at time.Duration) (Arrival, error) {
	if len(b) < stampLen {
		return Arrival{}, fmt.Errorf("a payload of %d bytes: shorter than its stamp", len(b))
	}
	a := Arrival{binary.BigEndian.Uint64(b), time.Duration(binary.BigEndian.Uint64(b[8:])), at}
	for i := stampLen; i < len(b); i++ {
		if b[i] != byte(a.Seq)+byte(i) {
			return a, fmt.Errorf("payload %d: byte %d is changed", a.Seq, i)
		}
	}
	return a, nil
}

// Arrivals is what one subscriber got, in the order in which it got it.
type Arrivals struct {
	mu  sync.Mutex
	all []Arrival
	err error // the first damaged payload
}

// Add takes a payload.
func (s *Arrivals) Add(b []byte, at time.Duration) {
	a, err := unstamp(b, at)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.err == nil {
		s.err = err
	}
	if err == nil {
		s.all = append(s.all, a)
	}
}

// Err is the first damaged payload.
func (s *Arrivals) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Len is how many have come.
func (s *Arrivals) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// Verdict says what is wrong with a sequence of arrivals.
type Verdict struct {
	Got        int
	Duplicates int           // came before
	Reordered  int           // came after one with a higher number
	Missing    int           // numbers up to the highest that never came; those before t0 do not count
	Gap        time.Duration // the longest time without any
	Mean, P99  time.Duration // from publisher to application
}

// Judge looks at the arrivals from t0 to t1. The time from t0 to the first and from
// the last to t1 counts as gaps; with nothing at all the gap is t1 - t0. A duplicate of
// something that came before t0 is one as well.
func (s *Arrivals) Judge(t0, t1 time.Duration) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	var v Verdict
	seen := map[uint64]bool{}
	var highest, before, distinct uint64
	known := false // before is: the highest number that came before t0
	var trips []time.Duration
	last := t0
	for _, a := range s.all {
		if a.At >= t1 {
			break
		}
		inside := a.At >= t0
		if inside {
			v.Got++
			v.Gap = max(v.Gap, a.At-last)
			last = a.At
			trips = append(trips, a.At-a.Sent)
		}
		switch {
		case seen[a.Seq]:
			if inside {
				v.Duplicates++
			}
			continue
		case a.Seq < highest && inside:
			v.Reordered++
		}
		seen[a.Seq] = true
		highest = max(highest, a.Seq)
		if !known { // of the first of all nobody knows what was before
			before, known = a.Seq-1, true
		}
		if !inside {
			before = highest
		} else if a.Seq > before {
			distinct++
		}
	}
	v.Gap = max(v.Gap, t1-last)
	if len(trips) > 0 {
		v.Missing = int(highest - before - distinct)
		slices.Sort(trips)
		var sum time.Duration
		for _, d := range trips {
			sum += d
		}
		v.Mean, v.P99 = sum/time.Duration(len(trips)), trips[len(trips)*99/100]
	}
	return v
}
