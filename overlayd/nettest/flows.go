// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"sync"
	"time"

	"sandstream/internal/live/netem"
)

// binWidth is the resolution of Flows in time.
const binWidth = 100 * time.Millisecond

// flow is the datagrams of one size between two hosts.
type flow struct{ from, to, size int }

// Count is what the emulator saw of some datagrams.
type Count struct {
	Sent, Delivered, Lost int           // Lost: by chance, by a full queue or by a cut
	Bytes                 int           // of UDP payload, sent
	Delay                 time.Duration // summed over those delivered
}

// LossShare is lost / sent, 0 if nothing was sent.
func (c Count) LossShare() float64 {
	if c.Sent == 0 {
		return 0
	}
	return float64(c.Lost) / float64(c.Sent)
}

// MeanDelay is the mean time on the way, 0 if nothing was delivered.
func (c Count) MeanDelay() time.Duration {
	if c.Delivered == 0 {
		return 0
	}
	return c.Delay / time.Duration(c.Delivered)
}

func (c *Count) add(d Count) {
	c.Sent += d.Sent
	c.Bytes += d.Bytes
	c.Delivered += d.Delivered
	c.Lost += d.Lost
	c.Delay += d.Delay
}

// Flows counts UDP datagrams by sender, receiver, size of the UDP payload and time.
// Its Watch is for netem.Options. Stream data is sealed, so that its size is all that
// tells one kind of payload from another.
type Flows struct {
	mu    sync.Mutex
	bins  map[flow][]Count // by time the packet was sent
	stall []time.Duration  // when packets were delivered far too late
}

// tooLate is a delay by the machine, not by the emulated network, that spoils a figure.
const tooLate = 50 * time.Millisecond

// NewFlows starts with nothing seen.
func NewFlows() *Flows { return &Flows{bins: map[flow][]Count{}} }

// Watch takes an event of the emulator.
func (f *Flows) Watch(e netem.Event) {
	p, err := netem.Parse(e.Data)
	if err != nil || p.Proto != 17 || e.To < 0 {
		return
	}
	var c Count
	switch e.Kind {
	case netem.Sent:
		c.Sent, c.Bytes = 1, len(p.Payload)
	case netem.Delivered:
		c.Delivered, c.Delay = 1, e.At-e.Sent
	default:
		c.Lost = 1
	}
	k, i := flow{e.From, e.To, len(p.Payload)}, int(e.Sent/binWidth)
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.bins[k]
	for len(s) <= i {
		s = append(s, Count{})
	}
	s[i].add(c)
	f.bins[k] = s
	if e.Kind == netem.Delivered && e.At-e.Due > tooLate {
		f.stall = append(f.stall, e.At)
	}
}

// Stalls lists the tenths of a second in which the machine was too busy to deliver
// packets when they were due.
func (f *Flows) Stalls() []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var v []time.Duration
	for _, at := range f.stall {
		if at = at.Truncate(binWidth); len(v) == 0 || v[len(v)-1] != at {
			v = append(v, at)
		}
	}
	return v
}

// Between sums what was sent from host from to host to at times t0..t1 (since the
// network's start), of the UDP payload sizes that fit. The times are rounded down to
// tenths of a second.
func (f *Flows) Between(from, to int, fits func(size int) bool, t0, t1 time.Duration) (sum Count) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, s := range f.bins {
		if k.from != from || k.to != to || !fits(k.size) {
			continue
		}
		for i := int(t0 / binWidth); i < min(len(s), int(t1/binWidth)); i++ {
			sum.add(s[i])
		}
	}
	return sum
}

// All sums everything that was sent at times t0..t1.
func (f *Flows) All(t0, t1 time.Duration) (sum Count) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.bins {
		for i := int(t0 / binWidth); i < min(len(s), int(t1/binWidth)); i++ {
			sum.add(s[i])
		}
	}
	return sum
}

// Sizes counts the datagrams from one host to another by the size of the UDP payload.
func (f *Flows) Sizes(from, to int, t0, t1 time.Duration) map[int]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	sizes := map[int]int{}
	for k, s := range f.bins {
		if k.from != from || k.to != to {
			continue
		}
		for i := int(t0 / binWidth); i < min(len(s), int(t1/binWidth)); i++ {
			sizes[k.size] += s[i].Sent
		}
	}
	return sizes
}

// Silent lists the tenths of a second in which nothing was sent from one host to
// another, from t0 to t1.
func (f *Flows) Silent(from, to int, t0, t1 time.Duration) []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	sent := map[int]bool{}
	for k, s := range f.bins {
		if k.from != from || k.to != to {
			continue
		}
		for i := range s {
			if s[i].Sent > 0 {
				sent[i] = true
			}
		}
	}
	var v []time.Duration
	for i := int(t0 / binWidth); i < int(t1/binWidth); i++ {
		if !sent[i] {
			v = append(v, time.Duration(i)*binWidth)
		}
	}
	return v
}
