// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"fmt"
	"slices"
	"time"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// entry marks the requests of a host that wants to join: a host of an overlay that it
// cannot be part of refuses them for good.
type entry struct{}

const (
	joinProbes     = 3
	maxKnown       = 12
	lookAroundTime = 30 * time.Second
)

// joining is how a host gets ids, and whom it has met for the day when it needs new
// ones.
type joining struct {
	seeds   []wire.Peer
	known   []wire.Peer // hosts met, for the day when all neighbours are gone
	askedAt Time        // when one of them was last asked
	search
}

// search is a host looking for ids.
type search struct {
	wait  int // lookups in flight
	best  *wire.Found
	asked map[wire.HostID]bool
	tries int
	sleep bool // a joinStep timer is set
}

// Join enters the overlay over any of its hosts. It goes on until it succeeds;
// a Joined effect tells.
func (n *Zones) Join(seeds []wire.Peer) {
	if n.state != Idle || len(seeds) == 0 {
		return
	}
	n.join.seeds = slices.Clone(seeds)
	for _, p := range seeds {
		n.meet(p)
	}
	n.start()
	n.joinStep()
}

// rejoin looks for new ids: ours went to hosts with a higher epoch.
func (n *Zones) rejoin(via []wire.Peer) {
	if n.state != Member {
		return
	}
	n.Event("rejoin", wire.Peer{}, "")
	for _, p := range n.links.Hosts() {
		via = append(via, p.Peer)
	}
	n.state = Joining
	n.join.seeds = append(via[:min(len(via), 8)], n.join.seeds[:min(len(n.join.seeds), 8)]...)
	n.join.search = search{}
	n.joinLater(n.Cfg.RetryInterval)
}

// joinStuck looks whether anything is under way to find us ids.
func (n *Zones) joinStuck() {
	if n.state != Joining || n.join.sleep || n.join.wait > 0 || len(n.moves.taking) > 0 {
		return
	}
	if turn.Asking(n.Turn, func(*turn.Request, *wire.JoinAsk) bool { return true }) {
		return
	}
	n.joinLater(n.Cfg.RetryInterval)
}

// homeless joins anew when all our zones have gone to others.
func (n *Zones) homeless() {
	if n.state == Member && len(n.own) == 0 && n.moves.giving == nil {
		n.rejoin(append(owners(n.table), n.join.known...))
	}
}

// meet remembers a host, in place of a random one when there is no room.
func (n *Zones) meet(p wire.Peer) {
	if p.ID.IsZero() || p.ID == n.Self.ID {
		return
	}
	for i := range n.join.known {
		if n.join.known[i].ID == p.ID {
			n.join.known[i] = p
			return
		}
	}
	if len(n.join.known) < maxKnown {
		n.join.known = append(n.join.known, p)
	} else {
		n.join.known[n.Intn(len(n.join.known))] = p
	}
}

// lookAround asks a host met earlier who owns an id of ours. If it is not we,
// there are two overlays, and no neighbour left that knows of both.
func (n *Zones) lookAround() {
	every := lookAroundTime
	if n.links.Len() < 3 {
		every /= 6
	}
	if len(n.join.known) == 0 || len(n.own) == 0 || n.Now < n.join.askedAt+every {
		return
	}
	n.join.askedAt = n.Now
	p := n.join.known[n.Intn(len(n.join.known))]
	m := &wire.Lookup{Kind: wire.Find, Target: n.own[n.Intn(len(n.own))].Zone.Path, Origin: n.Self}
	n.Ask(&turn.Request{To: p, Msg: m, Tries: 1, Wait: n.Cfg.RetryInterval, Then: func(from wire.Peer, m wire.Message) {
		if r := m.(*wire.Found).Record; r.Owner.ID != n.Self.ID {
			n.learn(r, false, from)
		}
	}})
}

func (n *Zones) joinLater(d Time) {
	if !n.join.sleep {
		n.join.sleep = true
		n.After(n.Jitter(d), turn.Timer{Of: turn.Zones, What: timerJoin})
	}
}

// joinStep looks up random ids over a random seed: of the owners, the one with
// the most ids is asked for some.
func (n *Zones) joinStep() {
	n.join.sleep = false
	if n.state != Joining || len(n.moves.taking) > 0 || n.join.wait > 0 {
		return
	}
	if n.join.asked == nil {
		n.join.asked = map[wire.HostID]bool{}
	}
	if len(n.join.seeds) == 0 {
		n.joinLater(4 * n.Cfg.RetryInterval) // somebody may call on us
		return
	}
	n.join.best = nil
	n.join.tries++
	if n.join.tries%8 == 0 {
		clear(n.join.asked)
	}
	for range joinProbes {
		seed := n.join.seeds[n.Intn(len(n.join.seeds))]
		m := &wire.Lookup{Kind: wire.Find, Target: n.Point(), Origin: n.Self}
		r := &turn.Request{To: seed, Msg: m, Tries: 2, Wait: 2 * n.Cfg.RetryInterval, Tag: entry{}}
		r.Then = func(from wire.Peer, m wire.Message) { n.joinFound(from, m.(*wire.Found)) }
		r.Failed = func() {
			if n.state == Joining {
				n.joinProbed()
			}
		}
		if n.Ask(r) {
			n.join.wait++
		}
	}
	if n.join.wait == 0 {
		n.joinLater(4 * n.Cfg.RetryInterval)
	}
}

func (n *Zones) joinFound(from wire.Peer, f *wire.Found) {
	if n.state != Joining {
		return
	}
	n.meet(from)
	if !slices.ContainsFunc(n.join.seeds, func(p wire.Peer) bool { return p.ID == from.ID }) && len(n.join.seeds) < 16 {
		n.join.seeds = append(n.join.seeds, from)
	}
	if f.Record.Owner.ID == from.ID && (n.join.best == nil || f.Volume > n.join.best.Volume) {
		n.join.best = f
	}
	n.joinProbed()
}

// joinProbed asks the best owner when the last lookup has ended.
func (n *Zones) joinProbed() {
	n.join.wait--
	if n.join.wait > 0 {
		return
	}
	n.join.wait = 0
	b := n.join.best
	if b == nil {
		n.joinLater(4 * n.Cfg.RetryInterval)
		return
	}
	to := b.Record.Owner
	// The largest zone it knows of may be larger than its own: ids even out.
	if l := b.Largest; l.Zone.Len < b.Record.Zone.Len && !l.Owner.ID.IsZero() && !n.join.asked[l.Owner.ID] {
		to = l.Owner
	}
	n.ask(to)
}

func (n *Zones) ask(to wire.Peer) {
	if to.ID == n.Self.ID {
		n.joinLater(4 * n.Cfg.RetryInterval)
		return
	}
	n.join.asked[to.ID] = true
	r := &turn.Request{To: to, Msg: &wire.JoinAsk{}, Tries: 3, Wait: 2 * n.Cfg.RetryInterval, Tag: entry{}}
	r.Failed = func() {
		if n.state == Joining {
			n.joinLater(2 * n.Cfg.RetryInterval)
		}
	}
	if !n.Ask(r) {
		n.joinLater(4 * n.Cfg.RetryInterval)
	}
}

func (n *Zones) onJoinNo(from wire.Peer, m *wire.JoinNo) {
	if r := n.Request(m.Req); m.Radix != 0 && r != nil && r.Tag == (entry{}) && r.To.ID == from.ID {
		n.Forget(m.Req)
		n.shutOut(from, r, m.Radix)
		return
	}
	if turn.Answered[*wire.JoinAsk](n.Turn, m.Req) == nil || n.state != Joining {
		return
	}
	if !m.Try.ID.IsZero() && !n.join.asked[m.Try.ID] {
		n.ask(m.Try)
		return
	}
	n.joinLater(2 * n.Cfg.RetryInterval)
}

// shutOut follows the word of a host that its overlay's ids have another radix.
// Where a host of our radix has answered before, it is not believed.
func (n *Zones) shutOut(from wire.Peer, r *turn.Request, radix uint8) {
	if n.state != Joining || n.region.Version > 0 || radix == n.region.Radix {
		r.Failed()
		return
	}
	n.Event(EventShutOut, from, fmt.Sprintf("this overlay has radix %d, this host was started with --radix %d", radix, n.region.Radix))
	n.state = Gone
	n.Stop()
}

// otherRadix takes nothing from a host whose ids have another radix, not even
// that it lives, and turns it away if it wants to join. (Its ids would be owned
// twice or not at all, and lookups be lost on them.)
func (n *Zones) otherRadix(from wire.Peer, m wire.Message) {
	n.Count("other-radix")
	no := &wire.JoinNo{Reason: "another radix", Radix: n.region.Radix}
	switch m := m.(type) {
	case *wire.JoinAsk:
		no.Req = m.Req
	case *wire.Lookup:
		no.Req = m.Req
		if m.Origin.ID != from.ID {
			return
		}
	default:
		return
	}
	if n.state == Member || n.state == Leaving {
		n.Send(from, no)
	}
}

// onJoinAsk gives some of our ids away.
func (n *Zones) onJoinAsk(from wire.Peer, m *wire.JoinAsk) {
	no := func(reason string, try wire.Peer) { n.Send(from, &wire.JoinNo{Req: m.Req, Reason: reason, Try: try}) }
	switch {
	case n.moves.giving != nil && n.moves.giving.peer.ID == from.ID:
		return // the offer is on its way, and will be sent again
	case n.state != Member || n.moves.giving != nil || len(n.own) == 0:
		no("busy", n.other(from))
		return
	}
	z, ok := n.gift()
	if !ok {
		n.Count("join-full")
		lk := &wire.Lookup{Kind: wire.GrowAsk, Target: 0, Origin: n.Self}
		n.Ask(&turn.Request{Msg: lk, Tries: 2, Wait: 2 * n.Cfg.RetryInterval})
		no("no id to spare until the region grows", n.other(from))
		return
	}
	n.offer(from, []wire.Zone{z}, false, wire.StreamID{})
}

// other is a neighbour to try instead, the one with the largest zone.
func (n *Zones) other(but wire.Peer) wire.Peer {
	var best *wire.Record
	for i := range n.table {
		if r := &n.table[i]; r.Owner.ID != but.ID && (best == nil || r.Zone.Len < best.Zone.Len) {
			best = r
		}
	}
	if best == nil {
		return wire.Peer{}
	}
	return best.Owner
}

// gift picks what to give to a joining host: a whole zone if no zone is more
// than two thirds of all we own, else a child of the largest.
func (n *Zones) gift() (wire.Zone, bool) {
	best := 0
	for i := range n.own {
		if n.own[i].Zone.Len < n.own[best].Zone.Len {
			best = i
		}
	}
	z := n.own[best].Zone
	if len(n.own) > 1 && 3*z.Volume(n.Cfg.Radix) <= 2*n.volume() {
		return z, true
	}
	if z.Len >= min(n.region.N, wire.MaxDigits) {
		if len(n.own) > 1 {
			return z, true
		}
		return wire.Zone{}, false
	}
	return z.Child(n.Cfg.Radix - 1), true
}
