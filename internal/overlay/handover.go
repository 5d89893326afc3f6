// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"slices"

	"sandstream/internal/overlay/wire"
)

// xfer is a hand-over under way. Its number is the giver's.
type xfer struct {
	id      uint64
	peer    wire.Peer
	give    []wire.Record // as they will be
	back    []wire.Record // a swap's other half, as they will be
	table   []wire.Record // neighbours of what the taker gets
	backTab []wire.Record

	infos, backInfos []wire.StreamInfo // directory entries of give and of back

	swap    bool
	stream  wire.StreamID
	phase   phase
	msg     wire.Message // sent again until answered
	started wire.Time
	wait    wire.Time
	near    []wire.Record // our neighbours before the commit of an exchange, to be told
}

type phase uint8

const (
	offered   phase = iota // giver: we own; taker may accept
	committed              // giver: we do not own; taker will
	accepted               // taker: waits for the commit
)

// doneXfer is a hand-over that was taken: the giver may not know yet.
type doneXfer struct {
	giver wire.HostID
	id    uint64
	at    wire.Time
}

func (x *xfer) covers(z wire.Zone) bool {
	return slices.ContainsFunc(x.give, func(r wire.Record) bool { return r.Zone.Overlaps(z) })
}

// offer starts a hand-over of zones, each one of ours or the child of one.
func (n *Node) offer(to wire.Peer, zones []wire.Zone, swap bool, stream wire.StreamID) {
	n.reqs++
	x := &xfer{id: n.reqs, peer: to, swap: swap, stream: stream, started: n.now, wait: n.cfg.RetryInterval}
	for _, z := range zones {
		o := n.owned(z.Path)
		x.give = append(x.give, wire.Record{Zone: z, Counter: o.Counter + 1, Owner: to})
	}
	x.infos = n.storedIn(zones)
	x.table = n.tableFor(zones, to)
	x.msg = &wire.Offer{Xfer: x.id, Give: x.give, Table: x.table, Infos: x.infos, Swap: swap, Stream: stream, Region: n.region}
	n.out = x
	n.peer(to)
	n.send(to, x.msg)
	n.after(x.wait, timer{what: tXfer, key: x.id})
}

// tableFor lists the owners of the zones next to zones, ourselves included.
func (n *Node) tableFor(zones []wire.Zone, to wire.Peer) []wire.Record {
	var t []wire.Record
	for _, rs := range [][]wire.Record{n.zones, n.table} {
		for i := range rs {
			r := &rs[i]
			if r.Owner.ID != to.ID && slices.ContainsFunc(zones, func(z wire.Zone) bool { return z.Adjacent(r.Zone) || r.Zone.Contains(z) && r.Zone != z }) {
				t = append(t, *r)
			}
		}
	}
	return t[:min(len(t), wire.MaxRecords)]
}

func (n *Node) onOffer(from wire.Peer, m *wire.Offer) {
	n.learnRegion(m.Region)
	if x := n.in[m.Xfer]; x != nil && x.peer.ID == from.ID {
		n.send(from, x.msg)
		return
	}
	no := func(why string) {
		n.send(from, &wire.Accept{Xfer: m.Xfer, Reason: why, Leaving: n.state == Leaving})
	}
	asked := false
	for id, r := range n.pending {
		if r.what == reqAsk && r.to.ID == from.ID {
			delete(n.pending, id)
			asked = true
		}
	}
	switch {
	case n.state != Joining && n.state != Member:
		no("not a member")
		return
	case n.state == Joining && !asked && !m.Swap:
		no("did not ask") // the answer to a request that was given up
		n.joinLater(2 * n.cfg.RetryInterval)
		return
	case len(n.in) > 0 || n.out != nil:
		no("busy")
		return
	case m.Swap && !n.maySwap(m.Stream):
		no("keeps its ids")
		return
	}
	switch fair, known := n.fair(from, m.Give, n.zones); {
	case !fair:
		no("not to give")
		return
	case n.state == Member && !known:
		if m.Swap {
			n.verify(from, m.Give) // the offer will be sent again
		} else {
			no("not known to be the giver's")
		}
		return
	}
	x := &xfer{
		id: m.Xfer, peer: from, phase: accepted, swap: m.Swap, stream: m.Stream, started: n.now,
		give: m.Give, table: m.Table, infos: m.Infos, wait: n.cfg.RetryInterval,
	}
	acc := &wire.Accept{Xfer: m.Xfer, OK: true}
	if m.Swap {
		for i := range n.zones {
			z := &n.zones[i]
			x.back = append(x.back, wire.Record{Zone: z.Zone, Counter: z.Counter + 1, Owner: from})
		}
		acc.Give, acc.Table, acc.Infos = x.back, n.tableFor(n.ownZones(), from), n.storedIn(n.ownZones())
	}
	x.msg = acc
	n.in[x.id] = x
	n.peer(from)
	n.send(from, acc)
	n.after(n.cfg.HandoverTimeout, timer{what: tXfer, key: x.id})
}

// fair says whether zones may come to us: they are zones, meant for us, apart
// from one another and from those of ours that we keep, under honest counters.
// known says whether they are the giver's, by our table or by a lookup made for it.
func (n *Node) fair(from wire.Peer, give, keep []wire.Record) (fair, known bool) {
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
		if !r.Zone.Valid(n.cfg.Radix) || r.Owner.ID != n.self.ID || r.Counter > limit ||
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
func (n *Node) ownerRecord(h wire.Peer, z wire.Zone) *wire.Record {
	for _, rs := range [][]wire.Record{n.table, n.verified} {
		for i := range rs {
			if rs[i].Owner.ID == h.ID && rs[i].Zone.Contains(z) {
				return &rs[i]
			}
		}
	}
	return nil
}

// verify looks up who owns what an exchange is to bring.
func (n *Node) verify(from wire.Peer, give []wire.Record) {
	for i := range give {
		if z := give[i].Zone; n.ownerRecord(from, z) == nil {
			m := &wire.Lookup{Kind: wire.Find, Target: z.Path, Origin: n.self}
			n.request(&request{what: reqVerify, msg: m, tries: 1, wait: n.cfg.RetryInterval})
		}
	}
}

// volumeOf is the share of all ids in zones.
func (n *Node) volumeOf(rs []wire.Record) float64 {
	var v float64
	for i := range rs {
		v += rs[i].Zone.Volume(n.cfg.Radix)
	}
	return v
}

// onAccept is the point of no return: we stop owning before the other starts.
func (n *Node) onAccept(from wire.Peer, m *wire.Accept) {
	x := n.out
	if x == nil || x.id != m.Xfer || x.peer.ID != from.ID {
		n.send(from, &wire.Cancel{Xfer: m.Xfer})
		return
	}
	if x.phase != offered {
		return // the commit is on its way
	}
	if !m.OK {
		n.endOut(false, m.Reason)
		if n.state == Leaving {
			n.refused[from.ID] = m.Leaving
		}
		return
	}
	for i := range x.give {
		if o := n.owned(x.give[i].Zone.Path); o == nil || o.Counter+1 != x.give[i].Counter {
			n.send(from, &wire.Cancel{Xfer: x.id})
			n.endOut(false, "our zones have changed")
			return
		}
	}
	if x.swap {
		// All our zones go, so that we keep none.
		fair, known := n.fair(from, m.Give, nil)
		if !fair || 8*n.volumeOf(m.Give) < n.volumeOf(x.give) {
			n.send(from, &wire.Cancel{Xfer: x.id})
			n.endOut(false, "it gives too little in return")
			return
		}
		if !known {
			n.verify(from, m.Give) // our offer will be sent again, and be accepted again
			return
		}
	}
	x.back, x.backTab, x.backInfos = m.Give, m.Table, m.Infos
	near := slices.Clone(n.table)
	for i := range x.give {
		n.cut(x.give[i])
	}
	x.phase, x.msg, x.started, x.wait = committed, &wire.Commit{Xfer: x.id}, n.now, n.cfg.RetryInterval
	n.send(from, x.msg)
	n.after(x.wait, timer{what: tXfer, key: x.id})
	if !x.swap {
		// The taker is our neighbour from now on, and the others' too.
		n.table = append(n.table, x.give...)
		n.changed(false)
		n.tellMoved(near, x.give, from)
	} else {
		x.near = near
		n.digest = digestOf(n.zones)
	}
}

// cut takes the zone of r out of the one of ours that holds it.
func (n *Node) cut(r wire.Record) {
	i := slices.IndexFunc(n.zones, func(o wire.Record) bool { return o.Zone.Contains(r.Zone) })
	if i < 0 {
		return
	}
	n.loseBut(n.zones[i].Zone, r.Zone)
}

// loseBut gives up the ids of z that lie in part, and keeps the rest of z.
func (n *Node) loseBut(z, part wire.Zone) {
	o := n.lose(z)
	for z != part && z.Contains(part) {
		var next wire.Zone
		for v := range n.cfg.Radix {
			if c := z.Child(v); c.Overlaps(part) {
				next = c
			} else {
				n.gain(wire.Record{Zone: c, Counter: o.Counter + 1})
			}
		}
		z = next
	}
}

// tellMoved tells the neighbours of zones who owns them now.
func (n *Node) tellMoved(near, moved []wire.Record, taker wire.Peer) {
	m := &wire.Moved{Records: moved}
	told := map[wire.HostID]bool{taker.ID: true}
	for i := range near {
		o := near[i].Owner
		if !told[o.ID] && slices.ContainsFunc(moved, func(r wire.Record) bool { return r.Zone.Adjacent(near[i].Zone) }) {
			told[o.ID] = true
			n.send(o, m)
		}
	}
}

func (n *Node) onCommit(from wire.Peer, m *wire.Commit) {
	if slices.ContainsFunc(n.done, func(d doneXfer) bool { return d.id == m.Xfer && d.giver == from.ID }) {
		n.send(from, &wire.Done{Xfer: m.Xfer, OK: true})
		return
	}
	x := n.in[m.Xfer]
	if x == nil || x.peer.ID != from.ID {
		n.send(from, &wire.Done{Xfer: m.Xfer})
		return
	}
	delete(n.in, m.Xfer)
	if len(n.done) >= maxDone {
		n.done = slices.Delete(n.done, 0, 1)
	}
	n.done = append(n.done, doneXfer{giver: from.ID, id: x.id, at: n.now})
	near := slices.Clone(n.table)
	if x.swap {
		for i := range x.back {
			if n.owns(x.back[i].Zone) {
				n.lose(x.back[i].Zone)
			}
		}
		n.table = nil
	}
	for i := range x.give {
		n.gain(x.give[i])
	}
	n.keepAll(x.infos)
	n.send(from, &wire.Done{Xfer: x.id, OK: true})
	n.adopt(x.table, x.peer)
	if x.swap {
		for i := range x.back {
			n.learn(x.back[i], true, from)
		}
		n.changed(true)
		n.tellMoved(near, x.back, from)
		n.swapDone(x)
	} else {
		n.changed(true)
	}
	n.joined()
	n.fillGaps()
}

// adopt takes a table that came with zones.
func (n *Node) adopt(t []wire.Record, giver wire.Peer) {
	for i := range t {
		if t[i].Owner.ID == n.self.ID {
			continue
		}
		if t[i].Owner.ID == giver.ID && n.overlapsOwn(t[i].Zone) {
			continue // the giver's zone before it was cut: it announces the rest
		}
		n.learn(t[i], true, giver)
	}
	n.dirty = true
}

func (n *Node) overlapsOwn(z wire.Zone) bool {
	return slices.ContainsFunc(n.zones, func(o wire.Record) bool { return o.Zone.Overlaps(z) })
}

func (n *Node) onDone(from wire.Peer, m *wire.Done) {
	x := n.out
	if x == nil || x.id != m.Xfer || x.peer.ID != from.ID || x.phase != committed {
		return
	}
	if !m.OK {
		n.takeBack("the taker had given up")
		return
	}
	if x.swap {
		for i := range x.back {
			if !n.overlapsOwn(x.back[i].Zone) && x.back[i].Owner.ID == n.self.ID && x.back[i].Zone.Valid(n.cfg.Radix) && x.back[i].Counter <= maxCounter {
				n.gain(x.back[i])
			}
		}
		n.keepAll(x.backInfos)
		n.table = nil
		n.out = nil
		n.adopt(x.backTab, from)
		for i := range x.give {
			n.learn(x.give[i], true, from)
		}
		n.changed(true)
		n.tellMoved(x.near, x.give, from)
		n.swapDone(x)
		n.fillGaps()
		return
	}
	n.endOut(true, "")
	n.homeless()
}

// takeBack makes committed zones ours again under a higher epoch: the taker
// died or lost them. Should it own them after all, the two will meet.
func (n *Node) takeBack(why string) {
	x := n.out
	n.out = nil
	n.event("handover-taken-back", x.peer, why)
	for i := range x.give {
		r := x.give[i]
		n.table = slices.DeleteFunc(n.table, func(e wire.Record) bool { return e.Zone.Overlaps(r.Zone) && e.Owner.ID == x.peer.ID })
		if n.overlapsOwn(r.Zone) || slices.ContainsFunc(n.table, func(e wire.Record) bool { return e.Zone.Overlaps(r.Zone) }) {
			continue
		}
		n.addGrave(r)
		n.gain(wire.Record{Zone: r.Zone, Counter: r.Counter + 1})
	}
	n.keepAll(x.infos)
	n.changed(true)
	n.afterOut()
}

func (n *Node) abortOut(why string) {
	if x := n.out; x != nil && x.phase == offered {
		n.send(x.peer, &wire.Cancel{Xfer: x.id})
		n.endOut(false, why)
	}
}

func (n *Node) endOut(ok bool, why string) {
	x := n.out
	n.out = nil
	if ok {
		n.askAgain()
	}
	if !ok && n.state == Leaving {
		if n.refused == nil {
			n.refused = map[wire.HostID]bool{}
		}
		if !n.refused[x.peer.ID] {
			n.refused[x.peer.ID] = false
		}
	}
	if x.swap && !ok {
		n.swapFailed(x.stream, why)
	}
	n.afterOut()
}

func (n *Node) afterOut() {
	if n.state == Leaving {
		n.after(n.cfg.RetryInterval/4, timer{what: tXfer})
	}
}

func (n *Node) onCancel(from wire.Peer, m *wire.Cancel) {
	if x := n.in[m.Xfer]; x != nil && x.peer.ID == from.ID {
		delete(n.in, m.Xfer)
		if n.state == Joining {
			n.joinLater(n.cfg.RetryInterval)
		}
	}
}

// xferDue sends again what was not answered, and ends what took too long.
func (n *Node) xferDue(id uint64) {
	if id == 0 {
		n.leaveStep()
		return
	}
	if x := n.in[id]; x != nil {
		// Never committed: without a commit we own nothing.
		if n.now-x.started >= n.cfg.HandoverTimeout {
			delete(n.in, id)
			if n.state == Joining {
				n.joinLater(n.cfg.RetryInterval)
			}
		}
		return
	}
	x := n.out
	if x == nil || x.id != id {
		return
	}
	if n.now-x.started >= n.cfg.HandoverTimeout {
		if x.phase == offered {
			n.abortOut("no answer")
		} else {
			n.takeBack("no answer")
		}
		return
	}
	n.send(x.peer, x.msg)
	x.wait *= 2
	n.after(x.wait, timer{what: tXfer, key: id})
}

// xferPeerDead ends hand-overs with a host that died.
func (n *Node) xferPeerDead(h wire.HostID) {
	for id, x := range n.in {
		if x.peer.ID == h {
			delete(n.in, id)
			if n.state == Joining {
				n.joinLater(n.cfg.RetryInterval)
			}
		}
	}
	if x := n.out; x != nil && x.peer.ID == h {
		if x.phase == offered {
			n.endOut(false, "the other host died")
		} else {
			n.takeBack("the other host died")
		}
	}
}

func (n *Node) expireDone() {
	n.done = slices.DeleteFunc(n.done, func(d doneXfer) bool { return n.now-d.at > 8*n.cfg.HandoverTimeout })
}
