// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"encoding/binary"
	"hash/fnv"
	"slices"

	"sandstream/internal/overlay/wire"
)

// grave is a zone whose owner we think dead, and when to ask that host again.
type grave struct {
	wire.Record
	since, next, every wire.Time
}

// tentative is a claim to a zone whose known owner may still live: it has been
// asked.
type tentative struct {
	wire.Record
	from  wire.Peer // the owner that was asked
	asked wire.Time
}

// digestOf is a hash over zones, counters and heirs; 0 only for none.
func digestOf(rs []wire.Record) uint64 {
	var sum uint64
	for i := range rs {
		h := fnv.New64a()
		var b [17]byte
		binary.BigEndian.PutUint64(b[:], uint64(rs[i].Zone.Path))
		b[8] = rs[i].Zone.Len
		binary.BigEndian.PutUint64(b[9:], rs[i].Counter)
		h.Write(b[:])
		for _, p := range rs[i].Heirs {
			h.Write(p.ID[:])
		}
		sum += h.Sum64() | 1
	}
	return sum
}

// gain makes a zone ours.
func (n *Node) gain(r wire.Record) {
	r.Owner = n.self
	n.zones = append(n.zones, r)
	n.emit(Owned{r})
	n.dirty = true
}

// lose makes a zone not ours and returns it.
func (n *Node) lose(z wire.Zone) wire.Record {
	i := slices.IndexFunc(n.zones, func(r wire.Record) bool { return r.Zone == z })
	r := n.zones[i]
	n.zones = slices.Delete(n.zones, i, i+1)
	n.emit(Released{r})
	return r
}

// owns says whether exactly z is one of our zones.
func (n *Node) owns(z wire.Zone) bool {
	return slices.ContainsFunc(n.zones, func(r wire.Record) bool { return r.Zone == z })
}

// adjacent says whether z is next to one of our zones.
func (n *Node) adjacent(z wire.Zone) bool {
	for i := range n.zones {
		if n.zones[i].Zone.Adjacent(z) {
			return true
		}
	}
	return false
}

// changed follows every change of our zones: joins what can be joined, drops
// what is no longer next to us, names heirs, and tells the neighbours.
func (n *Node) changed(reply bool) {
	n.mergeZones()
	n.table = slices.DeleteFunc(n.table, func(r wire.Record) bool { return !n.adjacent(r.Zone) })
	n.nameHeirs()
	n.announce(reply)
}

// announce tells all neighbours what we own.
func (n *Node) announce(reply bool) {
	m := n.ownings(reply)
	told := map[wire.HostID]bool{}
	for i := range n.table {
		if o := n.table[i].Owner; !told[o.ID] {
			told[o.ID] = true
			n.send(o, m)
		}
	}
	n.bequeath()
}

// touch follows a change of the table: heirs may have to be named anew, and
// should know our neighbours. Changes come in bursts; one answer does for all.
func (n *Node) touch() {
	if !n.touched {
		n.touched = true
		n.after(n.cfg.RetryInterval, timer{what: tHeirs})
	}
}

func (n *Node) heirsDue() {
	n.touched = false
	if len(n.zones) == 0 {
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
func (n *Node) nameHeirs() {
	for i := range n.zones {
		z := &n.zones[i]
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
	n.digest = digestOf(n.zones)
}

func commonPrefix(a, b wire.Zone) int {
	i := 0
	for i < int(min(a.Len, b.Len)) && a.Path.Digit(i) == b.Path.Digit(i) {
		i++
	}
	return i
}

// mergeZones joins k sibling zones into their parent.
func (n *Node) mergeZones() {
	for again := true; again; {
		again = false
		for i := range n.zones {
			z := n.zones[i].Zone
			if z.Len == 0 || n.out != nil && n.out.covers(z) {
				continue
			}
			parent, top, whole := z.Parent(), uint64(0), true
			for v := range n.cfg.Radix {
				j := slices.IndexFunc(n.zones, func(r wire.Record) bool { return r.Zone == parent.Child(v) })
				if j < 0 {
					whole = false
					break
				}
				top = max(top, n.zones[j].Counter)
			}
			if !whole || top >= maxCounter {
				continue
			}
			for v := range n.cfg.Radix {
				n.lose(parent.Child(v))
			}
			n.gain(wire.Record{Zone: parent, Counter: top + 1})
			again = true
			break
		}
	}
}

func (n *Node) onAnnounce(from wire.Peer, m *wire.Announce) {
	if m.Gone {
		if p := n.peers[from.ID]; p != nil {
			n.die(p) // by its own word
		}
		return
	}
	if x := n.out; n.state == Leaving && len(m.Records) == 0 && x != nil && x.peer.ID == from.ID {
		n.abortOut("it has left") // our offer will not be answered
	}
	before := n.digest
	for i := range m.Records {
		if m.Records[i].Owner.ID == from.ID {
			n.learn(m.Records[i], false, from)
		} else {
			n.counts["announce-for-another"]++
		}
	}
	// What it owned before and does not list is no longer its own.
	n.table = slices.DeleteFunc(n.table, func(r wire.Record) bool {
		gone := r.Owner.ID == from.ID && !slices.ContainsFunc(m.Records, func(q wire.Record) bool { return q.Zone == r.Zone })
		if gone {
			n.dirty = true
		}
		return gone
	})
	n.confirmTentative(from, m.Records)
	n.vote(from, m.Records)
	if p := n.peers[from.ID]; p != nil {
		p.digest = digestOf(m.Records)
	}
	if m.Reply && before == n.digest {
		n.send(from, n.ownings(false))
	}
}

// onMoved takes what a former owner says of its zones as certain, and what
// others say as a hint.
func (n *Node) onMoved(from wire.Peer, m *wire.Moved) {
	if !m.Hearsay {
		n.vote(from, m.Records)
	}
	for i := range m.Records {
		r := m.Records[i]
		if r.Owner.ID == n.self.ID {
			continue
		}
		sure := !m.Hearsay && (slices.ContainsFunc(n.table, func(e wire.Record) bool {
			return e.Owner.ID == from.ID && e.Zone.Overlaps(r.Zone)
		}) || slices.ContainsFunc(n.tentative, func(t tentative) bool {
			return t.from.ID == from.ID && t.Zone.Overlaps(r.Zone)
		}))
		if sure {
			n.tentative = slices.DeleteFunc(n.tentative, func(t tentative) bool {
				return t.from.ID == from.ID && t.Zone.Overlaps(r.Zone)
			})
		}
		n.learn(r, sure, from)
	}
}

// onQuery tells what we own, or who owns what was ours.
func (n *Node) onQuery(from wire.Peer, m *wire.Query) {
	for i := range n.zones {
		if n.zones[i].Zone.Overlaps(m.Zone) {
			n.send(from, n.ownings(false))
			return
		}
	}
	var hint []wire.Record
	for i := range n.table {
		if n.table[i].Zone.Overlaps(m.Zone) {
			hint = append(hint, n.table[i])
		}
	}
	n.send(from, &wire.Moved{Records: hint})
	n.send(from, n.ownings(false))
}

// learn takes one record from a host. sure: the former owner says so, or is dead.
func (n *Node) learn(r wire.Record, sure bool, from wire.Peer) {
	if !r.Zone.Valid(n.cfg.Radix) || r.Owner.ID.IsZero() || r.Owner.ID == n.self.ID || r.Counter > maxCounter {
		return
	}
	for i := range n.zones {
		if n.zones[i].Zone.Overlaps(r.Zone) {
			if n.leap(&r, &n.zones[i]) {
				return
			}
			n.conflict(r, n.zones[i], from)
			return
		}
	}
	if len(n.zones) == 0 || !n.adjacent(r.Zone) {
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
				n.peer(r.Owner)
				return
			}
			n.table = slices.Delete(n.table, i, i+1)
			n.dirty = true
			i--
			continue
		}
		if !r.Newer(e) {
			// The sender does not know of the newer owner: they should meet.
			if n.introduced < 4 {
				n.introduced++
				n.send(r.Owner, &wire.Moved{Records: []wire.Record{*e}})
			}
			return
		}
		if p := n.peers[e.Owner.ID]; !sure && p != nil {
			n.doubt(r, e.Owner)
			return
		}
		old := e.Owner
		n.table = slices.Delete(n.table, i, i+1)
		n.dirty = true
		i--
		// It may have kept a part: it will say so.
		n.send(old, &wire.Pull{})
	}
	// A living owner counts, whatever epoch a dead one had: should that one come
	// back, the two settle it.
	for i := range n.graves {
		if g := &n.graves[i]; g.Zone.Overlaps(r.Zone) && g.Owner.ID == r.Owner.ID && !r.Newer(&g.Record) {
			return // it is dead: an old message
		}
	}
	n.graves = slices.DeleteFunc(n.graves, func(g grave) bool { return g.Owner.ID.IsZero() && g.Zone.Overlaps(r.Zone) })
	n.unclaim(r.Zone.Contains)
	if len(n.table) >= maxTable || n.recordsOf(r.Owner.ID) >= maxTable/8 {
		n.counts["table-full"]++
		return
	}
	n.table = append(n.table, r)
	n.touch()
	delete(n.gaps, r.Zone)
	if p := n.peer(r.Owner); from.ID != r.Owner.ID {
		p.digest = 0 // others' news may be old: ask it at the next probe
	}
	if n.newNeighbour(r) {
		n.send(r.Owner, n.ownings(false))
	}
}

// Counters grow by one or two with each change of owner. A host that claims with
// a far higher one wants to use them up.
const (
	maxCounter = 1 << 60
	maxLeap    = 1 << 20
)

// leap says whether r's counter is too far above a known one to be honest.
func (n *Node) leap(r, known *wire.Record) bool {
	if r.Counter <= known.Counter || r.Counter-known.Counter <= maxLeap {
		return false
	}
	n.counts["counter-leap"]++
	return true
}

// newNeighbour says whether the owner of r may not know us yet: this is the only
// zone of it that we have.
func (n *Node) newNeighbour(r wire.Record) bool {
	return n.recordsOf(r.Owner.ID) == 1
}

func (n *Node) recordsOf(h wire.HostID) int {
	count := 0
	for i := range n.table {
		if n.table[i].Owner.ID == h {
			count++
		}
	}
	return count
}

// doubt asks the known owner of a zone whether a claim to it is right.
func (n *Node) doubt(r wire.Record, owner wire.Peer) {
	for i := range n.tentative {
		if n.tentative[i].Zone == r.Zone && n.tentative[i].Owner.ID == r.Owner.ID {
			n.tentative[i].Record = r
			return
		}
	}
	if len(n.tentative) >= maxTentative {
		n.counts["claim-dropped"]++
		return
	}
	n.tentative = append(n.tentative, tentative{Record: r, from: owner, asked: n.now})
	// The two should know of one another: see conflict.
	n.send(owner, &wire.Moved{Records: []wire.Record{r}, Hearsay: true})
	n.send(owner, &wire.Query{Zone: r.Zone})
	n.after(n.cfg.AckTimeout+n.cfg.IndirectTimeout, timer{what: tTentative})
}

// confirmTentative drops claims to zones that their owner says it still owns,
// and takes those that it no longer lists.
func (n *Node) confirmTentative(from wire.Peer, own []wire.Record) {
	var sure []wire.Record
	n.tentative = slices.DeleteFunc(n.tentative, func(t tentative) bool {
		if t.from.ID != from.ID {
			return false
		}
		if slices.ContainsFunc(own, func(r wire.Record) bool { return r.Zone.Overlaps(t.Zone) }) {
			n.counts["claim-denied"]++
			n.send(t.Owner, &wire.Moved{Records: own})
		} else {
			sure = append(sure, t.Record)
		}
		return true
	})
	for _, r := range sure {
		n.learn(r, true, r.Owner)
	}
}

// tentativeDue takes the claims whose old owners did not answer.
func (n *Node) tentativeDue() {
	var sure []wire.Record
	wait := n.cfg.AckTimeout + n.cfg.IndirectTimeout
	n.tentative = slices.DeleteFunc(n.tentative, func(t tentative) bool {
		if n.now-t.asked < wait {
			return false
		}
		if p := n.peers[t.from.ID]; p == nil || p.heard < t.asked {
			sure = append(sure, t.Record)
		}
		return true
	})
	for _, r := range sure {
		n.learn(r, true, r.Owner)
	}
}

// yield gives up the ids of our zone o that r claims, and keeps the rest.
func (n *Node) yield(r, o wire.Record) {
	n.loseBut(o.Zone, r.Zone)
	near := slices.Clone(n.table)
	n.changed(false)
	moved := &wire.Moved{Records: []wire.Record{r}}
	told := map[wire.HostID]bool{r.Owner.ID: true}
	for i := range near {
		if id := near[i].Owner.ID; !told[id] {
			told[id] = true
			n.send(near[i].Owner, moved)
		}
	}
	n.send(r.Owner, n.ownings(true))
	if len(n.zones) == 0 {
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
