// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"iter"
	"slices"

	"sandstream/internal/overlay/links"
	"sandstream/internal/overlay/wire"
)

// What the machine above, and the host's status, see of this one.

// State is where the host stands.
func (n *Zones) State() MemberState { return n.state }

// Region is the cube in force.
func (n *Zones) Region() wire.Region { return n.region.Region }

// Owned lists the zones this host owns.
func (n *Zones) Owned() []wire.Record { return slices.Clone(n.own) }

// OwnedBy lists the zones next to ours that another host owns.
func (n *Zones) OwnedBy(h wire.HostID) (v []wire.Record) {
	for i := range n.table {
		if n.table[i].Owner.ID == h {
			v = append(v, n.table[i])
		}
	}
	return v
}

// Near is an id of ours, to be found by: one next to the host that will
// look for it, if there is one.
func (n *Zones) Near(by wire.HostID) wire.Point {
	for i := range n.table {
		if r := &n.table[i]; r.Owner.ID == by {
			for j := range n.own {
				if n.own[j].Zone.Adjacent(r.Zone) {
					return n.own[j].Zone.Path
				}
			}
		}
	}
	if len(n.own) == 0 {
		return 0
	}
	return n.own[0].Zone.Path
}

// Sideways is a neighbour that is not to be avoided: of two that are drawn the one with
// the cheaper link, so that another request may find another.
func (n *Zones) Sideways(avoid func(wire.HostID) bool) *links.Peer {
	var known []*links.Peer
	for _, o := range owners(n.table) {
		if p := n.links.Get(o.ID); p != nil && !avoid(o.ID) {
			known = append(known, p)
		}
	}
	if len(known) == 0 {
		return nil
	}
	p, q := known[n.Intn(len(known))], known[n.Intn(len(known))]
	if q.Weight() < p.Weight() {
		return q
	}
	return p
}

// Neighbours are the owners of the zones next to ours, once for each zone.
func (n *Zones) Neighbours() iter.Seq[*links.Peer] {
	return func(yield func(*links.Peer) bool) {
		for i := range n.table {
			if p := n.links.Get(n.table[i].Owner.ID); p != nil && !yield(p) {
				return
			}
		}
	}
}

// Calm says that we have ids, and that no neighbour died or came back within the time
// given: else a directory that we ask may be that of one side of a partition.
func (n *Zones) Calm(within Time) bool {
	return n.state == Member &&
		!slices.ContainsFunc(n.dead.graves, func(g grave) bool { return n.Now-g.since < within }) &&
		!slices.ContainsFunc(n.dead.returned, func(r returned) bool { return n.Now-r.at < within })
}

// Somebody is a host met earlier, for who has no ids and so no neighbours; zero if there
// is none, or no need.
func (n *Zones) Somebody() wire.Peer {
	if len(n.own) > 0 || len(n.join.known) == 0 {
		return wire.Peer{}
	}
	return n.join.known[n.Intn(len(n.join.known))]
}

// Giving says whether a hand-over from here is under way.
func (n *Zones) Giving() bool { return n.moves.giving != nil }

// Moving says whether any hand-over is.
func (n *Zones) Moving() bool { return n.moves.giving != nil || len(n.moves.taking) > 0 }

// Exchange offers all our ids to a host for all of its own, for the sake of a stream.
func (n *Zones) Exchange(to wire.Peer, id wire.StreamID) {
	n.offer(to, n.ownZones(), true, id)
}
