// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"slices"

	"sandstream/internal/overlay/wire"
)

// gain makes a zone ours.
func (n *Zones) gain(r wire.Record) {
	r.Owner = n.Self
	n.own = append(n.own, r)
	n.Emit(Owned{r})
	n.gaps.dirty = true
}

// lose makes a zone not ours and returns it.
func (n *Zones) lose(z wire.Zone) wire.Record {
	i := slices.IndexFunc(n.own, func(r wire.Record) bool { return r.Zone == z })
	r := n.own[i]
	n.own = slices.Delete(n.own, i, i+1)
	n.Emit(Released{r})
	return r
}

// ownings is the message that lists the zones we own. The list is never changed
// afterwards.
func (n *Zones) ownings(reply bool) *wire.Announce {
	return &wire.Announce{Records: slices.Clone(n.own), Reply: reply, Radix: n.region.Radix}
}

// Covers says whether the id p is ours.
func (n *Zones) Covers(p wire.Point) bool { return n.owned(p) != nil }

func (n *Zones) owned(p wire.Point) *wire.Record {
	for i := range n.own {
		if n.own[i].Zone.Covers(p) {
			return &n.own[i]
		}
	}
	return nil
}

// volume is the share of all ids that we own.
func (n *Zones) volume() float64 { return n.volumeOf(n.own) }

// volumeOf is the share of all ids in zones.
func (n *Zones) volumeOf(rs []wire.Record) float64 {
	var v float64
	for i := range rs {
		v += rs[i].Zone.Volume(n.Cfg.Radix)
	}
	return v
}

// ownZones lists the zones we own.
func (n *Zones) ownZones() []wire.Zone {
	v := make([]wire.Zone, len(n.own))
	for i := range n.own {
		v[i] = n.own[i].Zone
	}
	return v
}

// owns says whether exactly z is one of our zones.
func (n *Zones) owns(z wire.Zone) bool {
	return slices.ContainsFunc(n.own, func(r wire.Record) bool { return r.Zone == z })
}

// adjacent says whether z is next to one of our zones.
func (n *Zones) adjacent(z wire.Zone) bool {
	for i := range n.own {
		if n.own[i].Zone.Adjacent(z) {
			return true
		}
	}
	return false
}

// changed follows every change of our zones: joins what can be joined, drops
// what is no longer next to us, names heirs, and tells the neighbours.
func (n *Zones) changed(reply bool) {
	n.mergeZones()
	n.table = slices.DeleteFunc(n.table, func(r wire.Record) bool { return !n.adjacent(r.Zone) })
	n.nameHeirs()
	n.announce(reply)
}

// announce tells all neighbours what we own.
func (n *Zones) announce(reply bool) {
	m := n.ownings(reply)
	told := map[wire.HostID]bool{}
	for i := range n.table {
		if o := n.table[i].Owner; !told[o.ID] {
			told[o.ID] = true
			n.Send(o, m)
		}
	}
	n.bequeath()
}

// Moved follows a change of our own address: who keeps our records gets them anew, of
// the same epochs.
func (n *Zones) Moved() {
	for i := range n.own {
		n.own[i].Owner = n.Self
	}
	n.announce(false)
}

// mergeZones joins k sibling zones into their parent.
func (n *Zones) mergeZones() {
	for again := true; again; {
		again = false
		for i := range n.own {
			z := n.own[i].Zone
			if z.Len == 0 || n.moves.giving != nil && n.moves.giving.covers(z) {
				continue
			}
			parent, top, whole := z.Parent(), uint64(0), true
			for v := range n.Cfg.Radix {
				j := slices.IndexFunc(n.own, func(r wire.Record) bool { return r.Zone == parent.Child(v) })
				if j < 0 {
					whole = false
					break
				}
				top = max(top, n.own[j].Counter)
			}
			if !whole || top >= maxCounter {
				continue
			}
			for v := range n.Cfg.Radix {
				n.lose(parent.Child(v))
			}
			n.gain(wire.Record{Zone: parent, Counter: top + 1})
			again = true
			break
		}
	}
}

func (n *Zones) onAnnounce(from wire.Peer, m *wire.Announce) {
	if m.Gone {
		if p := n.links.Get(from.ID); p != nil {
			n.links.Die(p) // by its own word
		}
		return
	}
	if x := n.moves.giving; n.state == Leaving && len(m.Records) == 0 && x != nil && x.peer.ID == from.ID {
		n.cancelGiving("it has left") // our offer will not be answered
	}
	before := n.digest
	for i := range m.Records {
		if m.Records[i].Owner.ID == from.ID {
			n.learn(m.Records[i], false, from)
		} else {
			n.Count("announce-for-another")
		}
	}
	// What it owned before and does not list is no longer its own.
	n.table = slices.DeleteFunc(n.table, func(r wire.Record) bool {
		gone := r.Owner.ID == from.ID && !slices.ContainsFunc(m.Records, func(q wire.Record) bool { return q.Zone == r.Zone })
		if gone {
			n.gaps.dirty = true
		}
		return gone
	})
	n.confirmTentative(from, m.Records)
	n.vote(from, m.Records)
	if p := n.links.Get(from.ID); p != nil {
		p.Digest = wire.DigestOf(m.Records)
	}
	if m.Reply && before == n.digest {
		n.Send(from, n.ownings(false))
	}
}

// onMoved takes what a former owner says of its zones as certain, and what
// others say as a hint.
func (n *Zones) onMoved(from wire.Peer, m *wire.Moved) {
	if !m.Hearsay {
		n.vote(from, m.Records)
	}
	for i := range m.Records {
		r := m.Records[i]
		if r.Owner.ID == n.Self.ID {
			continue
		}
		sure := !m.Hearsay && (slices.ContainsFunc(n.table, func(e wire.Record) bool {
			return e.Owner.ID == from.ID && e.Zone.Overlaps(r.Zone)
		}) || slices.ContainsFunc(n.doubts.tentative, func(t tentative) bool {
			return t.from.ID == from.ID && t.Zone.Overlaps(r.Zone)
		}))
		if sure {
			n.doubts.tentative = slices.DeleteFunc(n.doubts.tentative, func(t tentative) bool {
				return t.from.ID == from.ID && t.Zone.Overlaps(r.Zone)
			})
		}
		n.learn(r, sure, from)
	}
}

// onQuery tells what we own, or who owns what was ours.
func (n *Zones) onQuery(from wire.Peer, m *wire.Query) {
	for i := range n.own {
		if n.own[i].Zone.Overlaps(m.Zone) {
			n.Send(from, n.ownings(false))
			return
		}
	}
	var hint []wire.Record
	for i := range n.table {
		if n.table[i].Zone.Overlaps(m.Zone) {
			hint = append(hint, n.table[i])
		}
	}
	n.Send(from, &wire.Moved{Records: hint})
	n.Send(from, n.ownings(false))
}

// learn takes one record from a host. sure: the former owner says so, or is dead.
func (n *Zones) learn(r wire.Record, sure bool, from wire.Peer) {
	if !r.Zone.Valid(n.Cfg.Radix) || r.Owner.ID.IsZero() || r.Owner.ID == n.Self.ID || r.Counter > maxCounter {
		return
	}
	for i := range n.own {
		if n.own[i].Zone.Overlaps(r.Zone) {
			if n.leap(&r, &n.own[i]) {
				return
			}
			n.conflict(r, n.own[i], from)
			return
		}
	}
	if len(n.own) == 0 || !n.adjacent(r.Zone) {
		return
	}
	// Against what we know of the same ids.
	for i := 0; i < len(n.table); i++ {
		e := &n.table[i]
		if !e.Zone.Overlaps(r.Zone) {
			continue
		}
		if n.leap(&r, e) {
			return
		}
		if e.Owner.ID == r.Owner.ID {
			if e.Counter > r.Counter {
				return // old news
			}
			if e.Zone == r.Zone {
				*e = r
				n.links.Know(r.Owner)
				return
			}
			n.table = slices.Delete(n.table, i, i+1)
			n.gaps.dirty = true
			i--
			continue
		}
		if !r.Newer(e) {
			// The sender does not know of the newer owner: they should meet.
			if n.doubts.introduced < 4 {
				n.doubts.introduced++
				n.Send(r.Owner, &wire.Moved{Records: []wire.Record{*e}})
			}
			return
		}
		if p := n.links.Get(e.Owner.ID); !sure && p != nil {
			n.doubt(r, e.Owner)
			return
		}
		old := e.Owner
		n.table = slices.Delete(n.table, i, i+1)
		n.gaps.dirty = true
		i--
		// It may have kept a part: it will say so.
		n.Send(old, &wire.Pull{})
	}
	// A living owner counts, whatever epoch a dead one had: should that one come
	// back, the two settle it.
	for i := range n.dead.graves {
		if g := &n.dead.graves[i]; g.Zone.Overlaps(r.Zone) && g.Owner.ID == r.Owner.ID && !r.Newer(&g.Record) {
			return // it is dead: an old message
		}
	}
	n.dead.graves = slices.DeleteFunc(n.dead.graves, func(g grave) bool { return g.Owner.ID.IsZero() && g.Zone.Overlaps(r.Zone) })
	n.unclaim(r.Zone.Contains)
	if len(n.table) >= maxTable || n.recordsOf(r.Owner.ID) >= maxTable/8 {
		n.Count("table-full")
		return
	}
	n.table = append(n.table, r)
	n.touch()
	delete(n.gaps.failed, r.Zone)
	if p := n.links.Know(r.Owner); from.ID != r.Owner.ID {
		p.Digest = 0 // others' news may be old: ask it at the next probe
	}
	if n.newNeighbour(r) {
		n.Send(r.Owner, n.ownings(false))
	}
}

const maxTable = 2 * wire.MaxRecords

// Counters grow by one or two with each change of owner. A host that claims with
// a far higher one wants to use them up.
const (
	maxCounter = 1 << 60
	maxLeap    = 1 << 20
)

// leap says whether r's counter is too far above a known one to be honest.
func (n *Zones) leap(r, known *wire.Record) bool {
	if r.Counter <= known.Counter || r.Counter-known.Counter <= maxLeap {
		return false
	}
	n.Count("counter-leap")
	return true
}

// newNeighbour says whether the owner of r may not know us yet: this is the only
// zone of it that we have.
func (n *Zones) newNeighbour(r wire.Record) bool {
	return n.recordsOf(r.Owner.ID) == 1
}

func (n *Zones) recordsOf(h wire.HostID) int {
	count := 0
	for i := range n.table {
		if n.table[i].Owner.ID == h {
			count++
		}
	}
	return count
}

// yield gives up the ids of our zone o that r claims, and keeps the rest.
func (n *Zones) yield(r, o wire.Record) {
	n.loseBut(o.Zone, r.Zone)
	near := slices.Clone(n.table)
	n.changed(false)
	moved := &wire.Moved{Records: []wire.Record{r}}
	told := map[wire.HostID]bool{r.Owner.ID: true}
	for i := range near {
		if id := near[i].Owner.ID; !told[id] {
			told[id] = true
			n.Send(near[i].Owner, moved)
		}
	}
	n.Send(r.Owner, n.ownings(true))
	if len(n.own) == 0 {
		n.rejoin(append([]wire.Peer{r.Owner}, owners(near)...))
		return
	}
	n.learn(r, true, r.Owner)
}

func owners(rs []wire.Record) []wire.Peer {
	var ps []wire.Peer
	for i := range rs {
		if !slices.Contains(ps, rs[i].Owner) {
			ps = append(ps, rs[i].Owner)
		}
	}
	return ps
}
