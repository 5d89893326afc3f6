// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"sync"
	"time"

	"sandstream/internal/netem"
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
// tells one stream from another: payloads of one size are one stream.
type Flows struct {
	mu   sync.Mutex
	bins map[flow][]Count // by time the packet was sent
}

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
}

// Between sums what was sent from host from to host to at times t0..t1 (since the
// network's start), of payload sizes min..max. The times are rounded down to tenths of
// a second.
func (f *Flows) Between(from, to, minSize, maxSize int, t0, t1 time.Duration) (sum Count) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, s := range f.bins {
		if k.from != from || k.to != to || k.size < minSize || k.size > maxSize {
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
