// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"fmt"
	"slices"

	"sandstream/internal/overlay/links"
	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

const maxSwapDepth = 8

// mayExchange says whether an exchange of ids may bring a subscription within
// its latency: not when the direct link itself is too slow.
func (n *Streams) mayExchange(u *sub) bool {
	c := &u.contract
	if c.NoSwap || c.LatencyUs == 0 || u.predicted.CostUs <= c.LatencyUs || u.exchange.tries >= n.Cfg.MaxSwaps || u.exchange.underWay || !n.member() || n.place.Giving() {
		return false
	}
	s := n.streams[u.stream]
	if s == nil || len(s.path) <= 2 {
		return false // the publisher is our parent: nothing is nearer
	}
	p := n.links.Get(s.info.Publisher.ID)
	return p == nil || !p.Measured() || p.Quality().CostUs < c.LatencyUs
}

// exchange is a subscription's wish for a better place.
type exchange struct {
	tries    int
	underWay bool
}

// seekExchange looks for a place nearer to the publisher (paper, Figure 5).
func (n *Streams) seekExchange(u *sub, s *stream) {
	u.exchange.tries++
	u.exchange.underWay = true
	n.links.Know(s.info.Publisher)
	m := &wire.SwapFind{Stream: u.stream, Subscriber: n.Self, BoundUs: u.contract.LatencyUs}
	id := u.stream
	r := &turn.Request{To: s.info.Publisher, Msg: m, Tries: 2, Wait: 8 * n.Cfg.RetryInterval, Failed: func() { n.NotExchanged(id, "no answer") }}
	if !n.Ask(r) {
		n.NotExchanged(id, "too many requests under way")
	}
}

// onSwapFind is one step of Figure 5: a neighbour within the bound, or else the
// cheapest; if it does not subscribe it changes places with the subscriber, else
// the search goes on from there.
func (n *Streams) onSwapFind(from wire.Peer, m *wire.SwapFind) {
	no := func(why string) { n.Send(m.Subscriber, &wire.SwapNo{Req: m.Req, Reason: why}) }
	if !n.member() || m.Subscriber.ID == n.Self.ID {
		return
	}
	s := n.streams[m.Stream]
	if m.Depth == 0 {
		if s == nil || !s.publisher || m.Subscriber.ID != from.ID {
			no("not the publisher")
			return
		}
	} else if n.free() && !n.subscribes(m.Stream) && (s == nil || !s.publisher) {
		if !n.place.Moving() {
			n.Count("swap-offered")
			n.place.Exchange(m.Subscriber, m.Stream)
			return
		}
		no("busy")
		return
	}
	if m.Depth >= maxSwapDepth {
		no(fmt.Sprintf("%d hosts asked", m.Depth))
		return
	}
	var best *links.Peer
	var within bool
	for p := range n.place.Neighbours() {
		if p.ID == m.Subscriber.ID || p.ID == from.ID || s != nil && s.onPath(p.ID) {
			continue
		}
		in := uint64(m.SpentUs)+uint64(p.Quality().CostUs) < uint64(m.BoundUs)
		switch {
		case best == nil, in && !within:
			best, within = p, in
		case in == within && in && p.Quality().CostUs > best.Quality().CostUs,
			// Within the bound the farthest: the near places stay for those who need them.
			in == within && !in && p.Quality().CostUs < best.Quality().CostUs:
			best = p
		}
	}
	if best == nil {
		no("no neighbour to change places with")
		return
	}
	next := *m
	next.Depth++
	next.SpentUs += best.Quality().CostUs
	n.Send(best.Peer, &next)
}

// free says whether no contract of ours would suffer from a change of place.
func (n *Streams) free() bool {
	return !slices.ContainsFunc(n.subs, func(u *sub) bool {
		return u.contract.LatencyUs > 0 && (u.state == Admitted || u.state == AtRisk)
	})
}

func (n *Streams) subscribes(id wire.StreamID) bool {
	return slices.ContainsFunc(n.subs, func(u *sub) bool { return u.stream == id && (u.wants() || u.state == Resolving) })
}

// MayExchange implements zones.Above: it says whether we have asked for an exchange for a
// stream.
func (n *Streams) MayExchange(id wire.StreamID) bool {
	return turn.Asking(n.Turn, func(_ *turn.Request, m *wire.SwapFind) bool { return m.Stream == id })
}

// Exchanged implements zones.Above: it asks for new paths from the new place. Streams go
// on over the old ones until then: they run between hosts, not between ids.
func (n *Streams) Exchanged(with wire.Peer, id wire.StreamID) {
	n.Event("swapped", with, id.String())
	n.Pending(func(r *turn.Request) bool {
		if m, ok := r.Msg.(*wire.SwapFind); ok && m.Stream == id {
			n.Forget(r.ID)
		}
		return true
	})
	for _, u := range n.subs {
		if u.stream == id && !u.exchange.underWay && !u.wants() {
			continue
		}
		if u.exchange.underWay && u.stream == id {
			u.exchange.underWay = false
			if u.state == Violated {
				u.since = n.Now
			}
		}
		if u.state == Resolving || u.wants() {
			// The publisher has to hear of the exchange first.
			n.After(2*n.Cfg.RetryInterval, turn.Timer{Of: turn.Streams, What: timerPath, Key: uint64(u.id)})
		}
	}
}

func (n *Streams) onSwapNo(m *wire.SwapNo) {
	if r := turn.Answered[*wire.SwapFind](n.Turn, m.Req); r != nil {
		n.NotExchanged(r.Msg.(*wire.SwapFind).Stream, m.Reason)
	}
}

// NotExchanged implements zones.Above: it settles the subscriptions that waited for a better place.
func (n *Streams) NotExchanged(id wire.StreamID, why string) {
	s := n.streams[id]
	for _, u := range slices.Clone(n.subs) {
		if u.stream != id || !u.exchange.underWay {
			continue
		}
		u.exchange.underWay = false
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
func (n *Streams) pathDue(id SubID) {
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
