// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
	"time"

	"sandstream/internal/overlay/wire"
)

// ward is a host that named us its heir, and whom to tell if we inherit.
type ward struct {
	owner wire.Peer
	peers []wire.Peer
	infos []wire.StreamInfo
}

// bequeath sends our heirs the list of our neighbours.
func (n *Node) bequeath() {
	var heirs []wire.Peer
	for i := range n.zones {
		for _, h := range n.zones[i].Heirs {
			if !h.ID.IsZero() && !slices.Contains(heirs, h) {
				heirs = append(heirs, h)
			}
		}
	}
	if len(heirs) == 0 {
		return
	}
	m := &wire.Heirloom{Peers: owners(n.table), Infos: n.storedIn([]wire.Zone{{}})}
	for _, h := range heirs[:min(len(heirs), 4)] {
		n.send(h, m)
	}
}

func (n *Node) onHeirloom(from wire.Peer, m *wire.Heirloom) {
	named := slices.ContainsFunc(n.table, func(r wire.Record) bool {
		return r.Owner.ID == from.ID && (r.Heirs[0].ID == n.self.ID || r.Heirs[1].ID == n.self.ID)
	})
	i := slices.IndexFunc(n.wards, func(w ward) bool { return w.owner.ID == from.ID })
	switch {
	case !named && i >= 0:
		n.wards = slices.Delete(n.wards, i, i+1)
	case !named:
	case i >= 0:
		n.wards[i] = ward{from, m.Peers, m.Infos}
	case len(n.wards) < maxWards:
		n.wards = append(n.wards, ward{from, m.Peers, m.Infos})
		n.peer(from)
	}
}

// inherit keeps a dead ward's directory entries; the claim tells its peers.
func (n *Node) inherit(w ward) {
	for i := range n.graves {
		if g := &n.graves[i]; g.Owner.ID == w.owner.ID && g.Heirs[0].ID == n.self.ID {
			n.legacy = append(n.legacy, legacy{zone: g.Zone, peers: w.peers, infos: w.infos})
		}
	}
	if len(n.legacy) > maxWards {
		n.legacy = slices.Delete(n.legacy, 0, len(n.legacy)-maxWards)
	}
}

// legacy is what an heir knows of a zone it is about to claim.
type legacy struct {
	zone  wire.Zone
	peers []wire.Peer
	infos []wire.StreamInfo
}

// bury remembers zones whose owner is dead, tells the heirs, and plans to claim
// the zones should no heir before us do so.
func (n *Node) bury(rs []wire.Record) {
	for i := range rs {
		r := rs[i]
		n.addGrave(r)
		rank := n.rank(&r)
		if n.state != Member && n.state != Leaving {
			continue
		}
		n.claimIn(r.Zone, wire.Time(rank)*n.cfg.ClaimStep)
		if rank > 0 {
			for _, h := range r.Heirs {
				if !h.ID.IsZero() && h.ID != n.self.ID && !n.buried(h.ID) {
					n.send(h, &wire.Dead{Records: []wire.Record{r}})
				}
			}
		}
	}
}

// rank is our place among those who may claim a dead host's zone. Hosts that
// are no heirs come after the heirs, in an order given by a hash.
func (n *Node) rank(r *wire.Record) int {
	for i, h := range r.Heirs {
		if h.ID == n.self.ID {
			return i
		}
	}
	h := fnv.New64a()
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(r.Zone.Path))
	h.Write(b[:])
	h.Write(n.self.ID[:])
	return len(r.Heirs) + 1 + int(h.Sum64()%8)
}

func (n *Node) claimIn(z wire.Zone, d wire.Time) {
	if len(n.peers) == 0 {
		d += 4 * n.cfg.ClaimStep // cut off from all: more likely we are the one who is lost
	}
	if len(n.claims) >= maxGraves || slices.ContainsFunc(n.claims, func(c claim) bool { return c.zone == z }) {
		return
	}
	n.claims = append(n.claims, claim{z, n.now + d})
	n.after(d, timer{what: tClaim})
}

// claim is a dead owner's zone, and when we make it ours.
type claim struct {
	zone wire.Zone
	at   wire.Time
}

func (n *Node) unclaim(which func(wire.Zone) bool) {
	n.claims = slices.DeleteFunc(n.claims, func(c claim) bool { return which(c.zone) })
}

func (n *Node) claimDue() {
	for i := 0; i < len(n.claims); i++ {
		z := n.claims[i].zone
		if n.claims[i].at > n.now {
			continue
		}
		if g := n.graveOf(z); g == nil || n.takenOver(z) {
			n.claims = slices.Delete(n.claims, i, i+1)
			i--
		} else if n.rank(&g.Record) < 2 {
			n.claim(z)
			i = -1 // the list has changed
		} else {
			// No heir has come forward, or we have not heard of it: ask around.
			n.claims[i].at = n.now + 8*n.cfg.ClaimStep
			n.after(8*n.cfg.ClaimStep, timer{what: tClaim})
			m := &wire.Lookup{Kind: wire.Find, Target: z.Path, Origin: n.self}
			n.request(&request{what: reqClaim, msg: m, tries: 3, wait: n.cfg.RetryInterval, zone: z})
		}
	}
}

// takenOver says whether all of z is known to have an owner again.
func (n *Node) takenOver(z wire.Zone) bool {
	_, gap := n.gap(z)
	return !gap
}

// claim makes a dead host's zone ours under the next epoch.
func (n *Node) claim(z wire.Zone) {
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
	n.event("zone-claimed", g.Owner, z.String())
	n.gain(r)
	var tell []wire.Peer
	n.legacy = slices.DeleteFunc(n.legacy, func(l legacy) bool {
		if l.zone != z {
			return false
		}
		tell = l.peers
		n.keepAll(l.infos)
		return true
	})
	n.changed(true)
	m := n.ownings(true)
	for _, p := range tell {
		if !slices.ContainsFunc(n.table, func(r wire.Record) bool { return r.Owner.ID == p.ID }) && !n.buried(p.ID) {
			n.send(p, m)
		}
	}
	n.fillGaps()
}

// onDead checks what another host says of one that named us its heir.
func (n *Node) onDead(_ wire.Peer, m *wire.Dead) {
	for i := range m.Records {
		r := &m.Records[i]
		if n.rank(r) > 1 {
			continue
		}
		p := n.peers[r.Owner.ID]
		if p == nil || n.now-p.heard < n.cfg.AckTimeout {
			continue
		}
		n.ping(p)
	}
}

func (n *Node) addGrave(r wire.Record) {
	n.graves = slices.DeleteFunc(n.graves, func(g grave) bool { return g.Zone == r.Zone })
	if len(n.graves) >= maxGraves {
		n.graves = slices.Delete(n.graves, 0, 1)
	}
	n.graves = append(n.graves, grave{Record: r, since: n.now, next: n.now + n.cfg.GraveInterval, every: n.cfg.GraveInterval})
}

func (n *Node) graveOf(z wire.Zone) *grave {
	for i := range n.graves {
		if n.graves[i].Zone == z {
			return &n.graves[i]
		}
	}
	return nil
}

// buried says whether we think the host dead.
func (n *Node) buried(h wire.HostID) bool {
	for i := range n.graves {
		if n.graves[i].Owner.ID == h {
			return true
		}
	}
	return false
}

// resurrect greets a host that we thought dead: the two compare what they own,
// and the higher epoch wins.
func (n *Node) resurrect(p wire.Peer) {
	n.event("peer-back", p, "")
	n.graves = slices.DeleteFunc(n.graves, func(g grave) bool {
		if g.Owner.ID != p.ID {
			return false
		}
		n.unclaim(func(z wire.Zone) bool { return z == g.Zone })
		return true
	})
	// For a while it can vouch for claims of its side: see conflict.
	n.returned = slices.DeleteFunc(n.returned, func(r returned) bool { return r.host == p.ID || n.now-r.at > returnTime })
	if len(n.returned) >= maxGraves {
		n.returned = slices.Delete(n.returned, 0, 1)
	}
	n.returned = append(n.returned, returned{p.ID, n.now})
	n.send(p, n.ownings(true))
	n.dirty = true
}

// askGraves asks hosts thought dead whether they are back: this is how the two
// sides of a partition find one another. The longer a host is gone, the rarer,
// up to a minute.
func (n *Node) askGraves() {
	asked := map[wire.HostID]bool{}
	for i := range n.graves {
		g := &n.graves[i]
		if g.next > n.now {
			continue
		}
		if !asked[g.Owner.ID] && len(asked) < 4 {
			asked[g.Owner.ID] = true
			n.seq++
			n.send(g.Owner, &wire.Ping{Seq: n.seq, Digest: n.digest, Region: n.region})
		}
		if asked[g.Owner.ID] {
			if n.now-g.since > 20*g.every {
				g.every = min(2*g.every, time.Minute)
			}
			g.next = n.now + n.jitter(g.every)
		}
	}
	n.graves = slices.DeleteFunc(n.graves, func(g grave) bool { return n.now-g.since > 6*time.Hour })
}

// maintain looks over what events may have left undone.
func (n *Node) maintain() {
	n.forget()
	n.expireStore()
	n.expireDone()
	n.joinStuck()
	n.subsStuck()
	if n.state == Leaving {
		n.leaveStep()
	}
	if n.state != Member {
		return
	}
	n.fillGaps()
	n.tellRivals()
	n.homeless()
	n.lookAround()
	n.shrinkZones()
}

// fillGaps looks for the owners of ids next to ours that we do not know.
func (n *Node) fillGaps() {
	if !n.dirty {
		return
	}
	found := false
	for i := range n.zones {
		z := n.zones[i].Zone
		for d := range int(z.Len) {
			for v := range n.cfg.Radix {
				if v == z.Path.Digit(d) {
					continue
				}
				next := wire.Zone{Path: z.Path.With(d, v), Len: z.Len}
				p, gap := n.gap(next)
				if !gap {
					continue
				}
				found = true
				if n.gapReq >= 8 {
					return
				}
				n.gapReq++
				m := &wire.Lookup{Kind: wire.Find, Target: p, Origin: n.self}
				if !n.request(&request{what: reqGap, msg: m, tries: 2, wait: 2 * n.cfg.RetryInterval, zone: next}) {
					n.gapReq--
				}
			}
		}
	}
	n.dirty = found
}

// gap looks for an id of z whose owner we do not know.
func (n *Node) gap(z wire.Zone) (wire.Point, bool) {
	touched := false
	for i := range n.table {
		if t := n.table[i].Zone; t.Contains(z) {
			return 0, false
		} else if z.Contains(t) {
			touched = true
		}
	}
	for i := range n.zones {
		if t := n.zones[i].Zone; t.Contains(z) {
			return 0, false
		} else if z.Contains(t) {
			touched = true
		}
	}
	if !touched {
		// Any id of z: a random one, so that tries differ.
		return z.Within(wire.PointOf(n.rng.Uint64(), n.cfg.Radix)), true
	}
	for v := range n.cfg.Radix {
		if p, ok := n.gap(z.Child(v)); ok {
			return p, true
		}
	}
	return 0, false
}

// gapFailed counts the lookups that found no owner. After several, the ids are
// taken to have none: all heirs died at once.
func (n *Node) gapFailed(z wire.Zone) {
	n.gapReq = max(0, n.gapReq-1)
	n.dirty = true
	if n.gaps == nil {
		n.gaps = map[wire.Zone]int{}
	}
	if _, gap := n.gap(z); !gap || len(n.gaps) >= maxGraves && n.gaps[z] == 0 {
		delete(n.gaps, z)
		return
	}
	n.gaps[z]++
	if n.gaps[z] < 4+n.rand(4) || n.graveOf(z) != nil {
		return
	}
	delete(n.gaps, z)
	// No record of the dead owner: start above every epoch we know nearby. Should
	// the ids have had a higher one, the two meet as after a partition.
	top := uint64(0)
	for i := range n.table {
		top = max(top, n.table[i].Counter)
	}
	for i := range n.zones {
		if n.zones[i].Zone.Adjacent(z) {
			n.addGrave(wire.Record{Zone: z, Counter: max(top, n.zones[i].Counter)})
			n.claimIn(z, n.jitter(n.cfg.ClaimStep))
			return
		}
	}
}
