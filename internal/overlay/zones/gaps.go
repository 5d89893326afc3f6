// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// gaps is what we do not know of the ids next to ours.
type gaps struct {
	dirty  bool              // there may be some
	asked  int               // lookups under way
	failed map[wire.Zone]int // lookups that found no owner
}

// fillGaps looks for the owners of ids next to ours that we do not know.
func (n *Zones) fillGaps() {
	if !n.gaps.dirty {
		return
	}
	found := false
	for i := range n.own {
		z := n.own[i].Zone
		for d := range int(z.Len) {
			for v := range n.Cfg.Radix {
				if v == z.Path.Digit(d) {
					continue
				}
				next := wire.Zone{Path: z.Path.With(d, v), Len: z.Len}
				p, gap := n.gap(next)
				if !gap {
					continue
				}
				found = true
				if n.gaps.asked >= 8 {
					return
				}
				n.gaps.asked++
				m := &wire.Lookup{Kind: wire.Find, Target: p, Origin: n.Self}
				r := &turn.Request{Msg: m, Tries: 2, Wait: 2 * n.Cfg.RetryInterval}
				r.Then = func(from wire.Peer, m wire.Message) { n.gapFound(from, next, m.(*wire.Found)) }
				r.Failed = func() { n.gapFailed(next) }
				if !n.Ask(r) {
					n.gaps.asked--
				}
			}
		}
	}
	n.gaps.dirty = found
}

// gap looks for an id of z whose owner we do not know.
func (n *Zones) gap(z wire.Zone) (wire.Point, bool) {
	touched := false
	for i := range n.table {
		if t := n.table[i].Zone; t.Contains(z) {
			return 0, false
		} else if z.Contains(t) {
			touched = true
		}
	}
	for i := range n.own {
		if t := n.own[i].Zone; t.Contains(z) {
			return 0, false
		} else if z.Contains(t) {
			touched = true
		}
	}
	if !touched {
		// Any id of z: a random one, so that tries differ.
		return z.Within(n.Point()), true
	}
	for v := range n.Cfg.Radix {
		if p, ok := n.gap(z.Child(v)); ok {
			return p, true
		}
	}
	return 0, false
}

func (n *Zones) gapFound(from wire.Peer, z wire.Zone, m *wire.Found) {
	n.gaps.asked = max(0, n.gaps.asked-1)
	delete(n.gaps.failed, z)
	n.learn(m.Record, false, from)
	n.Send(m.Record.Owner, n.ownings(true))
}

// gapFailed counts the lookups that found no owner. After several, the ids are
// taken to have none: all heirs died at once.
func (n *Zones) gapFailed(z wire.Zone) {
	n.gaps.asked = max(0, n.gaps.asked-1)
	n.gaps.dirty = true
	if n.gaps.failed == nil {
		n.gaps.failed = map[wire.Zone]int{}
	}
	if _, gap := n.gap(z); !gap || len(n.gaps.failed) >= maxGraves && n.gaps.failed[z] == 0 {
		delete(n.gaps.failed, z)
		return
	}
	n.gaps.failed[z]++
	if n.gaps.failed[z] < 4+n.Intn(4) || n.graveOf(z) != nil {
		return
	}
	delete(n.gaps.failed, z)
	// No record of the dead owner: start above every epoch we know nearby. Should
	// the ids have had a higher one, the two meet as after a partition.
	top := uint64(0)
	for i := range n.table {
		top = max(top, n.table[i].Counter)
	}
	for i := range n.own {
		if n.own[i].Zone.Adjacent(z) {
			n.addGrave(wire.Record{Zone: z, Counter: max(top, n.own[i].Counter)})
			n.claimIn(z, n.Jitter(n.Cfg.ClaimStep))
			return
		}
	}
}
