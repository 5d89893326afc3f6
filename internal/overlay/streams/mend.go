// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"sandstream/internal/overlay/wire"
)

// mending is the search for a new path.
type mending struct {
	broken bool // the parent is gone; a new path is sought
	tries  int
	avoid  []wire.HostID
	req    uint64
}

// lostParent starts to look for a new path.
func (n *Streams) lostParent(s *stream, why string) {
	if s.broken {
		return
	}
	n.Event("path-lost", s.parent, s.info.ID.String()+": "+why)
	n.dropDetour(s)
	s.broken, s.tries, s.since = true, 0, n.Now
	s.avoid = nil
	if !s.parent.ID.IsZero() {
		s.avoid = []wire.HostID{s.parent.ID}
		s.parent = wire.Peer{}
	}
	for _, u := range n.subs {
		if u.stream == s.info.ID && u.wants() {
			n.setSub(u, Interrupted, why)
		}
	}
	n.repair(s)
}

// repair asks the hosts of the old path for a new one, the nearest first: they
// are on the publisher's side of the break. After them, the directory.
func (n *Streams) repair(s *stream) {
	if n.Request(s.req) != nil {
		return
	}
	s.tries++
	up := len(s.path) - 2 - s.tries // the parent is at len-2: start above it
	if up < -2 {
		if s.tries > len(s.path)+8 {
			n.giveUp(s)
			return
		}
		up = -1
	}
	to := s.info.Publisher
	if up > 0 {
		to = s.path[up].Host
	}
	c := wire.Contract{BestEffort: true}
	for _, u := range n.subs {
		if u.stream == s.info.ID && u.wants() {
			c.Degrade = u.contract.Degrade
		}
	}
	// A way that came to nothing led over another dead host, which nobody on it has
	// noticed yet: the second try is for the link between the two, which is always there.
	m := &wire.SubReq{Stream: s.info.ID, Subscriber: n.Self, Point: n.place.Near(to.ID), Contract: c, Avoid: s.avoid, Direct: s.tries > 1}
	if r := n.requestPath(to, m, 1, n.Cfg.RepairTimeout, ask{}); r != nil {
		s.req = r.ID
	} else {
		s.tries-- // nobody was asked
	}
}

// giveUp lets a stream go that no host knows a path for: our subscriptions start
// over at the directory.
func (n *Streams) giveUp(s *stream) {
	n.Event("path-given-up", s.info.Publisher, s.info.ID.String())
	n.drop(s)
	for _, u := range n.subs {
		if u.stream == s.info.ID && (u.wants() || u.state == Resolving && u.exchange.underWay) {
			u.lost = u.met
			u.exchange.underWay = false // an exchange may come to its end, but decides nothing any more
			if u.state != Resolving {
				u.since = n.Now
			}
			n.wait(u, "the path broke and no host of it answers")
		}
	}
}

func (n *Streams) onNoStream(from wire.Peer, m *wire.NoStream) {
	s := n.streams[m.Stream]
	if s != nil && !s.publisher && from.ID == s.info.Publisher.ID {
		// The publisher must know: the beat that said so was lost.
		if r, q := n.pathRequest(m.Req); r != nil && q.Stream == m.Stream {
			n.Forget(m.Req)
		}
		n.endStream(s, endTold(m))
		return
	}
	if r, _ := n.pathRequest(m.Req); r != nil && r.To.ID == from.ID {
		n.Forget(m.Req)
		// A path is asked of the publisher when the tree is not known any more.
		// Who merely says in the directory to be the publisher cannot end it.
		if u := n.subOf(r); s == nil && u != nil && u.state == Resolving && u.from.ID == from.ID {
			n.endSub(u, endTold(m))
		} else {
			n.noPath(r, noSuchStream)
		}
		return
	}
	if s != nil && s.detour.next.ID == from.ID {
		n.dropDetour(s)
		return
	}
	if s != nil && s.parent.ID == from.ID {
		s.parent = wire.Peer{}
		n.lostParent(s, "the host above does not have the stream")
	}
}

// Died implements zones.Above.
func (n *Streams) Died(h wire.HostID) {
	for _, s := range n.sorted() {
		n.removeChild(s, h)
		if s.parent.ID == h {
			n.lostParent(s, "the host above died")
		}
	}
}

// Leave implements zones.Above: it tells children and parents that we go.
func (n *Streams) Leave() {
	for _, s := range n.sorted() {
		if s.publisher {
			n.unput(s)
			n.remember(s.info.ID, wire.EndLeft)
			n.endStream(s, wire.EndLeft)
			continue
		}
		for i := range s.children {
			n.sendAway(s, &s.children[i])
		}
		n.drop(s)
	}
	for _, u := range n.subs {
		n.Emit(SubChanged{Sub: n.subStatus(u), Ended: true})
	}
	n.subs = nil
}
