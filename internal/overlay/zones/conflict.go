// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"hash/fnv"
	"slices"
	"time"

	"sandstream/internal/overlay/turn"
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

// doubts are claims to ids that are not settled.
type doubts struct {
	tentative  []tentative
	disputes   []dispute
	rivals     []rival
	introduced int // hosts told of one another for the message at hand
	poll       poll
}

// tentative is a claim to a zone whose known owner may still live: it has been
// asked.
type tentative struct {
	wire.Record
	from  wire.Peer // the owner that was asked
	asked Time
}

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
	maxTentative = 32
	pollHosts    = 8
	disputeTime  = time.Minute
	returnTime   = 2 * time.Minute
	maxDisputes  = 32
	maxRivals    = 8
	maxClaims    = 4 // in disputeTime that a host contests which not all believe
)

// returned is a host that came back after we thought it dead.
type returned struct {
	host wire.HostID
	at   Time
}

// rival is a host that owns, or thinks it owns, ids of ours.
type rival struct {
	wire.Peer
	until, told Time
}

// dispute counts how often we contested a host's claims to a zone.
type dispute struct {
	zone  wire.Zone
	host  wire.HostID
	count int
	since Time
}

// conflict settles that r claims ids of our zone o.
func (n *Zones) conflict(r, o wire.Record, from wire.Peer) {
	rv := n.addRival(r.Owner)
	switch {
	case !r.Newer(&o):
		// Two hosts may each be right about a different zone: were every announcement
		// answered at once, they would never stop.
		if rv != nil && n.Now >= rv.told+2*n.Cfg.RetryInterval {
			rv.told = n.Now
			n.Send(r.Owner, n.ownings(false))
		}
	case n.wasAway(from.ID) || n.wasAway(r.Owner.ID):
		n.giveIn(r, o)
	case !n.doubts.poll.active:
		n.startPoll(r, o)
	}
}

// giveIn lets a higher epoch have our ids.
func (n *Zones) giveIn(r, o wire.Record) {
	if n.moves.giving != nil && n.moves.giving.covers(o.Zone) {
		if n.moves.giving.phase == committed {
			return // they are not ours to give any more
		}
		n.cancelGiving("the zone has another owner")
	}
	n.Event("zone-yielded", r.Owner, o.Zone.String())
	n.yield(r, o)
}

func (n *Zones) startPoll(r, o wire.Record) {
	n.doubts.poll = poll{claim: r, zone: o.Zone, active: true}
	z := o.Zone
	if r.Zone.Len > z.Len {
		z = r.Zone
	}
	start := n.Intn(len(n.table) + 1)
	for i := range n.table {
		e := &n.table[(start+i)%len(n.table)]
		if e.Owner.ID != r.Owner.ID && e.Zone.Adjacent(z) && !slices.Contains(n.doubts.poll.asked, e.Owner.ID) && len(n.doubts.poll.asked) < pollHosts {
			n.doubts.poll.asked = append(n.doubts.poll.asked, e.Owner.ID)
			n.Send(e.Owner, &wire.Query{Zone: z})
		}
	}
	n.After(n.Cfg.AckTimeout+n.Cfg.IndirectTimeout, turn.Timer{Of: turn.Zones, What: timerPoll})
}

// vote counts what a neighbour says of the zone in question.
func (n *Zones) vote(from wire.Peer, rs []wire.Record) {
	i := slices.Index(n.doubts.poll.asked, from.ID)
	if !n.doubts.poll.active || i < 0 {
		return
	}
	for j := range rs {
		if rs[j].Zone.Overlaps(n.doubts.poll.zone) && rs[j].Zone.Overlaps(n.doubts.poll.claim.Zone) {
			n.doubts.poll.asked = slices.Delete(n.doubts.poll.asked, i, i+1)
			n.doubts.poll.total++
			if rs[j].Owner.ID != n.Self.ID {
				n.doubts.poll.others++
			}
			return
		}
	}
}

func (n *Zones) pollDue() {
	p := n.doubts.poll
	n.doubts.poll = poll{}
	i := slices.IndexFunc(n.own, func(o wire.Record) bool { return o.Zone.Overlaps(p.claim.Zone) })
	if !p.active || i < 0 || !p.claim.Newer(&n.own[i]) {
		return
	}
	o := n.own[i]
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
	times, weak := n.disputed(p.claim, o), strength(n.Self.ID, p.claim.Owner.ID) < strength(p.claim.Owner.ID, n.Self.ID)
	if weak && times > 1 || times > maxClaims {
		n.giveIn(p.claim, o)
		return
	}
	n.contest(p.claim, o)
}

// disputed counts the times that this claimant and we have met over a zone.
func (n *Zones) disputed(r, o wire.Record) int {
	z := o.Zone
	if r.Zone.Len > z.Len {
		z = r.Zone
	}
	n.doubts.disputes = slices.DeleteFunc(n.doubts.disputes, func(d dispute) bool { return n.Now-d.since > disputeTime })
	for i := range n.doubts.disputes {
		if d := &n.doubts.disputes[i]; d.zone == z && d.host == r.Owner.ID {
			d.count++
			return d.count
		}
	}
	if len(n.doubts.disputes) < maxDisputes {
		n.doubts.disputes = append(n.doubts.disputes, dispute{zone: z, host: r.Owner.ID, count: 1, since: n.Now})
	}
	return 1
}

// contest raises our epoch above a claim's.
func (n *Zones) contest(r, o wire.Record) {
	if n.moves.giving != nil && n.moves.giving.covers(o.Zone) {
		return
	}
	n.Count("claim-contested")
	n.lose(o.Zone)
	n.gain(wire.Record{Zone: o.Zone, Counter: r.Counter + 1})
	n.changed(false)
	n.Send(r.Owner, n.ownings(false))
}

// strength orders two hosts as neither of them chose.
func strength(a, b wire.HostID) uint64 {
	h := fnv.New64a()
	h.Write(a[:])
	h.Write(b[:])
	return h.Sum64()
}

// addRival remembers whom to talk to until a conflict is over.
func (n *Zones) addRival(p wire.Peer) *rival {
	until := n.Now + 8*n.Cfg.Maintain
	for i := range n.doubts.rivals {
		if n.doubts.rivals[i].ID == p.ID {
			n.doubts.rivals[i].until = until
			return &n.doubts.rivals[i]
		}
	}
	if len(n.doubts.rivals) >= maxRivals {
		return nil // there are others to settle with first
	}
	n.doubts.rivals = append(n.doubts.rivals, rival{Peer: p, until: until, told: -time.Hour})
	return &n.doubts.rivals[len(n.doubts.rivals)-1]
}

func (n *Zones) tellRivals() {
	n.doubts.rivals = slices.DeleteFunc(n.doubts.rivals, func(r rival) bool { return n.Now > r.until })
	for _, r := range n.doubts.rivals {
		n.Send(r.Peer, n.ownings(true))
	}
}

// wasAway says whether a host is, or was until a short while ago, one that we
// thought dead.
func (n *Zones) wasAway(h wire.HostID) bool {
	return n.buried(h) || slices.ContainsFunc(n.dead.returned, func(r returned) bool { return r.host == h && n.Now-r.at < returnTime })
}

// doubt asks the known owner of a zone whether a claim to it is right.
func (n *Zones) doubt(r wire.Record, owner wire.Peer) {
	for i := range n.doubts.tentative {
		if n.doubts.tentative[i].Zone == r.Zone && n.doubts.tentative[i].Owner.ID == r.Owner.ID {
			n.doubts.tentative[i].Record = r
			return
		}
	}
	if len(n.doubts.tentative) >= maxTentative {
		n.Count("claim-dropped")
		return
	}
	n.doubts.tentative = append(n.doubts.tentative, tentative{Record: r, from: owner, asked: n.Now})
	// The two should know of one another: see conflict.
	n.Send(owner, &wire.Moved{Records: []wire.Record{r}, Hearsay: true})
	n.Send(owner, &wire.Query{Zone: r.Zone})
	n.After(n.Cfg.AckTimeout+n.Cfg.IndirectTimeout, turn.Timer{Of: turn.Zones, What: timerTentative})
}

// confirmTentative drops claims to zones that their owner says it still owns,
// and takes those that it no longer lists.
func (n *Zones) confirmTentative(from wire.Peer, own []wire.Record) {
	var sure []wire.Record
	n.doubts.tentative = slices.DeleteFunc(n.doubts.tentative, func(t tentative) bool {
		if t.from.ID != from.ID {
			return false
		}
		if slices.ContainsFunc(own, func(r wire.Record) bool { return r.Zone.Overlaps(t.Zone) }) {
			n.Count("claim-denied")
			n.Send(t.Owner, &wire.Moved{Records: own})
		} else {
			sure = append(sure, t.Record)
		}
		return true
	})
	for _, r := range sure {
		n.learn(r, true, r.Owner)
	}
}

// tentativeDue takes the claims whose old owners did not answer.
func (n *Zones) tentativeDue() {
	var sure []wire.Record
	wait := n.Cfg.AckTimeout + n.Cfg.IndirectTimeout
	n.doubts.tentative = slices.DeleteFunc(n.doubts.tentative, func(t tentative) bool {
		if n.Now-t.asked < wait {
			return false
		}
		if p := n.links.Get(t.from.ID); p == nil || p.Heard() < t.asked {
			sure = append(sure, t.Record)
		}
		return true
	})
	for _, r := range sure {
		n.learn(r, true, r.Owner)
	}
}
