// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"slices"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// fair says whether zones may come to us: they are zones, meant for us, apart
// from one another and from those of ours that we keep, under honest counters.
// known says whether they are the giver's, by our table or by a lookup made for it.
func (n *Zones) fair(from wire.Peer, give, keep []wire.Record) (fair, known bool) {
	if len(give) == 0 {
		return false, false
	}
	known = true
	limit := uint64(maxCounter)
	if n.state != Member {
		limit >>= 20 // who joins knows no counter to compare with
	}
	for i := range give {
		r := &give[i]
		overlaps := func(o wire.Record) bool { return o.Zone.Overlaps(r.Zone) }
		if !r.Zone.Valid(n.Cfg.Radix) || r.Owner.ID != n.Self.ID || r.Counter > limit ||
			slices.ContainsFunc(keep, overlaps) || slices.ContainsFunc(give[:i], overlaps) {
			return false, false
		}
		e := n.ownerRecord(from, r.Zone)
		if e == nil {
			known = false
		} else if n.leap(r, e) {
			return false, false
		}
	}
	return true, known
}

// ownerRecord is what we know of a host's right to a zone.
func (n *Zones) ownerRecord(h wire.Peer, z wire.Zone) *wire.Record {
	for _, rs := range [][]wire.Record{n.table, n.moves.verified} {
		for i := range rs {
			if rs[i].Owner.ID == h.ID && rs[i].Zone.Contains(z) {
				return &rs[i]
			}
		}
	}
	return nil
}

// verify looks up who owns what an exchange is to bring.
func (n *Zones) verify(from wire.Peer, give []wire.Record) {
	for i := range give {
		if z := give[i].Zone; n.ownerRecord(from, z) == nil {
			m := &wire.Lookup{Kind: wire.Find, Target: z.Path, Origin: n.Self}
			n.Ask(&turn.Request{Msg: m, Tries: 1, Wait: n.Cfg.RetryInterval, Then: func(_ wire.Peer, m wire.Message) {
				if v := n.moves.verified; len(v) >= 8 {
					n.moves.verified = slices.Delete(v, 0, 1)
				}
				n.moves.verified = append(n.moves.verified, m.(*wire.Found).Record)
			}})
		}
	}
}
