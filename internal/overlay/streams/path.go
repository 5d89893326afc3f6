// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"fmt"
	"slices"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// ask is what a path was asked for.
type ask struct {
	sub    SubID // zero: to repair the path of a stream that passes here
	around bool  // the path is to avoid a link, see detour
}

// requestPath asks a host of a tree for a path, and gives the request, nil if there was
// no room for it.
func (n *Streams) requestPath(to wire.Peer, m *wire.SubReq, tries int, wait Time, a ask) *turn.Request {
	r := &turn.Request{To: to, Msg: m, Tries: tries, Wait: wait, Yields: a.sub != 0, Tag: a}
	r.Failed = func() { n.noPath(r, "") }
	if m.Contract.JitterUs > 0 {
		n.toldIfOld(r)
	}
	if !n.Ask(r) {
		return nil
	}
	return r
}

// toldIfOld has a request with a bound on jitter fail with words where the host that is
// asked lives, and does not answer: of before that bound was there, a host refuses the
// message, and so does any such host on the way.
func (n *Streams) toldIfOld(r *turn.Request) {
	p, asked := n.links.Know(r.To), n.Now
	r.Failed = func() {
		why := ""
		if p.Heard() > asked {
			why = fmt.Sprintf("host %s lives, but does not answer a request with a bound on jitter: it, or a host on the way, may be too old for it", p.ID)
		}
		n.noPath(r, why)
	}
}

// pathRequest is the request for a path that is under way with a number, nil if there is
// none.
func (n *Streams) pathRequest(id uint64) (*turn.Request, *wire.SubReq) {
	if r := n.Request(id); r != nil {
		if m, ok := r.Msg.(*wire.SubReq); ok {
			return r, m
		}
	}
	return nil, nil
}

// subOf is the subscription that asked for a path, nil if it was another's need or it is
// gone.
func (n *Streams) subOf(r *turn.Request) *sub { return n.subByID(r.Tag.(ask).sub) }

// askPath asks a host of the tree for a path to us.
func (n *Streams) askPath(u *sub, to wire.Peer, avoid []wire.HostID) {
	m := &wire.SubReq{Stream: u.stream, Subscriber: n.Self, Point: n.place.Near(to.ID), Contract: u.contract, Avoid: avoid}
	tries := 3
	if len(u.entries) > 0 {
		tries-- // others wait for their turn
	}
	if r := n.requestPath(to, m, tries, 2*n.Cfg.RepairTimeout, ask{sub: u.id}); r != nil {
		u.req = r.ID
	} else {
		n.soon(u)
	}
}

// noPath follows a request for a path that came to nothing; why says more, if known.
func (n *Streams) noPath(r *turn.Request, why string) {
	if u := n.subOf(r); u != nil && u.state == Resolving {
		if s := n.streams[u.stream]; s != nil && !s.broken && len(s.path) > 0 {
			n.evaluate(u, s) // there is no other path than the one we have
		}
		if u.state == Resolving && !u.exchange.underWay {
			u.hope = u.hope || why != noSuchStream
			n.nextEntry(u, why)
		}
		return
	}
	if s := n.streams[r.Msg.(*wire.SubReq).Stream]; s != nil && s.broken {
		if len(s.avoid) < wire.MaxAvoid && r.To.ID != s.info.Publisher.ID {
			s.avoid = append(s.avoid, r.To.ID)
		}
		n.repair(s)
	}
}

// askedFor says whether a path that ends here is one we asked for, be it late.
func (n *Streams) askedFor(m *wire.SubReq) bool {
	if r := n.Request(m.Req); r != nil {
		q, ok := r.Msg.(*wire.SubReq)
		return ok && q.Stream == m.Stream
	}
	if s := n.streams[m.Stream]; s != nil && s.req == m.Req && m.Req != 0 {
		return true
	}
	return slices.ContainsFunc(n.subs, func(u *sub) bool { return u.req == m.Req && u.stream == m.Stream && m.Req != 0 })
}

func (n *Streams) onRefuse(_ wire.Peer, m *wire.Refuse) {
	r := turn.Answered[*wire.SubReq](n.Turn, m.Req)
	if r == nil {
		return
	}
	tree := n.streams[r.Msg.(*wire.SubReq).Stream]
	have := tree != nil && !tree.broken && len(tree.path) > 0
	if u := n.subOf(r); u != nil && u.state == Resolving && !u.met && !m.Again && !have {
		n.setSub(u, Refused, m.Reason)
		return
	}
	n.noPath(r, m.Reason)
}
