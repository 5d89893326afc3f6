// SPDX-License-Identifier: Apache-2.0

// Package simnet runs any number of overlay.Node in a discrete-event loop with
// virtual time: the same protocol code as the daemon's, with delay, loss,
// reordering, crashes and partitions from a seed. Two runs of one seed do the
// same in the same order.
package simnet

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// Time is virtual time since the start of the run.
type Time = wire.Time

// Links says how long a message takes between two hosts.
type Links interface {
	// Delay is one way, for hosts a and b.
	Delay(a, b int) Time
}

// Config is a network.
type Config struct {
	Overlay overlay.Config
	Links   Links
	Loss    float64 // of each message
	Jitter  float64 // share of the delay that varies: messages overtake one another
	Seed    uint64
}

// Net is a simulated network and the hosts on it.
type Net struct {
	cfg   Config
	rng   *rand.Rand
	now   Time
	q     events
	order uint64
	hosts []*Host
	byID  map[wire.HostID]*Host

	Own      *Ownership
	Messages map[string]uint64 // sent, by class
	Lost     uint64
	Events   uint64
	Storm    bool // messages bred messages without end: Run has stopped

	// OnEffect sees every effect but Send.
	OnEffect func(h *Host, e overlay.Effect)
	// Filter, if set, may drop a message.
	Filter func(from, to *Host, m wire.Message) bool
}

// Host is one simulated host.
type Host struct {
	Index int
	Peer  wire.Peer
	Node  *overlay.Node
	Up    bool
	Group int // hosts of different groups do not reach one another

	Born    Time
	Joined  bool
	Members Time // when it joined

	tick Time // of the event in the queue
	gen  uint32
}

type event struct {
	at    Time
	order uint64
	to    int32
	from  int32 // -1: tick
	gen   uint32
	msg   wire.Message
}

// New makes an empty network.
func New(cfg Config) *Net {
	return &Net{
		cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 1)), Own: newOwnership(cfg.Overlay.Radix), Messages: map[string]uint64{},
	}
}

// Now is the virtual time.
func (w *Net) Now() Time { return w.now }

// Hosts are all hosts ever made, by index.
func (w *Net) Hosts() []*Host { return w.hosts }

// Add makes a host that has not joined.
func (w *Net) Add() *Host {
	i := len(w.hosts)
	var id wire.HostID
	binary.BigEndian.PutUint64(id[:], w.rng.Uint64())
	binary.BigEndian.PutUint64(id[8:], w.rng.Uint64())
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(i)|10<<24)
	h := &Host{Index: i, Peer: wire.Peer{ID: id, Addr: netip.AddrPortFrom(netip.AddrFrom4(a), 1)}, Born: w.now, tick: never}
	h.Node = overlay.New(w.cfg.Overlay, h.Peer, w.rng.Uint64())
	h.Up = true
	w.hosts = append(w.hosts, h)
	return h
}

const never = Time(1<<63 - 1)

// Do gives a host a local request and carries out what follows.
func (w *Net) Do(h *Host, f func(n *overlay.Node, now Time)) {
	f(h.Node, w.now)
	w.drain(h)
}

// Crash stops a host without a word.
func (w *Net) Crash(h *Host) {
	if !h.Up {
		return
	}
	h.Up = false
	h.gen++
	w.Own.crashed(h.Index, w.now)
}

// Restart brings a crashed host back with its name and nothing else.
func (w *Net) Restart(h *Host, seeds []wire.Peer) {
	h.Up, h.Joined = true, false
	h.gen++
	h.Born, h.tick = w.now, never
	h.Node = overlay.New(w.cfg.Overlay, h.Peer, w.rng.Uint64())
	w.Do(h, func(n *overlay.Node, now Time) { n.Join(now, seeds) })
}

// Delay is what a message takes, without jitter.
func (w *Net) Delay(a, b *Host) Time { return w.cfg.Links.Delay(a.Index, b.Index) }

func (w *Net) drain(h *Host) {
	h.Node.Effects(func(e overlay.Effect) {
		switch e := e.(type) {
		case overlay.Send:
			w.send(h, e)
			return
		case overlay.Owned:
			w.Own.owned(h.Index, e.Record, w.now)
		case overlay.Released:
			w.Own.released(h.Index, e.Record, w.now)
		case overlay.Joined:
			h.Joined, h.Members = true, w.now
		case overlay.Left:
			h.Up = false
			h.gen++
		}
		if w.OnEffect != nil {
			w.OnEffect(h, e)
		}
	})
	if !h.Up {
		return
	}
	if d := h.Node.Deadline(); d < h.tick {
		h.tick = max(d, w.now)
		w.push(event{at: h.tick, to: int32(h.Index), from: -1, gen: h.gen})
	}
}

// HostAt is the host with an address, nil if there is none.
func (w *Net) HostAt(a netip.AddrPort) *Host {
	if !a.Addr().Is4() {
		return nil
	}
	b := a.Addr().As4()
	i := int(binary.BigEndian.Uint32(b[:]) &^ (10 << 24))
	if i >= len(w.hosts) {
		return nil
	}
	return w.hosts[i]
}

func (w *Net) send(h *Host, s overlay.Send) {
	w.Messages[wire.ClassOf(s.Msg).String()]++
	to := w.HostAt(s.To.Addr)
	if to == nil {
		w.Lost++
		return
	}
	if w.cfg.Loss > 0 && w.rng.Float64() < w.cfg.Loss || w.Filter != nil && !w.Filter(h, to, s.Msg) {
		w.Lost++
		return
	}
	d := w.cfg.Links.Delay(h.Index, to.Index)
	if w.cfg.Jitter > 0 {
		d += Time(float64(d) * w.cfg.Jitter * w.rng.Float64())
	}
	w.push(event{at: w.now + d, to: int32(to.Index), from: int32(h.Index), msg: s.Msg})
}

// Inject delivers a message as if from had sent it: what a host that does not
// keep to the protocol may do.
func (w *Net) Inject(from, to *Host, m wire.Message) {
	w.push(event{at: w.now + w.cfg.Links.Delay(from.Index, to.Index), to: int32(to.Index), from: int32(from.Index), msg: m})
}

func (w *Net) push(e event) {
	w.order++
	e.order = w.order
	w.q.push(e)
}

// Run goes on until the virtual time t.
func (w *Net) Run(t Time) {
	for len(w.q) > 0 && w.q[0].at <= t {
		if len(w.q) > 100_000+1000*len(w.hosts) {
			w.Storm = true
			break
		}
		e := w.q.pop()
		w.now = e.at
		h := w.hosts[e.to]
		if !h.Up {
			continue
		}
		if e.from < 0 {
			if e.gen != h.gen || e.at != h.tick {
				continue
			}
			h.tick = never
			w.Events++
			h.Node.Tick(w.now)
		} else {
			from := w.hosts[e.from]
			if from.Group != h.Group {
				w.Lost++
				continue
			}
			w.Events++
			h.Node.Handle(w.now, from.Peer, e.msg)
		}
		w.drain(h)
	}
	w.now = max(w.now, t)
}

// RunFor goes on for d.
func (w *Net) RunFor(d time.Duration) { w.Run(w.now + d) }

// Until runs in steps until cond holds, at most for d; it says whether it does.
func (w *Net) Until(d, step Time, cond func() bool) bool {
	for end := w.now + d; ; {
		if cond() {
			return true
		}
		if w.now >= end {
			return false
		}
		w.Run(min(end, w.now+step))
	}
}

// events is a 4-ary heap by time, then by order of sending.
type events []event

func (a *event) before(b *event) bool {
	return a.at < b.at || a.at == b.at && a.order < b.order
}

func (q *events) push(e event) {
	s := append(*q, e)
	i := len(s) - 1
	for i > 0 {
		p := (i - 1) / 4
		if !e.before(&s[p]) {
			break
		}
		s[i] = s[p]
		i = p
	}
	s[i] = e
	*q = s
}

func (q *events) pop() event {
	s := *q
	top, last := s[0], s[len(s)-1]
	s[len(s)-1] = event{}
	s = s[:len(s)-1]
	i := 0
	for {
		c := 4*i + 1
		if c >= len(s) {
			break
		}
		for j := c + 1; j < min(c+4, len(s)); j++ {
			if s[j].before(&s[c]) {
				c = j
			}
		}
		if !s[c].before(&last) {
			break
		}
		s[i] = s[c]
		i = c
	}
	if len(s) > 0 {
		s[i] = last
	}
	*q = s
	return top
}

// Uniform is a network with one delay between any two hosts.
type Uniform Time

// Delay implements Links.
func (u Uniform) Delay(int, int) Time { return Time(u) }
