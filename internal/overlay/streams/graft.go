// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"fmt"
	"slices"

	"sandstream/internal/overlay/wire"
	"sandstream/internal/overlay/zones"
)

// onSubReq starts a path from this host of the tree.
func (n *Streams) onSubReq(from wire.Peer, m *wire.SubReq) {
	if m.Subscriber.ID != from.ID {
		n.Count("sub-for-another")
		return
	}
	s := n.streams[m.Stream]
	if s == nil || s.broken || len(s.path) == 0 || s.onPath(from.ID) {
		n.Send(from, &wire.NoStream{Stream: m.Stream, Req: m.Req, Why: n.remembered(m.Stream)})
		return
	}
	req := *m
	req.Subscriber = from
	n.graftOn(s, &req, 0, n.budget(s, &req))
}

// graftOn sends a graft one hop on.
func (n *Streams) graftOn(s *stream, m *wire.SubReq, hops uint8, budgetUs uint32) {
	refuse := func(why string, again bool) {
		n.Send(m.Subscriber, &wire.Refuse{Req: m.Req, Stream: m.Stream, Reason: why, Again: again})
	}
	if len(s.path) >= wire.MaxPath || hops >= wire.MaxPath {
		refuse(fmt.Sprintf("the path has %d hops and no end", len(s.path)), true)
		return
	}
	next := m.Subscriber
	if !m.Direct && !n.place.Covers(m.Point) {
		avoid := func(h wire.HostID) bool { return slices.Contains(m.Avoid, h) || s.onPath(h) }
		p, aside := n.place.NextHop(m.Point, avoid)
		sideways := slices.Contains(m.Avoid, m.Subscriber.ID) // the link from here to it is bad
		if sideways {
			p, aside = n.place.Sideways(avoid), false
			on := *m
			on.Avoid = slices.DeleteFunc(slices.Clone(m.Avoid), func(h wire.HostID) bool { return h == m.Subscriber.ID })
			m = &on
		}
		switch {
		case p != nil && !aside:
			next = p.Peer
		default:
			// No greedy way: the link between any two hosts is always there.
			n.Count("graft-direct")
		}
		if !sideways {
			next = n.cutShort(m, next, budgetUs)
		}
	}
	degrade, why := n.admit(s, next, &m.Contract)
	if why != "" {
		refuse(why, false)
		return
	}
	g := &wire.Graft{SubReq: *m, Info: s.info, BudgetUs: wire.NoBudget, Degrade: degrade, Hops: hops + 1}
	link, measured := n.links.QualityTo(next.ID)
	g.Carry(s.path, link, measured)
	if budgetUs != wire.NoBudget {
		g.BudgetUs = budgetUs - min(budgetUs, g.LinkUs)
	}
	n.Send(next, g)
}

// cutShort takes the direct link to the subscriber where the hop that greedy
// routing picks would use up what is left of the latency asked for, and the
// direct link, if we know it, would not.
func (n *Streams) cutShort(m *wire.SubReq, next wire.Peer, budgetUs uint32) wire.Peer {
	direct := n.links.Get(m.Subscriber.ID)
	if budgetUs == wire.NoBudget || direct == nil || !direct.Measured() {
		return next
	}
	if n.links.CostTo(next.ID) >= budgetUs && direct.Quality().CostUs <= budgetUs {
		n.Count("graft-cut-short")
		return direct.Peer
	}
	return next
}

// budget is what a path to us leaves of the latency that a contract asks for.
func (n *Streams) budget(s *stream, m *wire.SubReq) uint32 {
	if m.Contract.LatencyUs == 0 {
		return wire.NoBudget
	}
	return m.Contract.LatencyUs - min(m.Contract.LatencyUs, wire.QualityOf(s.path).CostUs)
}

// admit says whether this host can send the stream to next, and with which
// degrading SPA; else why not.
func (n *Streams) admit(s *stream, next wire.Peer, c *wire.Contract) (spa, why string) {
	fits := func(spa string) bool {
		if spa != "" && float64(s.info.RateBps)*n.share(s, spa) < float64(c.MinRateBps) {
			return false
		}
		extra := float64(s.info.RateBps) * n.share(s, spa)
		for _, ch := range s.children {
			if ch.ID == next.ID {
				extra -= float64(s.info.RateBps) * n.share(s, ch.spa)
			}
		}
		return n.Cfg.CapacityBps == 0 || extra <= 0 || n.load()+extra <= float64(n.Cfg.CapacityBps)
	}
	if s.degraded != "" && !c.BestEffort && !slices.Contains(c.Degrade, s.degraded) {
		return "", fmt.Sprintf("the path is thinned out by %s above %s, which the contract does not accept", s.degraded, n.Self.ID)
	}
	if s.degraded != "" || fits("") {
		return "", ""
	}
	for _, spa := range c.Degrade {
		if fits(spa) {
			return spa, ""
		}
	}
	free := max(0, float64(n.Cfg.CapacityBps)-n.load())
	return "", fmt.Sprintf("host %s has %.0f bit/s of its uplink left, the stream needs %d", n.Self.ID, free, s.info.RateBps)
}

// onGraft joins a path that comes by, and sends it on.
func (n *Streams) onGraft(from wire.Peer, m *wire.Graft) {
	s := n.streams[m.Stream]
	bad := len(m.Path) == 0 || len(m.Path) >= wire.MaxPath || m.Path[len(m.Path)-1].Host.ID != from.ID || m.Info.ID != m.Stream ||
		slices.ContainsFunc(m.Path, func(h wire.Hop) bool { return h.Host.ID == n.Self.ID })
	// Who has lost its ids, and looks for new ones, gets its streams all the same.
	here := n.member() || n.place.State() == zones.Joining && m.Subscriber.ID == n.Self.ID
	if bad || s != nil && s.publisher || !here {
		n.Count("graft-dropped")
		return
	}
	if m.Subscriber.ID == n.Self.ID && !n.askedFor(&m.SubReq) {
		n.Count("graft-unasked")
		return
	}
	p := n.links.Know(from)
	hop := wire.Hop{Host: n.Self, Quality: p.Quality(), SPA: m.Degrade}
	if !p.Measured() && m.Measured {
		hop.Quality = m.Link()
	}
	path := append(slices.Clone(m.Path), hop)
	asked, _ := n.pathRequest(m.Req)
	if m.Subscriber.ID == n.Self.ID && asked != nil && asked.Tag.(ask).around {
		n.Forget(m.Req)
		if s != nil {
			n.onDetour(s, from, path, m.Degrade)
		}
		return
	}
	if s == nil {
		if len(n.streams) >= n.Cfg.MaxForwarded {
			n.Send(m.Subscriber, &wire.Refuse{Req: m.Req, Stream: m.Stream, Reason: fmt.Sprintf("host %s carries %d streams, and no more may be", n.Self.ID, len(n.streams)), Again: true})
			return
		}
		s = n.addStream(m.Info)
	}
	cost, have := wire.QualityOf(path).CostUs, wire.QualityOf(s.path).CostUs
	switch {
	case s.parent.ID == from.ID && !s.broken && s.degraded == m.Degrade:
		s.path = path
	case s.parent.ID.IsZero() || s.broken || s.parent.ID == from.ID,
		// One parent only. A clearly better path wins if we asked for it: what
		// others say of costs moves no stream of ours.
		m.Subscriber.ID == n.Self.ID && asked != nil && uint64(cost)*10 < uint64(have)*9,
		s.degraded != "" && m.Degrade == "":
		repaired := s.broken
		s.path = path
		n.setParent(s, from, m.Degrade)
		n.forward(s)
		if repaired {
			for _, u := range n.subs {
				if u.stream == m.Stream && u.state == Interrupted {
					u.repairs++
				}
			}
		}
	}
	if m.Subscriber.ID != n.Self.ID {
		req := m.SubReq
		left := m.BudgetUs
		if s.parent.ID != from.ID {
			left = n.budget(s, &req) // the stream comes here another way
		}
		n.graftOn(s, &req, m.Hops, left)
		return
	}
	n.Forget(m.Req)
	n.pathKnown(s, true)
}

// pathKnown follows a path: a new one that we asked for, or one confirmed by a
// beat. Who still waits for an answer is not judged by the path there was.
func (n *Streams) pathKnown(s *stream, asked bool) {
	for _, u := range slices.Clone(n.subs) {
		if u.stream == s.info.ID && (asked || u.state != Resolving) {
			n.evaluate(u, s)
		}
	}
}
