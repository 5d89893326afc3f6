// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"fmt"
	"strings"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// Op is what a step of a schedule does.
type Op uint8

// The steps. Host and Other pick among the hosts there are, modulo their number.
const (
	OpJoin      Op = iota // a new host joins over Host
	OpLeave               // Host leaves in order
	OpCrash               // Host stops without a word
	OpRestart             // Host, if it has stopped, comes back with its name
	OpWait                // Arg x 100 ms pass
	OpCut                 // hosts whose index has bit Arg set are cut off from the others
	OpHeal                // all reach one another
	OpSubscribe           // Host subscribes to the stream of the first host, with latency bound Arg ms (0: none)
	OpLoss                // Arg per cent of the messages are lost from now on
	ops
)

var opNames = [ops]string{"join", "leave", "crash", "restart", "wait", "cut", "heal", "subscribe", "loss"}

// Step is one step of a Schedule.
type Step struct {
	Op   Op
	Host int
	Arg  int
}

func (s Step) String() string { return fmt.Sprintf("%s(%d,%d)", opNames[s.Op%ops], s.Host, s.Arg) }

// Schedule is a run in words: with a Config it says all that happens.
type Schedule []Step

func (s Schedule) String() string {
	v := make([]string, len(s))
	for i := range s {
		v[i] = s[i].String()
	}
	return strings.Join(v, " ")
}

// Play runs a schedule and gives the time to settle. The first host, which
// creates the overlay and publishes a stream, never goes. What is wrong in the
// end, or was at any instant where nothing may ever be, is returned.
func Play(cfg Config, s Schedule, prepare func(*Net)) (*Net, []string) {
	w := New(cfg)
	if prepare != nil {
		prepare(w)
	}
	first := w.Add()
	w.Do(first, func(n *overlay.Node, now Time) { n.Create(now) })
	id := wire.StreamID{1}
	var bad []string
	w.Do(first, func(n *overlay.Node, now Time) {
		if err := n.Announce(now, wire.StreamInfo{ID: id, RateBps: 1e5}); err != nil {
			bad = append(bad, err.Error())
		}
	})
	flow := w.Watch(id)
	for _, step := range s {
		w.step(step, id)
	}
	for _, h := range w.hosts {
		h.Group = 0
	}
	w.cfg.Loss = 0
	// Hosts that leave may not be gone, and the sides of a partition have to find
	// one another: a fixed time is part of what is promised.
	w.RunFor(60 * time.Second)
	before := w.total()
	w.RunFor(30 * time.Second)
	if rate := float64(w.total()-before) / 30 / float64(len(w.hosts)); w.Storm || rate > calm {
		bad = append(bad, fmt.Sprintf("a storm: %.0f messages a second and host, %d in flight", rate, len(w.q)))
	}
	bad = append(bad, w.Problems()...)
	copies, _ := flow.Packet()
	for _, h := range w.hosts {
		if !h.Up || h.Node.State() != overlay.Member {
			if h.Up {
				bad = append(bad, fmt.Sprintf("host %d is %s", h.Index, h.Node.State()))
			}
			continue
		}
		served := false
		for _, u := range h.Node.Status(w.now).Subs {
			switch u.State {
			case overlay.Admitted, overlay.AtRisk, overlay.Violated:
				served = true
			case overlay.Resolving, overlay.Interrupted:
				bad = append(bad, fmt.Sprintf("host %d: a subscription is still %s", h.Index, u.State))
			case overlay.Refused, overlay.Withdrawn:
			}
		}
		if served && copies[h.Index] != 1 || !served && copies[h.Index] != 0 {
			bad = append(bad, fmt.Sprintf("host %d gets %d copies of the stream, served: %v", h.Index, copies[h.Index], served))
		}
	}
	return w, bad
}

// calm is more than a settled host sends in a second, beats of one stream to many
// children included.
const calm = 60

func (w *Net) total() (n uint64) {
	for _, v := range w.Messages {
		n += v
	}
	return n
}

func (w *Net) step(s Step, id wire.StreamID) {
	h := w.hosts[s.Host%len(w.hosts)]
	switch s.Op {
	case OpJoin:
		seed := h
		if !seed.Up || !seed.Joined {
			seed = w.hosts[0]
		}
		n := w.Add()
		w.Do(n, func(n *overlay.Node, now Time) { n.Join(now, []wire.Peer{seed.Peer, w.hosts[0].Peer}) })
	case OpLeave:
		if h.Index > 0 && h.Up {
			w.Do(h, func(n *overlay.Node, now Time) { n.Leave(now) })
		}
	case OpCrash:
		if h.Index > 0 {
			w.Crash(h)
		}
	case OpRestart:
		if !h.Up {
			w.Restart(h, []wire.Peer{w.hosts[0].Peer})
		}
	case OpWait:
		w.RunFor(Time(s.Arg) * 100 * time.Millisecond)
	case OpCut:
		for _, h := range w.hosts {
			h.Group = h.Index >> (s.Arg % 8) & 1
		}
	case OpHeal:
		for _, h := range w.hosts {
			h.Group = 0
		}
	case OpSubscribe:
		if h.Up && h.Index > 0 && len(h.Node.Status(w.now).Subs) == 0 {
			c := wire.Contract{LatencyUs: uint32(s.Arg) * 1000}
			w.Do(h, func(n *overlay.Node, now Time) { _, _ = n.Subscribe(now, id, "", c) }) // refused while it joins: no matter
		}
	case OpLoss:
		w.cfg.Loss = float64(s.Arg%30) / 100
	case ops:
	}
}

// Shrink looks for a short schedule that still fails: parts are left out, in
// halves, quarters and so on to single steps, as long as the rest fails (Zeller,
// Hildebrandt: Simplifying and isolating failure-inducing input, TSE 2002).
func Shrink(s Schedule, fails func(Schedule) bool) Schedule {
	for part := len(s) / 2; part >= 1; {
		shorter := false
		for i := 0; i+part <= len(s); {
			t := append(append(Schedule{}, s[:i]...), s[i+part:]...)
			if fails(t) {
				s, shorter = t, true
			} else {
				i += part
			}
		}
		if !shorter {
			part /= 2
		} else {
			part = max(1, min(part, len(s)/2))
		}
	}
	return s
}
