// SPDX-License-Identifier: Apache-2.0

// Package turn is what one turn of the protocol may do. A host takes a turn when a
// message comes, when a timer is due, or when its user asks for something; during
// it the machines above (links, zones, streams) read the time, set timers, draw
// chance, send requests and emit effects, all of them here and nowhere else. So no
// machine needs a clock, a socket, a goroutine or a source of randomness, and two
// runs of one seed do the same in the same order.
package turn

import (
	"maps"
	"math/rand/v2"

	"sandstream/internal/overlay/wire"
)

// Time is the driver's clock: any epoch, never backwards.
type Time = wire.Time

// Turn is one host's time, timers, chance, requests and effects. The machines of
// the host share it; it is not safe for concurrent use.
type Turn struct {
	Cfg  Config
	Self wire.Peer
	Now  Time

	// Route sends a lookup on its way to the owner of its target, or answers it. The
	// machine that knows the table sets it.
	Route func(*wire.Lookup)

	rng     rand.PCG
	serial  uint64
	timers  timers
	pending map[uint64]*Request
	fx      []Effect
	sent    [wire.NumKinds]uint64
	recv    [wire.NumKinds]uint64
	counts  map[string]uint64
}

// New makes the turns of a host. All its chance comes from seed.
func New(cfg Config, self wire.Peer, seed uint64) *Turn {
	t := &Turn{Cfg: cfg, Self: self, pending: map[uint64]*Request{}, counts: map[string]uint64{}}
	t.rng.Seed(seed, 0x5a9d57a3a3)
	// Serial numbers of a host that starts anew must not meet its old ones.
	t.serial = t.rng.Uint64() >> 16 << 8
	return t
}

// Advance moves the clock; it never goes back.
func (t *Turn) Advance(now Time) {
	if now > t.Now {
		t.Now = now
	}
}

// Serial is a number that this host has not used before.
func (t *Turn) Serial() uint64 {
	t.serial++
	return t.serial
}

// Uint64 draws 64 bits.
func (t *Turn) Uint64() uint64 { return t.rng.Uint64() }

// Intn draws from [0, limit).
func (t *Turn) Intn(limit int) int { return int(t.rng.Uint64() % uint64(limit)) }

// Jitter is d, give or take a tenth: hosts that started together drift apart.
func (t *Turn) Jitter(d Time) Time {
	return d - d/10 + Time(t.rng.Uint64()%uint64(d/5+1))
}

// Point draws an id of the overlay's radix.
func (t *Turn) Point() wire.Point { return wire.PointOf(t.rng.Uint64(), t.Cfg.Radix) }

// Radix is that of all ids, as messages say it.
func (t *Turn) Radix() uint8 { return uint8(t.Cfg.Radix) }

// Send asks for a message to be sent; nothing is sent to the host itself.
func (t *Turn) Send(to wire.Peer, m wire.Message) {
	if to.ID == t.Self.ID {
		return
	}
	t.sent[wire.KindOf(m)]++
	t.Emit(Send{To: to, Msg: m})
}

// Received counts a message that came.
func (t *Turn) Received(m wire.Message) { t.recv[wire.KindOf(m)]++ }

// Count counts something that is worth a counter, but no event.
func (t *Turn) Count(what string) { t.counts[what]++ }

// Event counts something, and tells the driver's log.
func (t *Turn) Event(kind string, p wire.Peer, detail string) {
	t.counts[kind]++
	t.Emit(Event{Kind: kind, Host: p, Detail: detail})
}

// Messages gives the numbers of messages sent and received, by the name of their kind.
func (t *Turn) Messages() (sent, recv map[string]uint64) {
	named := func(v *[wire.NumKinds]uint64) map[string]uint64 {
		m := map[string]uint64{}
		for k, n := range v {
			if n > 0 {
				m[wire.Kind(k).String()] = n
			}
		}
		return m
	}
	return named(&t.sent), named(&t.recv)
}

// Counts gives the counters of events.
func (t *Turn) Counts() map[string]uint64 { return maps.Clone(t.counts) }
