// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"hash/fnv"
	"slices"
	"time"

	"sandstream/internal/overlay/wire"
)

// Two hosts that own the same ids settle it by epoch: the higher one wins. But
// anybody can name a high number, so a claim above our epoch is honoured only
//
//   - if it looks like a healed partition: it comes from a host that we had
//     taken for dead, or such a host vouches for it; or
//   - if a part of our neighbours believe it as well. They believe us while we
//     answer them (see doubt), so that a host that merely lies finds nobody.
//
// Otherwise we raise our epoch above the claim's.

// poll asks our neighbours who owns a zone that another host claims.
type poll struct {
	claim  wire.Record
	zone   wire.Zone // ours
	asked  []wire.HostID
	others int // answers that name somebody else
	total  int
	active bool
}

const (
	pollHosts   = 8
	disputeTime = time.Minute
	returnTime  = 2 * time.Minute
	maxDisputes = 32
	maxRivals   = 8
	maxClaims   = 4 // in disputeTime that a host contests which not all believe
)

// returned is a host that came back after we thought it dead.
type returned struct {
	host wire.HostID
	at   wire.Time
}

// rival is a host that owns, or thinks it owns, ids of ours.
type rival struct {
	wire.Peer
	until, told wire.Time
}

// dispute counts how often we contested a host's claims to a zone.
type dispute struct {
	zone  wire.Zone
	host  wire.HostID
	count int
	since wire.Time
}

// conflict settles that r claims ids of our zone o.
func (n *Node) conflict(r, o wire.Record, from wire.Peer) {
	rv := n.addRival(r.Owner)
	switch {
	case !r.Newer(&o):
		// Two hosts may each be right about a different zone: were every announcement
		// answered at once, they would never stop.
		if rv != nil && n.now >= rv.told+2*n.cfg.RetryInterval {
			rv.told = n.now
			n.send(r.Owner, n.ownings(false))
		}
	case n.wasAway(from.ID) || n.wasAway(r.Owner.ID):
		n.giveIn(r, o)
	case !n.poll.active:
		n.startPoll(r, o)
	}
}

// giveIn lets a higher epoch have our ids.
func (n *Node) giveIn(r, o wire.Record) {
	if n.out != nil && n.out.covers(o.Zone) {
		if n.out.phase == committed {
			return // they are not ours to give any more
		}
		n.abortOut("the zone has another owner")
	}
	n.event("zone-yielded", r.Owner, o.Zone.String())
	n.yield(r, o)
}

func (n *Node) startPoll(r, o wire.Record) {
	n.poll = poll{claim: r, zone: o.Zone, active: true}
	z := o.Zone
	if r.Zone.Len > z.Len {
		z = r.Zone
	}
	start := n.rand(len(n.table) + 1)
	for i := range n.table {
		e := &n.table[(start+i)%len(n.table)]
		if e.Owner.ID != r.Owner.ID && e.Zone.Adjacent(z) && !slices.Contains(n.poll.asked, e.Owner.ID) && len(n.poll.asked) < pollHosts {
			n.poll.asked = append(n.poll.asked, e.Owner.ID)
			n.send(e.Owner, &wire.Query{Zone: z})
		}
	}
	n.after(n.cfg.AckTimeout+n.cfg.IndirectTimeout, timer{what: tPoll})
}

// vote counts what a neighbour says of the zone in question.
func (n *Node) vote(from wire.Peer, rs []wire.Record) {
	i := slices.Index(n.poll.asked, from.ID)
	if !n.poll.active || i < 0 {
		return
	}
	for j := range rs {
		if rs[j].Zone.Overlaps(n.poll.zone) && rs[j].Zone.Overlaps(n.poll.claim.Zone) {
			n.poll.asked = slices.Delete(n.poll.asked, i, i+1)
			n.poll.total++
			if rs[j].Owner.ID != n.self.ID {
				n.poll.others++
			}
			return
		}
	}
}

func (n *Node) pollDue() {
	p := n.poll
	n.poll = poll{}
	i := slices.IndexFunc(n.zones, func(o wire.Record) bool { return o.Zone.Overlaps(p.claim.Zone) })
	if !p.active || i < 0 || !p.claim.Newer(&n.zones[i]) {
		return
	}
	o := n.zones[i]
	switch {
	case 4*p.others < p.total:
		n.contest(p.claim, o)
		return
	case p.total > 0 && 4*p.others > 3*p.total:
		n.giveIn(p.claim, o)
		return
	}
	// Opinions differ, or there is nobody to ask. Were raising epochs all, two
	// honest hosts that both believe in their right could go on for ever: of the
	// two, the one with the lower hash gives in to the second claim, and the other to
	// a later one: whoever still claims then has all his neighbours behind him.
	times, weak := n.disputed(p.claim, o), strength(n.self.ID, p.claim.Owner.ID) < strength(p.claim.Owner.ID, n.self.ID)
	if weak && times > 1 || times > maxClaims {
		n.giveIn(p.claim, o)
		return
	}
	n.contest(p.claim, o)
}

// disputed counts the times that this claimant and we have met over a zone.
func (n *Node) disputed(r, o wire.Record) int {
	z := o.Zone
	if r.Zone.Len > z.Len {
		z = r.Zone
	}
	n.disputes = slices.DeleteFunc(n.disputes, func(d dispute) bool { return n.now-d.since > disputeTime })
	for i := range n.disputes {
		if d := &n.disputes[i]; d.zone == z && d.host == r.Owner.ID {
			d.count++
			return d.count
		}
	}
	if len(n.disputes) < maxDisputes {
		n.disputes = append(n.disputes, dispute{zone: z, host: r.Owner.ID, count: 1, since: n.now})
	}
	return 1
}

// contest raises our epoch above a claim's.
func (n *Node) contest(r, o wire.Record) {
	if n.out != nil && n.out.covers(o.Zone) {
		return
	}
	n.counts["claim-contested"]++
	n.lose(o.Zone)
	n.gain(wire.Record{Zone: o.Zone, Counter: r.Counter + 1})
	n.changed(false)
	n.send(r.Owner, n.ownings(false))
}

// strength orders two hosts as neither of them chose.
func strength(a, b wire.HostID) uint64 {
	h := fnv.New64a()
	h.Write(a[:])
	h.Write(b[:])
	return h.Sum64()
}

// addRival remembers whom to talk to until a conflict is over.
func (n *Node) addRival(p wire.Peer) *rival {
	until := n.now + 8*n.cfg.Maintain
	for i := range n.rivals {
		if n.rivals[i].ID == p.ID {
			n.rivals[i].until = until
			return &n.rivals[i]
		}
	}
	if len(n.rivals) >= maxRivals {
		return nil // there are others to settle with first
	}
	n.rivals = append(n.rivals, rival{Peer: p, until: until, told: -time.Hour})
	return &n.rivals[len(n.rivals)-1]
}

func (n *Node) tellRivals() {
	n.rivals = slices.DeleteFunc(n.rivals, func(r rival) bool { return n.now > r.until })
	for _, r := range n.rivals {
		n.send(r.Peer, n.ownings(true))
	}
}

// wasAway says whether a host is, or was until a short while ago, one that we
// thought dead.
func (n *Node) wasAway(h wire.HostID) bool {
	return n.buried(h) || slices.ContainsFunc(n.returned, func(r returned) bool { return r.host == h && n.now-r.at < returnTime })
}
