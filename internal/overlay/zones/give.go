// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"slices"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// offer starts a hand-over of zones, each one of ours or the child of one.
func (n *Zones) offer(to wire.Peer, zones []wire.Zone, swap bool, stream wire.StreamID) {
	x := &move{id: n.Serial(), peer: to, swap: swap, stream: stream, started: n.Now, wait: n.Cfg.RetryInterval}
	for _, z := range zones {
		o := n.owned(z.Path)
		x.give = append(x.give, wire.Record{Zone: z, Counter: o.Counter + 1, Owner: to})
	}
	x.infos = n.Up.Of(zones)
	x.table = n.tableFor(zones, to)
	x.msg = &wire.Offer{Xfer: x.id, Give: x.give, Table: x.table, Infos: x.infos, Swap: swap, Stream: stream, Region: n.region.Region}
	n.moves.giving = x
	n.links.Know(to)
	n.Send(to, x.msg)
	n.After(x.wait, turn.Timer{Of: turn.Zones, What: timerMove, Key: x.id})
}

// tableFor lists the owners of the zones next to zones, ourselves included.
func (n *Zones) tableFor(zones []wire.Zone, to wire.Peer) []wire.Record {
	var t []wire.Record
	for _, rs := range [][]wire.Record{n.own, n.table} {
		for i := range rs {
			r := &rs[i]
			if r.Owner.ID != to.ID && slices.ContainsFunc(zones, func(z wire.Zone) bool { return z.Adjacent(r.Zone) || r.Zone.Contains(z) && r.Zone != z }) {
				t = append(t, *r)
			}
		}
	}
	return t[:min(len(t), wire.MaxRecords)]
}

// onAccept is the point of no return: we stop owning before the other starts.
func (n *Zones) onAccept(from wire.Peer, m *wire.Accept) {
	x := n.moves.giving
	if x == nil || x.id != m.Xfer || x.peer.ID != from.ID {
		n.Send(from, &wire.Cancel{Xfer: m.Xfer})
		return
	}
	if x.phase != offered {
		return // the commit is on its way
	}
	if !m.OK {
		n.endGiving(false, m.Reason)
		if n.state == Leaving {
			n.leave.refused[from.ID] = m.Leaving
		}
		return
	}
	for i := range x.give {
		if o := n.owned(x.give[i].Zone.Path); o == nil || o.Counter+1 != x.give[i].Counter {
			n.Send(from, &wire.Cancel{Xfer: x.id})
			n.endGiving(false, "our zones have changed")
			return
		}
	}
	if x.swap {
		// All our zones go, so that we keep none.
		fair, known := n.fair(from, m.Give, nil)
		if !fair || 8*n.volumeOf(m.Give) < n.volumeOf(x.give) {
			n.Send(from, &wire.Cancel{Xfer: x.id})
			n.endGiving(false, "it gives too little in return")
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
	x.phase, x.msg, x.started, x.wait = committed, &wire.Commit{Xfer: x.id}, n.Now, n.Cfg.RetryInterval
	n.Send(from, x.msg)
	n.After(x.wait, turn.Timer{Of: turn.Zones, What: timerMove, Key: x.id})
	if !x.swap {
		// The taker is our neighbour from now on, and the others' too.
		n.table = append(n.table, x.give...)
		n.changed(false)
		n.tellMoved(near, x.give, from)
	} else {
		x.near = near
		n.digest = wire.DigestOf(n.own)
	}
}

// cut takes the zone of r out of the one of ours that holds it.
func (n *Zones) cut(r wire.Record) {
	i := slices.IndexFunc(n.own, func(o wire.Record) bool { return o.Zone.Contains(r.Zone) })
	if i < 0 {
		return
	}
	n.loseBut(n.own[i].Zone, r.Zone)
}

// loseBut gives up the ids of z that lie in part, and keeps the rest of z.
func (n *Zones) loseBut(z, part wire.Zone) {
	o := n.lose(z)
	for z != part && z.Contains(part) {
		var next wire.Zone
		for v := range n.Cfg.Radix {
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
func (n *Zones) tellMoved(near, moved []wire.Record, taker wire.Peer) {
	m := &wire.Moved{Records: moved}
	told := map[wire.HostID]bool{taker.ID: true}
	for i := range near {
		o := near[i].Owner
		if !told[o.ID] && slices.ContainsFunc(moved, func(r wire.Record) bool { return r.Zone.Adjacent(near[i].Zone) }) {
			told[o.ID] = true
			n.Send(o, m)
		}
	}
}

func (n *Zones) onDone(from wire.Peer, m *wire.Done) {
	x := n.moves.giving
	if x == nil || x.id != m.Xfer || x.peer.ID != from.ID || x.phase != committed {
		return
	}
	if !m.OK {
		n.takeBack("the taker had given up")
		return
	}
	if x.swap {
		for i := range x.back {
			if !n.overlapsOwn(x.back[i].Zone) && x.back[i].Owner.ID == n.Self.ID && x.back[i].Zone.Valid(n.Cfg.Radix) && x.back[i].Counter <= maxCounter {
				n.gain(x.back[i])
			}
		}
		n.Up.Keep(x.backInfos)
		n.table = nil
		n.moves.giving = nil
		n.adopt(x.backTab, from)
		for i := range x.give {
			n.learn(x.give[i], true, from)
		}
		n.changed(true)
		n.tellMoved(x.near, x.give, from)
		n.Up.Exchanged(x.peer, x.stream)
		n.fillGaps()
		return
	}
	n.endGiving(true, "")
	n.homeless()
}

// takeBack makes committed zones ours again under a higher epoch: the taker
// died or lost them. Should it own them after all, the two will meet.
func (n *Zones) takeBack(why string) {
	x := n.moves.giving
	n.moves.giving = nil
	n.Event("handover-taken-back", x.peer, why)
	for i := range x.give {
		r := x.give[i]
		n.table = slices.DeleteFunc(n.table, func(e wire.Record) bool { return e.Zone.Overlaps(r.Zone) && e.Owner.ID == x.peer.ID })
		if n.overlapsOwn(r.Zone) || slices.ContainsFunc(n.table, func(e wire.Record) bool { return e.Zone.Overlaps(r.Zone) }) {
			continue
		}
		n.addGrave(r)
		n.gain(wire.Record{Zone: r.Zone, Counter: r.Counter + 1})
	}
	n.Up.Keep(x.infos)
	n.changed(true)
	n.afterGiving()
}

func (n *Zones) cancelGiving(why string) {
	if x := n.moves.giving; x != nil && x.phase == offered {
		n.Send(x.peer, &wire.Cancel{Xfer: x.id})
		n.endGiving(false, why)
	}
}

func (n *Zones) endGiving(ok bool, why string) {
	x := n.moves.giving
	n.moves.giving = nil
	if ok {
		n.askAgain()
	}
	if !ok && n.state == Leaving {
		if n.leave.refused == nil {
			n.leave.refused = map[wire.HostID]bool{}
		}
		if !n.leave.refused[x.peer.ID] {
			n.leave.refused[x.peer.ID] = false
		}
	}
	if x.swap && !ok {
		n.Up.NotExchanged(x.stream, why)
	}
	n.afterGiving()
}

func (n *Zones) afterGiving() {
	if n.state == Leaving {
		n.After(n.Cfg.RetryInterval/4, turn.Timer{Of: turn.Zones, What: timerMove})
	}
}
