// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"sandstream/internal/overlay/wire"
)

type reqKind uint8

const (
	reqJoin   reqKind = iota // a lookup for a place to join
	reqAsk                   // JoinAsk
	reqGap                   // a lookup for the owner of a gap
	reqClaim                 // a lookup before claiming without being an heir
	reqPut                   // storing a directory entry
	reqGet                   // reading one
	reqCount                 // estimating the number of hosts
	reqSub                   // SubReq
	reqSwap                  // SwapFind
	reqVerify                // a lookup whether a giver owns what it gives
	reqLook                  // who owns an id of ours, asked elsewhere
	reqHome                  // who keeps a directory entry that is to go
)

// request is a message that is sent again until it is answered or given up.
// Answers carry its number.
type request struct {
	id    uint64
	what  reqKind
	to    wire.Peer
	msg   wire.Message
	tries int       // sendings left, this one included
	wait  wire.Time // until the next; doubled each time

	zone wire.Zone // reqGap, reqClaim
	sub  SubID     // reqGet
	strm wire.StreamID

	around bool // reqSub: the path is to avoid a link, see detour
}

// request sends r.msg and remembers it. It reports whether there was room.
func (n *Node) request(r *request) bool {
	limit := maxPending
	if r.what == reqGet || r.what == reqSub && r.sub != 0 {
		limit /= 2 // many subscriptions at once leave room for what holds the overlay together
	}
	if len(n.pending) >= limit {
		n.counts["request-refused"]++
		return false
	}
	r.id = n.rng.Uint64() | 1 // not to be guessed: answers are told by it
	switch m := r.msg.(type) {
	case *wire.Lookup:
		m.Req, m.Radix = r.id, n.region.Radix
	case *wire.JoinAsk:
		m.Req, m.Radix = r.id, n.region.Radix
	case *wire.SubReq:
		m.Req = r.id
	case *wire.SwapFind:
		m.Req = r.id
	}
	n.pending[r.id] = r
	n.sendRequest(r)
	return true
}

func (n *Node) sendRequest(r *request) {
	r.tries--
	n.after(r.wait, timer{what: tRequest, key: r.id})
	r.wait *= 2
	if m, ok := r.msg.(*wire.Lookup); ok && r.to.ID.IsZero() && !r.to.Addr.IsValid() {
		again := *m // the node that routes it counts its hops
		n.route(n.self, &again)
		return
	}
	n.send(r.to, r.msg)
}

// answered takes a request out.
func (n *Node) answered(id uint64, what reqKind) *request {
	r := n.pending[id]
	if r == nil || r.what != what {
		return nil
	}
	delete(n.pending, id)
	return r
}

// retry sends again, or gives up.
func (n *Node) retry(id uint64) {
	r := n.pending[id]
	if r == nil {
		return
	}
	if r.tries > 0 {
		n.sendRequest(r)
		return
	}
	delete(n.pending, id)
	switch r.what {
	case reqJoin, reqAsk:
		n.joinFailed(r)
	case reqGap:
		n.gapFailed(r.zone)
	case reqClaim:
		n.claim(r.zone)
	case reqGet:
		n.getFailed(r)
	case reqSub:
		n.subReqFailed(r, "")
	case reqSwap:
		n.swapFailed(r.strm, "no answer")
	case reqPut, reqCount, reqVerify, reqLook, reqHome:
	}
}
