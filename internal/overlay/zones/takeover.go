// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
	"time"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// dead is what we know of hosts that we think dead.
type dead struct {
	graves   []grave
	claims   []claim    // zones of theirs, and when we claim them
	returned []returned // who came back
}

const maxGraves = 32

// grave is a zone whose owner we think dead, and when to ask that host again.
type grave struct {
	wire.Record
	since, next, every Time
}

// claim is a dead owner's zone, and when we make it ours.
type claim struct {
	zone wire.Zone
	at   Time
}

// bury remembers zones whose owner is dead, tells the heirs, and plans to claim
// the zones should no heir before us do so.
func (n *Zones) bury(rs []wire.Record) {
	for i := range rs {
		r := rs[i]
		n.addGrave(r)
		rank := n.rank(&r)
		if n.state != Member && n.state != Leaving {
			continue
		}
		n.claimIn(r.Zone, Time(rank)*n.Cfg.ClaimStep)
		if rank > 0 {
			for _, h := range r.Heirs {
				if !h.ID.IsZero() && h.ID != n.Self.ID && !n.buried(h.ID) {
					n.Send(h, &wire.Dead{Records: []wire.Record{r}})
				}
			}
		}
	}
}

// rank is our place among those who may claim a dead host's zone. Hosts that
// are no heirs come after the heirs, in an order given by a hash.
func (n *Zones) rank(r *wire.Record) int {
	for i, h := range r.Heirs {
		if h.ID == n.Self.ID {
			return i
		}
	}
	h := fnv.New64a()
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(r.Zone.Path))
	h.Write(b[:])
	h.Write(n.Self.ID[:])
	return len(r.Heirs) + 1 + int(h.Sum64()%8)
}

func (n *Zones) claimIn(z wire.Zone, d Time) {
	if n.links.Len() == 0 {
		d += 4 * n.Cfg.ClaimStep // cut off from all: more likely we are the one who is lost
	}
	if len(n.dead.claims) >= maxGraves || slices.ContainsFunc(n.dead.claims, func(c claim) bool { return c.zone == z }) {
		return
	}
	n.dead.claims = append(n.dead.claims, claim{z, n.Now + d})
	n.After(d, turn.Timer{Of: turn.Zones, What: timerClaim})
}

func (n *Zones) unclaim(which func(wire.Zone) bool) {
	n.dead.claims = slices.DeleteFunc(n.dead.claims, func(c claim) bool { return which(c.zone) })
}

func (n *Zones) claimDue() {
	for i := 0; i < len(n.dead.claims); i++ {
		z := n.dead.claims[i].zone
		if n.dead.claims[i].at > n.Now {
			continue
		}
		if g := n.graveOf(z); g == nil || n.takenOver(z) {
			n.dead.claims = slices.Delete(n.dead.claims, i, i+1)
			i--
		} else if n.rank(&g.Record) < 2 {
			n.claim(z)
			i = -1 // the list has changed
		} else {
			// No heir has come forward, or we have not heard of it: ask around.
			n.dead.claims[i].at = n.Now + 8*n.Cfg.ClaimStep
			n.After(8*n.Cfg.ClaimStep, turn.Timer{Of: turn.Zones, What: timerClaim})
			m := &wire.Lookup{Kind: wire.Find, Target: z.Path, Origin: n.Self}
			n.Ask(&turn.Request{Msg: m, Tries: 3, Wait: n.Cfg.RetryInterval, Failed: func() { n.claim(z) }, Then: func(from wire.Peer, m wire.Message) {
				n.learn(m.(*wire.Found).Record, true, from)
				if n.takenOver(z) {
					n.unclaim(func(c wire.Zone) bool { return c == z })
				}
			}})
		}
	}
}

// takenOver says whether all of z is known to have an owner again.
func (n *Zones) takenOver(z wire.Zone) bool {
	_, gap := n.gap(z)
	return !gap
}

// claim makes a dead host's zone ours under the next epoch.
func (n *Zones) claim(z wire.Zone) {
	n.unclaim(func(c wire.Zone) bool { return c == z })
	g := n.graveOf(z)
	if g == nil || n.takenOver(z) || n.state != Member {
		return
	}
	// Parts may have been claimed by others already.
	for i := range n.table {
		if n.table[i].Zone.Overlaps(z) {
			return
		}
	}
	if n.overlapsOwn(z) {
		return
	}
	r := wire.Record{Zone: z, Counter: g.Counter + 1}
	n.Event("zone-claimed", g.Owner, z.String())
	n.gain(r)
	var tell []wire.Peer
	n.heirs.legacy = slices.DeleteFunc(n.heirs.legacy, func(l legacy) bool {
		if l.zone != z {
			return false
		}
		tell = l.peers
		n.Up.Keep(l.infos)
		return true
	})
	n.changed(true)
	m := n.ownings(true)
	for _, p := range tell {
		if !slices.ContainsFunc(n.table, func(r wire.Record) bool { return r.Owner.ID == p.ID }) && !n.buried(p.ID) {
			n.Send(p, m)
		}
	}
	n.fillGaps()
}

// onDead checks what another host says of one that named us its heir.
func (n *Zones) onDead(_ wire.Peer, m *wire.Dead) {
	for i := range m.Records {
		r := &m.Records[i]
		if n.rank(r) > 1 {
			continue
		}
		p := n.links.Get(r.Owner.ID)
		if p == nil || n.Now-p.Heard() < n.Cfg.AckTimeout {
			continue
		}
		n.links.Ping(p)
	}
}

func (n *Zones) addGrave(r wire.Record) {
	n.dead.graves = slices.DeleteFunc(n.dead.graves, func(g grave) bool { return g.Zone == r.Zone })
	if len(n.dead.graves) >= maxGraves {
		n.dead.graves = slices.Delete(n.dead.graves, 0, 1)
	}
	n.dead.graves = append(n.dead.graves, grave{Record: r, since: n.Now, next: n.Now + n.Cfg.GraveInterval, every: n.Cfg.GraveInterval})
}

func (n *Zones) graveOf(z wire.Zone) *grave {
	for i := range n.dead.graves {
		if n.dead.graves[i].Zone == z {
			return &n.dead.graves[i]
		}
	}
	return nil
}

// buried says whether we think the host dead.
func (n *Zones) buried(h wire.HostID) bool {
	for i := range n.dead.graves {
		if n.dead.graves[i].Owner.ID == h {
			return true
		}
	}
	return false
}

// resurrect greets a host that we thought dead: the two compare what they own,
// and the higher epoch wins.
func (n *Zones) resurrect(p wire.Peer) {
	n.Event("peer-back", p, "")
	n.dead.graves = slices.DeleteFunc(n.dead.graves, func(g grave) bool {
		if g.Owner.ID != p.ID {
			return false
		}
		n.unclaim(func(z wire.Zone) bool { return z == g.Zone })
		return true
	})
	// For a while it can vouch for claims of its side: see conflict.
	n.dead.returned = slices.DeleteFunc(n.dead.returned, func(r returned) bool { return r.host == p.ID || n.Now-r.at > returnTime })
	if len(n.dead.returned) >= maxGraves {
		n.dead.returned = slices.Delete(n.dead.returned, 0, 1)
	}
	n.dead.returned = append(n.dead.returned, returned{p.ID, n.Now})
	n.Send(p, n.ownings(true))
	n.gaps.dirty = true
}

// askGraves asks hosts thought dead whether they are back: this is how the two
// sides of a partition find one another. The longer a host is gone, the rarer,
// up to a minute.
func (n *Zones) askGraves() {
	asked := map[wire.HostID]bool{}
	for i := range n.dead.graves {
		g := &n.dead.graves[i]
		if g.next > n.Now {
			continue
		}
		if !asked[g.Owner.ID] && len(asked) < 4 {
			asked[g.Owner.ID] = true
			n.links.Knock(g.Owner)
		}
		if asked[g.Owner.ID] {
			if n.Now-g.since > 20*g.every {
				g.every = min(2*g.every, time.Minute)
			}
			g.next = n.Now + n.Jitter(g.every)
		}
	}
	n.dead.graves = slices.DeleteFunc(n.dead.graves, func(g grave) bool { return n.Now-g.since > 6*time.Hour })
}
