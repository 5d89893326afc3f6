// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"maps"
	"slices"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// leaving is a host that hands its ids over.
type leaving struct {
	refused map[wire.HostID]bool // who did not take our zones: true if it leaves as well
	since   Time
	alone   Time // since when all neighbours leave; 0 if one stays
}

// Leave hands all ids over and ends with a Left effect.
func (n *Zones) Leave() {
	switch n.state {
	case Idle, Gone:
		return
	case Joining:
		n.gone()
		return
	case Member, Leaving:
	}
	n.state, n.leave.since = Leaving, n.Now
	n.Up.Leave()
	n.leaveStep()
}

// leaveStep offers a zone to an heir of it, or else to another neighbour: who is
// next to it knows that it is ours to give. Who finds that all neighbours leave as
// well ends without.
func (n *Zones) leaveStep() {
	if n.state != Leaving || n.moves.giving != nil {
		return
	}
	wait := 8 * n.Cfg.RetryInterval
	if len(n.dead.graves) > 0 {
		wait = n.aloneTime() // there were some, and they have gone
	}
	if len(n.own) > 0 && len(n.table) == 0 && n.volume() < 1 && n.Now-n.leave.since < wait {
		// Somebody owns the rest: we have not heard of them yet.
		n.gaps.dirty = true
		n.fillGaps()
		n.After(n.Cfg.RetryInterval, turn.Timer{Of: turn.Zones, What: timerMove})
		return
	}
	if len(n.own) == 0 || len(n.table) == 0 {
		n.gone()
		return
	}
	to, z := n.successor()
	switch {
	case !to.ID.IsZero():
		n.leave.alone = 0
		n.offer(to, []wire.Zone{z}, false, wire.StreamID{})
		return
	case slices.ContainsFunc(n.table, func(r wire.Record) bool { return !n.leave.refused[r.Owner.ID] }):
		n.leave.alone = 0
	case n.leave.alone == 0:
		n.leave.alone = max(n.Now, 1)
	}
	if n.leave.alone > 0 && (n.Now-n.leave.alone >= n.aloneTime() || n.volume()+n.volumeOf(n.table) > 1-1e-9) {
		n.gone() // nobody is left, as far as we see
		return
	}
	n.askAgain()
	n.After(n.Cfg.RetryInterval, turn.Timer{Of: turn.Zones, What: timerMove})
}

// aloneTime is how long all our neighbours have to be leaving before we leave our
// zones behind: they hand theirs over to others meanwhile, who are then next to us.
// Where there are few hosts, none is far.
func (n *Zones) aloneTime() Time {
	hosts := max(int(n.region.Hosts), n.links.Len())
	return Time(min(12, 1+hosts/2)) * n.Cfg.RetryInterval
}

// askAgain forgets who did not take our zones, but for those who never will.
func (n *Zones) askAgain() {
	maps.DeleteFunc(n.leave.refused, func(_ wire.HostID, leaves bool) bool { return !leaves })
}

// successor is a zone of ours and a host to offer it to that has not refused yet.
func (n *Zones) successor() (wire.Peer, wire.Zone) {
	may := func(h wire.HostID) bool {
		_, no := n.leave.refused[h]
		return !no && n.links.Get(h) != nil
	}
	for i := range n.own {
		z := &n.own[i]
		for _, h := range z.Heirs {
			if may(h.ID) && n.recordsOf(h.ID) > 0 { // else it has left
				return h, z.Zone
			}
		}
		for j := range n.table {
			if r := &n.table[j]; may(r.Owner.ID) && r.Zone.Adjacent(z.Zone) {
				return r.Owner, z.Zone
			}
		}
	}
	return wire.Peer{}, wire.Zone{}
}

func (n *Zones) gone() {
	if len(n.own) > 0 {
		m := &wire.Announce{Radix: n.region.Radix, Gone: true}
		for _, p := range owners(n.table) {
			n.Send(p, m)
		}
	}
	for len(n.own) > 0 {
		n.lose(n.own[0].Zone)
	}
	n.state = Gone
	n.Stop()
	n.Emit(Left{})
}
