// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"sandstream/internal/overlay/wire"
)

const (
	joinProbes     = 3
	maxKnown       = 12
	lookAroundTime = 30 * time.Second
)

// joinState is a host looking for ids.
type joinState struct {
	wait  int // lookups in flight
	best  *wire.Found
	asked map[wire.HostID]bool
	tries int
	sleep bool // a joinStep timer is set
}

// Join enters the overlay over any of its hosts. It goes on until it succeeds;
// a Joined effect tells.
func (n *Node) Join(now wire.Time, seeds []wire.Peer) {
	n.advance(now)
	if n.state != Idle || len(seeds) == 0 {
		return
	}
	n.seeds = slices.Clone(seeds)
	for _, p := range seeds {
		n.meet(p)
	}
	n.start()
	n.joinStep()
}

// rejoin looks for new ids: ours went to hosts with a higher epoch.
func (n *Node) rejoin(via []wire.Peer) {
	if n.state != Member {
		return
	}
	n.event("rejoin", wire.Peer{}, "")
	for _, h := range sortedHosts(n.peers) {
		via = append(via, n.peers[h].Peer)
	}
	n.state = Joining
	n.seeds = append(via[:min(len(via), 8)], n.seeds[:min(len(n.seeds), 8)]...)
	n.join = joinState{}
	n.joinLater(n.cfg.RetryInterval)
}

// joinStuck looks whether anything is under way to find us ids.
func (n *Node) joinStuck() {
	if n.state != Joining || n.join.sleep || n.join.wait > 0 || len(n.in) > 0 {
		return
	}
	for _, r := range n.pending {
		if r.what == reqAsk {
			return
		}
	}
	n.joinLater(n.cfg.RetryInterval)
}

// homeless joins anew when all our zones have gone to others.
func (n *Node) homeless() {
	if n.state == Member && len(n.zones) == 0 && n.out == nil {
		n.rejoin(append(owners(n.table), n.known...))
	}
}

// meet remembers a host, in place of a random one when there is no room.
func (n *Node) meet(p wire.Peer) {
	if p.ID.IsZero() || p.ID == n.self.ID {
		return
	}
	for i := range n.known {
		if n.known[i].ID == p.ID {
			n.known[i] = p
			return
		}
	}
	if len(n.known) < maxKnown {
		n.known = append(n.known, p)
	} else {
		n.known[n.rand(len(n.known))] = p
	}
}

// lookAround asks a host met earlier who owns an id of ours. If it is not we,
// there are two overlays, and no neighbour left that knows of both.
func (n *Node) lookAround() {
	every := lookAroundTime
	if len(n.peers) < 3 {
		every /= 6
	}
	if len(n.known) == 0 || len(n.zones) == 0 || n.now < n.knownAt+every {
		return
	}
	n.knownAt = n.now
	p := n.known[n.rand(len(n.known))]
	m := &wire.Lookup{Kind: wire.Find, Target: n.zones[n.rand(len(n.zones))].Zone.Path, Origin: n.self}
	n.request(&request{what: reqLook, to: p, msg: m, tries: 1, wait: n.cfg.RetryInterval})
}

func (n *Node) joinLater(d wire.Time) {
	if !n.join.sleep {
		n.join.sleep = true
		n.after(n.jitter(d), timer{what: tJoin})
	}
}

// joinStep looks up random ids over a random seed: of the owners, the one with
// the most ids is asked for some.
func (n *Node) joinStep() {
	n.join.sleep = false
	if n.state != Joining || len(n.in) > 0 || n.join.wait > 0 {
		return
	}
	if n.join.asked == nil {
		n.join.asked = map[wire.HostID]bool{}
	}
	if len(n.seeds) == 0 {
		n.joinLater(4 * n.cfg.RetryInterval) // somebody may call on us
		return
	}
	n.join.best = nil
	n.join.tries++
	if n.join.tries%8 == 0 {
		clear(n.join.asked)
	}
	for range joinProbes {
		seed := n.seeds[n.rand(len(n.seeds))]
		m := &wire.Lookup{Kind: wire.Find, Target: wire.PointOf(n.rng.Uint64(), n.cfg.Radix), Origin: n.self}
		if n.request(&request{what: reqJoin, to: seed, msg: m, tries: 2, wait: 2 * n.cfg.RetryInterval}) {
			n.join.wait++
		}
	}
	if n.join.wait == 0 {
		n.joinLater(4 * n.cfg.RetryInterval)
	}
}

func (n *Node) joinFound(from wire.Peer, f *wire.Found) {
	if n.state != Joining {
		return
	}
	n.meet(from)
	if !slices.ContainsFunc(n.seeds, func(p wire.Peer) bool { return p.ID == from.ID }) && len(n.seeds) < 16 {
		n.seeds = append(n.seeds, from)
	}
	if f.Record.Owner.ID == from.ID && (n.join.best == nil || f.Volume > n.join.best.Volume) {
		n.join.best = f
	}
	n.joinProbed()
}

// joinProbed asks the best owner when the last lookup has ended.
func (n *Node) joinProbed() {
	n.join.wait--
	if n.join.wait > 0 {
		return
	}
	n.join.wait = 0
	b := n.join.best
	if b == nil {
		n.joinLater(4 * n.cfg.RetryInterval)
		return
	}
	to := b.Record.Owner
	// The largest zone it knows of may be larger than its own: ids even out.
	if l := b.Largest; l.Zone.Len < b.Record.Zone.Len && !l.Owner.ID.IsZero() && !n.join.asked[l.Owner.ID] {
		to = l.Owner
	}
	n.ask(to)
}

func (n *Node) ask(to wire.Peer) {
	if to.ID == n.self.ID {
		n.joinLater(4 * n.cfg.RetryInterval)
		return
	}
	n.join.asked[to.ID] = true
	if !n.request(&request{what: reqAsk, to: to, msg: &wire.JoinAsk{}, tries: 3, wait: 2 * n.cfg.RetryInterval}) {
		n.joinLater(4 * n.cfg.RetryInterval)
	}
}

func (n *Node) joinFailed(r *request) {
	if n.state != Joining {
		return
	}
	if r.what == reqJoin {
		n.joinProbed()
		return
	}
	n.joinLater(2 * n.cfg.RetryInterval)
}

func (n *Node) onJoinNo(from wire.Peer, m *wire.JoinNo) {
	if r := n.pending[m.Req]; m.Radix != 0 && r != nil && (r.what == reqJoin || r.what == reqAsk) && r.to.ID == from.ID {
		delete(n.pending, m.Req)
		n.shutOut(from, r, m.Radix)
		return
	}
	r := n.answered(m.Req, reqAsk)
	if r == nil || n.state != Joining {
		return
	}
	if !m.Try.ID.IsZero() && !n.join.asked[m.Try.ID] {
		n.ask(m.Try)
		return
	}
	n.joinLater(2 * n.cfg.RetryInterval)
}

// EventShutOut is the Kind of the Event that says that this host can never be a
// member, and why. The Node is Gone then.
const EventShutOut = "join-refused"

// shutOut follows the word of a host that its overlay's ids have another radix.
// Where a host of our radix has answered before, it is not believed.
func (n *Node) shutOut(from wire.Peer, r *request, radix uint8) {
	if n.state != Joining || n.region.Version > 0 || radix == n.region.Radix {
		n.joinFailed(r)
		return
	}
	n.event(EventShutOut, from, fmt.Sprintf("this overlay has radix %d, this host was started with --radix %d", radix, n.region.Radix))
	n.state, n.timers = Gone, nil
}

// otherRadix takes nothing from a host whose ids have another radix, not even
// that it lives, and turns it away if it wants to join. (Its ids would be owned
// twice or not at all, and lookups be lost on them.)
func (n *Node) otherRadix(from wire.Peer, m wire.Message) {
	n.counts["other-radix"]++
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
		n.send(from, no)
	}
}

// onJoinAsk gives some of our ids away.
func (n *Node) onJoinAsk(from wire.Peer, m *wire.JoinAsk) {
	no := func(reason string, try wire.Peer) { n.send(from, &wire.JoinNo{Req: m.Req, Reason: reason, Try: try}) }
	switch {
	case n.out != nil && n.out.peer.ID == from.ID:
		return // the offer is on its way, and will be sent again
	case n.state != Member || n.out != nil || len(n.zones) == 0:
		no("busy", n.other(from))
		return
	}
	z, ok := n.gift()
	if !ok {
		n.counts["join-full"]++
		lk := &wire.Lookup{Kind: wire.GrowAsk, Target: 0, Origin: n.self}
		n.request(&request{what: reqPut, msg: lk, tries: 2, wait: 2 * n.cfg.RetryInterval})
		no("no id to spare until the region grows", n.other(from))
		return
	}
	n.offer(from, []wire.Zone{z}, false, wire.StreamID{})
}

// other is a neighbour to try instead, the one with the largest zone.
func (n *Node) other(but wire.Peer) wire.Peer {
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
func (n *Node) gift() (wire.Zone, bool) {
	best := 0
	for i := range n.zones {
		if n.zones[i].Zone.Len < n.zones[best].Zone.Len {
			best = i
		}
	}
	z := n.zones[best].Zone
	if len(n.zones) > 1 && 3*z.Volume(n.cfg.Radix) <= 2*n.volume() {
		return z, true
	}
	if z.Len >= min(n.region.N, wire.MaxDigits) {
		if len(n.zones) > 1 {
			return z, true
		}
		return wire.Zone{}, false
	}
	return z.Child(n.cfg.Radix - 1), true
}

// Leave hands all ids over and ends with a Left effect.
func (n *Node) Leave(now wire.Time) {
	n.advance(now)
	switch n.state {
	case Idle, Gone:
		return
	case Joining:
		n.gone()
		return
	case Member, Leaving:
	}
	n.state, n.leftAt = Leaving, n.now
	n.leaveStreams()
	n.leaveStep()
}

// leaveStep offers a zone to an heir of it, or else to another neighbour: who is
// next to it knows that it is ours to give. Who finds that all neighbours leave as
// well ends without.
func (n *Node) leaveStep() {
	if n.state != Leaving || n.out != nil {
		return
	}
	wait := 8 * n.cfg.RetryInterval
	if len(n.graves) > 0 {
		wait = n.aloneTime() // there were some, and they have gone
	}
	if len(n.zones) > 0 && len(n.table) == 0 && n.volume() < 1 && n.now-n.leftAt < wait {
		// Somebody owns the rest: we have not heard of them yet.
		n.dirty = true
		n.fillGaps()
		n.after(n.cfg.RetryInterval, timer{what: tXfer})
		return
	}
	if len(n.zones) == 0 || len(n.table) == 0 {
		n.gone()
		return
	}
	to, z := n.successor()
	switch {
	case !to.ID.IsZero():
		n.aloneAt = 0
		n.offer(to, []wire.Zone{z}, false, wire.StreamID{})
		return
	case slices.ContainsFunc(n.table, func(r wire.Record) bool { return !n.refused[r.Owner.ID] }):
		n.aloneAt = 0
	case n.aloneAt == 0:
		n.aloneAt = max(n.now, 1)
	}
	if n.aloneAt > 0 && (n.now-n.aloneAt >= n.aloneTime() || n.volume()+n.volumeOf(n.table) > 1-1e-9) {
		n.gone() // nobody is left, as far as we see
		return
	}
	n.askAgain()
	n.after(n.cfg.RetryInterval, timer{what: tXfer})
}

// aloneTime is how long all our neighbours have to be leaving before we leave our
// zones behind: they hand theirs over to others meanwhile, who are then next to us.
// Where there are few hosts, none is far.
func (n *Node) aloneTime() wire.Time {
	hosts := max(int(n.region.Hosts), len(n.peers))
	return wire.Time(min(12, 1+hosts/2)) * n.cfg.RetryInterval
}

// askAgain forgets who did not take our zones, but for those who never will.
func (n *Node) askAgain() {
	maps.DeleteFunc(n.refused, func(_ wire.HostID, leaves bool) bool { return !leaves })
}

// successor is a zone of ours and a host to offer it to that has not refused yet.
func (n *Node) successor() (wire.Peer, wire.Zone) {
	may := func(h wire.HostID) bool {
		_, no := n.refused[h]
		return !no && n.peers[h] != nil
	}
	for i := range n.zones {
		z := &n.zones[i]
		for _, h := range z.Heirs {
			if may(h.ID) && n.recordsOf(h.ID) > 0 { // else it has left
				return h, z.Zone
			}
		}
		for j := range n.table {
			if r := &n.table[j]; may(r.Owner.ID) && r.Zone.Adjacent(z.Zone) {
				return r.Owner, z.Zone
			}
		}
	}
	return wire.Peer{}, wire.Zone{}
}

func (n *Node) gone() {
	if len(n.zones) > 0 {
		m := &wire.Announce{Radix: n.region.Radix, Gone: true}
		for _, p := range owners(n.table) {
			n.send(p, m)
		}
	}
	for len(n.zones) > 0 {
		n.lose(n.zones[0].Zone)
	}
	n.state = Gone
	n.timers = nil
	n.emit(Left{})
}
