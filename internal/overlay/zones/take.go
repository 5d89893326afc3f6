// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"slices"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

func (n *Zones) onOffer(from wire.Peer, m *wire.Offer) {
	n.learnRegion(m.Region)
	if x := n.moves.taking[m.Xfer]; x != nil && x.peer.ID == from.ID {
		n.Send(from, x.msg)
		return
	}
	no := func(why string) {
		n.Send(from, &wire.Accept{Xfer: m.Xfer, Reason: why, Leaving: n.state == Leaving})
	}
	asked := false
	n.Pending(func(r *turn.Request) bool {
		if _, ok := r.Msg.(*wire.JoinAsk); ok && r.To.ID == from.ID {
			n.Forget(r.ID)
			asked = true
		}
		return true
	})
	switch {
	case n.state != Joining && n.state != Member:
		no("not a member")
		return
	case n.state == Joining && !asked && !m.Swap:
		no("did not ask") // the answer to a request that was given up
		n.joinLater(2 * n.Cfg.RetryInterval)
		return
	case len(n.moves.taking) > 0 || n.moves.giving != nil:
		no("busy")
		return
	case m.Swap && (len(n.own) == 0 || !n.Up.MayExchange(m.Stream)):
		no("keeps its ids")
		return
	}
	switch fair, known := n.fair(from, m.Give, n.own); {
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
	x := &move{
		id: m.Xfer, peer: from, phase: accepted, swap: m.Swap, stream: m.Stream, started: n.Now,
		give: m.Give, table: m.Table, infos: m.Infos, wait: n.Cfg.RetryInterval,
	}
	acc := &wire.Accept{Xfer: m.Xfer, OK: true}
	if m.Swap {
		for i := range n.own {
			z := &n.own[i]
			x.back = append(x.back, wire.Record{Zone: z.Zone, Counter: z.Counter + 1, Owner: from})
		}
		acc.Give, acc.Table, acc.Infos = x.back, n.tableFor(n.ownZones(), from), n.Up.Of(n.ownZones())
	}
	x.msg = acc
	n.moves.taking[x.id] = x
	n.links.Know(from)
	n.Send(from, acc)
	n.After(n.Cfg.HandoverTimeout, turn.Timer{Of: turn.Zones, What: timerMove, Key: x.id})
}

func (n *Zones) onCommit(from wire.Peer, m *wire.Commit) {
	if slices.ContainsFunc(n.moves.done, func(d doneMove) bool { return d.id == m.Xfer && d.giver == from.ID }) {
		n.Send(from, &wire.Done{Xfer: m.Xfer, OK: true})
		return
	}
	x := n.moves.taking[m.Xfer]
	if x == nil || x.peer.ID != from.ID {
		n.Send(from, &wire.Done{Xfer: m.Xfer})
		return
	}
	delete(n.moves.taking, m.Xfer)
	if len(n.moves.done) >= maxDone {
		n.moves.done = slices.Delete(n.moves.done, 0, 1)
	}
	n.moves.done = append(n.moves.done, doneMove{giver: from.ID, id: x.id, at: n.Now})
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
	n.Up.Keep(x.infos)
	n.Send(from, &wire.Done{Xfer: x.id, OK: true})
	n.adopt(x.table, x.peer)
	if x.swap {
		for i := range x.back {
			n.learn(x.back[i], true, from)
		}
		n.changed(true)
		n.tellMoved(near, x.back, from)
		n.Up.Exchanged(x.peer, x.stream)
	} else {
		n.changed(true)
	}
	n.joined()
	n.fillGaps()
}

// adopt takes a table that came with zones.
func (n *Zones) adopt(t []wire.Record, giver wire.Peer) {
	for i := range t {
		if t[i].Owner.ID == n.Self.ID {
			continue
		}
		if t[i].Owner.ID == giver.ID && n.overlapsOwn(t[i].Zone) {
			continue // the giver's zone before it was cut: it announces the rest
		}
		n.learn(t[i], true, giver)
	}
	n.gaps.dirty = true
}

func (n *Zones) overlapsOwn(z wire.Zone) bool {
	return slices.ContainsFunc(n.own, func(o wire.Record) bool { return o.Zone.Overlaps(z) })
}

func (n *Zones) onCancel(from wire.Peer, m *wire.Cancel) {
	if x := n.moves.taking[m.Xfer]; x != nil && x.peer.ID == from.ID {
		delete(n.moves.taking, m.Xfer)
		if n.state == Joining {
			n.joinLater(n.Cfg.RetryInterval)
		}
	}
}
