// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"slices"

	"sandstream/internal/overlay/wire"
)

const maxSwapDepth = 8

// mayStartSwap says whether an exchange of ids may bring a subscription within
// its latency: not when the direct link itself is too slow.
func (n *Node) mayStartSwap(u *sub) bool {
	c := &u.contract
	if c.NoSwap || c.LatencyUs == 0 || u.predictedUs <= c.LatencyUs || u.swaps >= n.cfg.MaxSwaps || u.swapping || n.state != Member || n.out != nil {
		return false
	}
	s := n.streams[u.stream]
	if s == nil || len(s.path) <= 2 {
		return false // the publisher is our parent: nothing is nearer
	}
	p := n.peers[s.info.Publisher.ID]
	return p == nil || p.samples == 0 || p.costUs < c.LatencyUs
}

// startSwap looks for a place nearer to the publisher (paper, Figure 5).
func (n *Node) startSwap(u *sub, s *stream) {
	u.swaps++
	u.swapping = true
	n.peer(s.info.Publisher)
	m := &wire.SwapFind{Stream: u.stream, Subscriber: n.self, BoundUs: u.contract.LatencyUs}
	r := &request{what: reqSwap, to: s.info.Publisher, msg: m, tries: 2, wait: 8 * n.cfg.RetryInterval, strm: u.stream, sub: u.id}
	if !n.request(r) {
		n.swapFailed(u.stream, "too many requests under way")
	}
}

// onSwapFind is one step of Figure 5: a neighbour within the bound, or else the
// cheapest; if it does not subscribe it changes places with the subscriber, else
// the search goes on from there.
func (n *Node) onSwapFind(from wire.Peer, m *wire.SwapFind) {
	no := func(why string) { n.send(m.Subscriber, &wire.SwapNo{Req: m.Req, Reason: why}) }
	if n.state != Member || m.Subscriber.ID == n.self.ID {
		return
	}
	s := n.streams[m.Stream]
	if m.Depth == 0 {
		if s == nil || !s.publisher || m.Subscriber.ID != from.ID {
			no("not the publisher")
			return
		}
	} else if n.free() && !n.subscribes(m.Stream) && (s == nil || !s.publisher) {
		if n.out == nil && len(n.in) == 0 {
			n.counts["swap-offered"]++
			n.offer(m.Subscriber, n.ownZones(), true, m.Stream)
			return
		}
		no("busy")
		return
	}
	if m.Depth >= maxSwapDepth {
		no(fmt.Sprintf("%d hosts asked", m.Depth))
		return
	}
	var best *peer
	var within bool
	for i := range n.table {
		p := n.peers[n.table[i].Owner.ID]
		if p == nil || p.ID == m.Subscriber.ID || p.ID == from.ID || s != nil && s.onPath(p.ID) {
			continue
		}
		in := uint64(m.SpentUs)+uint64(p.costUs) < uint64(m.BoundUs)
		switch {
		case best == nil, in && !within:
			best, within = p, in
		case in == within && in && p.costUs > best.costUs,
			// Within the bound the farthest: the near places stay for those who need them.
			in == within && !in && p.costUs < best.costUs:
			best = p
		}
	}
	if best == nil {
		no("no neighbour to change places with")
		return
	}
	next := *m
	next.Depth++
	next.SpentUs += best.costUs
	n.send(best.Peer, &next)
}

// free says whether no contract of ours would suffer from a change of place.
func (n *Node) free() bool {
	return !slices.ContainsFunc(n.subs, func(u *sub) bool {
		return u.contract.LatencyUs > 0 && (u.state == Admitted || u.state == AtRisk)
	})
}

func (n *Node) subscribes(id wire.StreamID) bool {
	return slices.ContainsFunc(n.subs, func(u *sub) bool { return u.stream == id && (u.wants() || u.state == Resolving) })
}

// maySwap says whether we asked for this exchange.
func (n *Node) maySwap(id wire.StreamID) bool {
	for _, r := range n.pending {
		if r.what == reqSwap && r.strm == id {
			return len(n.zones) > 0
		}
	}
	return false
}

// swapDone asks for new paths from the new place. Streams go on over the old
// ones until then: they run between hosts, not between ids.
func (n *Node) swapDone(x *xfer) {
	n.event("swapped", x.peer, x.stream.String())
	for id, r := range n.pending {
		if r.what == reqSwap && r.strm == x.stream {
			delete(n.pending, id)
		}
	}
	for _, u := range n.subs {
		if u.stream == x.stream && !u.swapping && !u.wants() {
			continue
		}
		if u.swapping && u.stream == x.stream {
			u.swapping = false
			if u.state == Violated {
				u.since = n.now
			}
		}
		if u.state == Resolving || u.wants() {
			// The publisher has to hear of the exchange first.
			n.after(2*n.cfg.RetryInterval, timer{what: tPath, key: uint64(u.id)})
		}
	}
}

func (n *Node) onSwapNo(m *wire.SwapNo) {
	if r := n.answered(m.Req, reqSwap); r != nil {
		n.swapFailed(r.strm, m.Reason)
	}
}

// swapFailed settles the subscriptions that waited for a better place.
func (n *Node) swapFailed(id wire.StreamID, why string) {
	s := n.streams[id]
	for _, u := range slices.Clone(n.subs) {
		if u.stream != id || !u.swapping {
			continue
		}
		u.swapping = false
		if u.state != Resolving {
			continue
		}
		if s == nil {
			n.soon(u)
			continue
		}
		reason := n.breach(u, s)
		switch {
		case reason == "" || u.met:
			n.setSub(u, Admitted, "")
		case u.contract.BestEffort:
			n.setSub(u, Violated, reason)
		default:
			n.setSub(u, Refused, reason+"; no better place: "+why)
		}
	}
}

// pathDue asks for a path from our new place.
func (n *Node) pathDue(id SubID) {
	u := n.subByID(id)
	if u == nil || u.state != Resolving && !u.wants() {
		return
	}
	if s := n.streams[u.stream]; s != nil && !s.broken {
		n.askPath(u, s.info.Publisher, nil)
	} else {
		n.subDue(u.id)
	}
}
