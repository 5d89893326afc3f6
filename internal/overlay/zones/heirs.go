// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"slices"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// heirs is what hosts know of one another's last will.
type heirs struct {
	touched bool     // the heirs are to be named anew soon
	wards   []ward   // hosts that named us
	legacy  []legacy // what those who died left
}

const maxWards = 8

// touch follows a change of the table: heirs may have to be named anew, and
// should know our neighbours. Changes come in bursts; one answer does for all.
func (n *Zones) touch() {
	if !n.heirs.touched {
		n.heirs.touched = true
		n.After(n.Cfg.RetryInterval, turn.Timer{Of: turn.Zones, What: timerHeirs})
	}
}

func (n *Zones) heirsDue() {
	n.heirs.touched = false
	if len(n.own) == 0 {
		return
	}
	before := n.digest
	if n.nameHeirs(); n.digest != before {
		n.announce(false)
	} else {
		n.bequeath()
	}
}

// nameHeirs picks for each zone the two hosts that claim it if we die: the
// owners of the sibling zones first, since they then own zones that join, then
// other neighbours; the same for all who know the table.
func (n *Zones) nameHeirs() {
	for i := range n.own {
		z := &n.own[i]
		var best [2]wire.Peer
		var rank [2]int
		for j := range n.table {
			r := &n.table[j]
			if !z.Zone.Adjacent(r.Zone) {
				continue
			}
			// Distance in the trie: small for siblings.
			score := 64
			if z.Zone.Len > 0 && r.Zone.Len > 0 {
				score = 64 - commonPrefix(z.Zone, r.Zone)
			}
			switch o := r.Owner; {
			case o.ID == best[0].ID || o.ID == best[1].ID:
			case best[0].ID.IsZero() || score < rank[0]:
				best[1], rank[1] = best[0], rank[0]
				best[0], rank[0] = o, score
			case best[1].ID.IsZero() || score < rank[1]:
				best[1], rank[1] = o, score
			}
		}
		z.Heirs = best
	}
	n.digest = wire.DigestOf(n.own)
}

func commonPrefix(a, b wire.Zone) int {
	i := 0
	for i < int(min(a.Len, b.Len)) && a.Path.Digit(i) == b.Path.Digit(i) {
		i++
	}
	return i
}

// ward is a host that named us its heir, and whom to tell if we inherit.
type ward struct {
	owner wire.Peer
	peers []wire.Peer
	infos []wire.StreamInfo
}

// bequeath sends our heirs the list of our neighbours.
func (n *Zones) bequeath() {
	var heirs []wire.Peer
	for i := range n.own {
		for _, h := range n.own[i].Heirs {
			if !h.ID.IsZero() && !slices.Contains(heirs, h) {
				heirs = append(heirs, h)
			}
		}
	}
	if len(heirs) == 0 {
		return
	}
	m := &wire.Heirloom{Peers: owners(n.table), Infos: n.Up.Of([]wire.Zone{{}})}
	for _, h := range heirs[:min(len(heirs), 4)] {
		n.Send(h, m)
	}
}

func (n *Zones) onHeirloom(from wire.Peer, m *wire.Heirloom) {
	named := slices.ContainsFunc(n.table, func(r wire.Record) bool {
		return r.Owner.ID == from.ID && (r.Heirs[0].ID == n.Self.ID || r.Heirs[1].ID == n.Self.ID)
	})
	i := slices.IndexFunc(n.heirs.wards, func(w ward) bool { return w.owner.ID == from.ID })
	switch {
	case !named && i >= 0:
		n.heirs.wards = slices.Delete(n.heirs.wards, i, i+1)
	case !named:
	case i >= 0:
		n.heirs.wards[i] = ward{from, m.Peers, m.Infos}
	case len(n.heirs.wards) < maxWards:
		n.heirs.wards = append(n.heirs.wards, ward{from, m.Peers, m.Infos})
		n.links.Know(from)
	}
}

// inherit keeps a dead ward's directory entries; the claim tells its peers.
func (n *Zones) inherit(w ward) {
	for i := range n.dead.graves {
		if g := &n.dead.graves[i]; g.Owner.ID == w.owner.ID && g.Heirs[0].ID == n.Self.ID {
			n.heirs.legacy = append(n.heirs.legacy, legacy{zone: g.Zone, peers: w.peers, infos: w.infos})
		}
	}
	if len(n.heirs.legacy) > maxWards {
		n.heirs.legacy = slices.Delete(n.heirs.legacy, 0, len(n.heirs.legacy)-maxWards)
	}
}

// legacy is what an heir knows of a zone it is about to claim.
type legacy struct {
	zone  wire.Zone
	peers []wire.Peer
	infos []wire.StreamInfo
}
