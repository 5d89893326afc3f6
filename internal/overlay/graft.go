// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"slices"

	"sandstream/internal/overlay/wire"
)

// onSubReq starts a path from this host of the tree.
func (n *Node) onSubReq(from wire.Peer, m *wire.SubReq) {
	if m.Subscriber.ID != from.ID {
		n.counts["sub-for-another"]++
		return
	}
	s := n.streams[m.Stream]
	if s == nil || s.broken || len(s.path) == 0 || s.onPath(from.ID) {
		n.send(from, &wire.NoStream{Stream: m.Stream, Req: m.Req})
		return
	}
	req := *m
	req.Subscriber = from
	n.graftOn(s, &req, 0, n.budget(s, &req))
}

// graftOn sends a graft one hop on.
func (n *Node) graftOn(s *stream, m *wire.SubReq, hops uint8, budgetUs uint32) {
	refuse := func(why string, again bool) {
		n.send(m.Subscriber, &wire.Refuse{Req: m.Req, Stream: m.Stream, Reason: why, Again: again})
	}
	if len(s.path) >= wire.MaxPath || hops >= wire.MaxPath {
		refuse(fmt.Sprintf("the path has %d hops and no end", len(s.path)), true)
		return
	}
	next := m.Subscriber
	if !m.Direct && !n.covers(m.Point) {
		avoid := func(h wire.HostID) bool { return slices.Contains(m.Exclude, h) || s.onPath(h) }
		p, detour := n.nextHop(m.Point, avoid)
		sideways := slices.Contains(m.Exclude, m.Subscriber.ID) // the link from here to it is bad
		if sideways {
			p, detour = n.sideways(avoid), false
			on := *m
			on.Exclude = slices.DeleteFunc(slices.Clone(m.Exclude), func(h wire.HostID) bool { return h == m.Subscriber.ID })
			m = &on
		}
		switch {
		case p != nil && !detour:
			next = p.Peer
		default:
			// No greedy way: the link between any two hosts is always there.
			n.counts["graft-direct"]++
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
	g := &wire.Graft{SubReq: *m, Info: s.info, Path: s.path, BudgetUs: wire.NoBudget, Degrade: degrade, Hops: hops + 1, LinkUs: n.costTo(next.ID)}
	if p := n.peers[next.ID]; p != nil {
		g.LinkPpm, g.Measured = p.lossPpm, p.samples > 0
	}
	if budgetUs != wire.NoBudget {
		g.BudgetUs = budgetUs - min(budgetUs, g.LinkUs)
	}
	n.send(next, g)
}

// cutShort takes the direct link to the subscriber where the hop that greedy
// routing picks would use up what is left of the latency asked for, and the
// direct link, if we know it, would not.
func (n *Node) cutShort(m *wire.SubReq, next wire.Peer, budgetUs uint32) wire.Peer {
	direct := n.peers[m.Subscriber.ID]
	if budgetUs == wire.NoBudget || direct == nil || direct.samples == 0 {
		return next
	}
	if n.costTo(next.ID) >= budgetUs && direct.costUs <= budgetUs {
		n.counts["graft-cut-short"]++
		return direct.Peer
	}
	return next
}

// budget is what a path to us leaves of the latency that a contract asks for.
func (n *Node) budget(s *stream, m *wire.SubReq) uint32 {
	if m.Contract.LatencyUs == 0 {
		return wire.NoBudget
	}
	us, _ := predict(s.path)
	return m.Contract.LatencyUs - min(m.Contract.LatencyUs, us)
}

// admit says whether this host can send the stream to next, and with which
// degrading SPA; else why not.
func (n *Node) admit(s *stream, next wire.Peer, c *wire.Contract) (spa, why string) {
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
		return n.cfg.CapacityBps == 0 || extra <= 0 || n.load()+extra <= float64(n.cfg.CapacityBps)
	}
	if s.degraded != "" && !c.BestEffort && !slices.Contains(c.Degrade, s.degraded) {
		return "", fmt.Sprintf("the path is thinned out by %s above %s, which the contract does not accept", s.degraded, n.self.ID)
	}
	if s.degraded != "" || fits("") {
		return "", ""
	}
	for _, spa := range c.Degrade {
		if fits(spa) {
			return spa, ""
		}
	}
	free := max(0, float64(n.cfg.CapacityBps)-n.load())
	return "", fmt.Sprintf("host %s has %.0f bit/s of its uplink left, the stream needs %d", n.self.ID, free, s.info.RateBps)
}

// predict adds up a path: latency in microseconds and loss per million.
func predict(path []wire.Hop) (us, ppm uint32) {
	keep := 1.0
	var sum uint64
	for _, h := range path {
		sum += uint64(h.CostUs) + uint64(h.StayUs)
		keep *= 1 - float64(min(h.LossPpm, 1_000_000))/1e6
	}
	return uint32(min(sum, wire.NoBudget-1)), uint32((1 - keep) * 1e6)
}

// onGraft joins a path that comes by, and sends it on.
func (n *Node) onGraft(from wire.Peer, m *wire.Graft) {
	s := n.streams[m.Stream]
	bad := len(m.Path) == 0 || len(m.Path) >= wire.MaxPath || m.Path[len(m.Path)-1].Host.ID != from.ID || m.Info.ID != m.Stream ||
		slices.ContainsFunc(m.Path, func(h wire.Hop) bool { return h.Host.ID == n.self.ID })
	// Who has lost its ids, and looks for new ones, gets its streams all the same.
	here := n.state == Member || n.state == Joining && m.Subscriber.ID == n.self.ID
	if bad || s != nil && s.publisher || !here {
		n.counts["graft-dropped"]++
		return
	}
	if m.Subscriber.ID == n.self.ID && !n.askedFor(&m.SubReq) {
		n.counts["graft-unasked"]++
		return
	}
	p := n.peer(from)
	hop := wire.Hop{Host: n.self, CostUs: p.costUs, LossPpm: p.lossPpm, SPA: m.Degrade}
	if p.samples == 0 && m.Measured {
		hop.CostUs, hop.LossPpm = m.LinkUs, m.LinkPpm
	}
	path := append(slices.Clone(m.Path), hop)
	if r := n.pending[m.Req]; m.Subscriber.ID == n.self.ID && r != nil && r.around {
		delete(n.pending, m.Req)
		if s != nil {
			n.onDetour(s, from, path, m.Degrade)
		}
		return
	}
	if s == nil {
		if len(n.streams) >= n.cfg.MaxForwarded {
			n.send(m.Subscriber, &wire.Refuse{Req: m.Req, Stream: m.Stream, Reason: fmt.Sprintf("host %s carries %d streams, and no more may be", n.self.ID, len(n.streams)), Again: true})
			return
		}
		s = n.addStream(m.Info)
	}
	cost, _ := predict(path)
	have, _ := predict(s.path)
	switch {
	case s.parent.ID == from.ID && !s.broken && s.degraded == m.Degrade:
		s.path = path
	case s.parent.ID.IsZero() || s.broken || s.parent.ID == from.ID,
		// One parent only. A clearly better path wins if we asked for it: what
		// others say of costs moves no stream of ours.
		m.Subscriber.ID == n.self.ID && n.pending[m.Req] != nil && uint64(cost)*10 < uint64(have)*9,
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
	if m.Subscriber.ID != n.self.ID {
		req := m.SubReq
		left := m.BudgetUs
		if s.parent.ID != from.ID {
			left = n.budget(s, &req) // the stream comes here another way
		}
		n.graftOn(s, &req, m.Hops, left)
		return
	}
	n.answered(m.Req, reqSub)
	n.pathKnown(s, true)
}

// askedFor says whether a path that ends here is one we asked for, be it late.
func (n *Node) askedFor(m *wire.SubReq) bool {
	if r := n.pending[m.Req]; r != nil {
		return r.what == reqSub && r.strm == m.Stream
	}
	if s := n.streams[m.Stream]; s != nil && s.req == m.Req && m.Req != 0 {
		return true
	}
	return slices.ContainsFunc(n.subs, func(u *sub) bool { return u.req == m.Req && u.stream == m.Stream && m.Req != 0 })
}

func (n *Node) onRefuse(_ wire.Peer, m *wire.Refuse) {
	r := n.answered(m.Req, reqSub)
	if r == nil {
		return
	}
	tree := n.streams[r.strm]
	have := tree != nil && !tree.broken && len(tree.path) > 0
	if u := n.subByID(r.sub); u != nil && u.state == Resolving && !u.met && !m.Again && !have {
		n.setSub(u, Refused, m.Reason)
		return
	}
	n.subReqFailed(r, m.Reason)
}

// pathKnown follows a path: a new one that we asked for, or one confirmed by a
// beat. Who still waits for an answer is not judged by the path there was.
func (n *Node) pathKnown(s *stream, asked bool) {
	for _, u := range slices.Clone(n.subs) {
		if u.stream == s.info.ID && (asked || u.state != Resolving) {
			n.evaluate(u, s)
		}
	}
}
