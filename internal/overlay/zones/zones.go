// SPDX-License-Identifier: Apache-2.0

// Package zones is the machine that holds a host's place on the cube: which ids it
// owns, who owns those next to them, joining and leaving, the hand-over of zones,
// taking over what dead hosts owned, settling who owns what after a partition, the
// size of the cube, and routing by id. It handles the messages of the classes
// membership and routing.
//
// Package overlay has the protocol's promises. A file here is one of its parts: table.go
// what is known of owners; heirs.go, takeover.go and conflict.go what follows a death
// and a return; handover.go, fair.go, join.go, leave.go the ways in and out; gaps.go
// and region.go upkeep; route.go look-ups.
package zones

import (
	"slices"

	"sandstream/internal/overlay/links"
	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// Time is the driver's clock.
type Time = turn.Time

// Above is what zones asks of the machine above it, whose directory entries lie under
// ids and go where the ids go, and tells it.
type Above interface {
	// Of lists the entries kept for zones, as many as a message may carry.
	Of(zones []wire.Zone) []wire.StreamInfo
	// Keep stores entries that came with zones.
	Keep(infos []wire.StreamInfo)
	// Answer does what a lookup asks of the entries under an id of ours.
	Answer(from wire.HostID, m *wire.Lookup, f *wire.Found)

	// Uses names the hosts whose links it needs.
	Uses(needed map[wire.HostID]bool)
	// Died says that a host is given up.
	Died(h wire.HostID)
	// Maintain is called at each Config.Maintain.
	Maintain()
	// Leave says that this host leaves: it is still the owner of its zones.
	Leave()

	// MayExchange says whether this host has asked for an exchange of ids for a stream.
	MayExchange(id wire.StreamID) bool
	// Exchanged and NotExchanged end one that was offered.
	Exchanged(with wire.Peer, id wire.StreamID)
	NotExchanged(id wire.StreamID, why string)
}

// Zones is the state of this machine.
type Zones struct {
	*turn.Turn
	Up Above // set before the first call

	links  *links.Links
	state  MemberState
	region region

	own    []wire.Record // none overlapping
	digest uint64        // of own
	table  []wire.Record // owned by others: the zones next to ours

	gaps   gaps
	heirs  heirs
	dead   dead
	doubts doubts
	moves  moves
	join   joining
	leave  leaving
}

// The timers of this machine.
const (
	timerMaintain uint8 = iota
	timerGrave
	timerRegion
	timerClaim
	timerTentative
	timerHeirs
	timerPoll
	timerMove
	timerJoin
)

// New makes the machine of a host that is not yet part of an overlay; Up is to be set.
func New(t *turn.Turn, l *links.Links) *Zones {
	n := &Zones{Turn: t, links: l}
	n.region.Radix = t.Radix()
	n.moves.taking = map[uint64]*move{}
	t.Route = n.Route
	return n
}

// Create makes this host the first of a new overlay: it owns all ids.
func (n *Zones) Create() {
	if n.state != Idle {
		return
	}
	n.region.Region = wire.Region{N: n.regionFor(1), Version: 1, Hosts: 1, Radix: n.region.Radix}
	n.start()
	n.gain(wire.Record{Zone: wire.Zone{}, Counter: 1, Owner: n.Self})
	n.joined()
}

// start sets the periodic timers.
func (n *Zones) start() {
	n.state = Joining
	n.links.Start()
	n.After(n.Jitter(n.Cfg.Maintain), turn.Timer{Of: turn.Zones, What: timerMaintain})
	n.After(n.Jitter(n.Cfg.GraveInterval), turn.Timer{Of: turn.Zones, What: timerGrave})
	n.After(n.Jitter(n.Cfg.RegionInterval), turn.Timer{Of: turn.Zones, What: timerRegion})
}

func (n *Zones) joined() {
	if n.state == Joining {
		n.state = Member
		n.Emit(Joined{})
	}
}

// Takes says whether a message is to be handled: not from a host whose ids have another
// radix. A host that is not part of an overlay takes none.
func (n *Zones) Takes(from wire.Peer, m wire.Message) bool {
	n.doubts.introduced = 0
	if k, says := wire.RadixOf(m); says && k != n.region.Radix {
		n.otherRadix(from, m)
		return false
	}
	return true
}

// Handle takes a message of the classes membership and routing.
func (n *Zones) Handle(from wire.Peer, m wire.Message) {
	switch m := m.(type) {
	case *wire.Pull:
		n.Send(from, n.ownings(false))
	case *wire.Announce:
		n.onAnnounce(from, m)
	case *wire.Moved:
		n.onMoved(from, m)
	case *wire.Query:
		n.onQuery(from, m)
	case *wire.Dead:
		n.onDead(from, m)
	case *wire.Heirloom:
		n.onHeirloom(from, m)
	case *wire.Lookup:
		n.onLookup(from, m)
	case *wire.Found:
		n.onFound(from, m)
	case *wire.JoinAsk:
		n.onJoinAsk(from, m)
	case *wire.JoinNo:
		n.onJoinNo(from, m)
	case *wire.Offer:
		n.onOffer(from, m)
	case *wire.Accept:
		n.onAccept(from, m)
	case *wire.Commit:
		n.onCommit(from, m)
	case *wire.Done:
		n.onDone(from, m)
	case *wire.Cancel:
		n.onCancel(from, m)
	}
}

// Due does what a timer is for.
func (n *Zones) Due(t turn.Timer) {
	switch t.What {
	case timerMaintain:
		n.maintain()
		n.After(n.Jitter(n.Cfg.Maintain), t)
	case timerGrave:
		n.askGraves()
		n.After(n.Jitter(n.Cfg.GraveInterval), t)
	case timerRegion:
		n.estimateHosts()
		n.After(n.Jitter(n.Cfg.RegionInterval), t)
	case timerClaim:
		n.claimDue()
	case timerTentative:
		n.tentativeDue()
	case timerHeirs:
		n.heirsDue()
	case timerPoll:
		n.pollDue()
	case timerMove:
		n.moveDue(t.Key)
	case timerJoin:
		n.joinStep()
	}
}

// maintain looks over what events may have left undone.
func (n *Zones) maintain() {
	n.links.Forget(n.needed())
	n.expireDone()
	n.joinStuck()
	n.Up.Maintain()
	if n.state == Leaving {
		n.leaveStep()
	}
	if n.state != Member {
		return
	}
	n.fillGaps()
	n.tellRivals()
	n.homeless()
	n.lookAround()
	n.shrinkZones()
}

// needed are the hosts whose links are of use.
func (n *Zones) needed() map[wire.HostID]bool {
	v := make(map[wire.HostID]bool, n.links.Len())
	for i := range n.table {
		v[n.table[i].Owner.ID] = true
	}
	for _, w := range n.heirs.wards {
		v[w.owner.ID] = true
	}
	if n.moves.giving != nil {
		v[n.moves.giving.peer.ID] = true
	}
	for _, x := range n.moves.taking {
		v[x.peer.ID] = true
	}
	n.Up.Uses(v)
	return v
}

// Greeting implements links.Above.
func (n *Zones) Greeting() (digest uint64, r wire.Region) { return n.digest, n.region.Region }

// Greeted implements links.Above: it asks for the zones of a host whose digest is not
// the one we saw last.
func (n *Zones) Greeted(from wire.Peer, digest uint64, r wire.Region) {
	n.learnRegion(r)
	if n.buried(from.ID) {
		n.resurrect(from)
		return
	}
	if p := n.links.Get(from.ID); p == nil {
		// A host that has us in its table and that we do not know.
		if n.state == Member && digest != 0 {
			n.Send(from, &wire.Pull{})
		}
	} else if p.Digest != digest {
		n.Send(from, &wire.Pull{})
	}
}

// Ward implements links.Above.
func (n *Zones) Ward(i int) (wire.HostID, bool) {
	if w := n.heirs.wards; len(w) > 0 {
		return w[i%len(w)].owner.ID, true
	}
	return wire.HostID{}, false
}

// Died implements links.Above: the host's zones go to the heirs, its streams elsewhere.
func (n *Zones) Died(p wire.Peer) {
	var left []wire.Record
	n.table = slices.DeleteFunc(n.table, func(r wire.Record) bool {
		if r.Owner.ID != p.ID {
			return false
		}
		left = append(left, r)
		return true
	})
	n.gaps.dirty = true
	n.touch()
	n.bury(left)
	n.heirs.wards = slices.DeleteFunc(n.heirs.wards, func(w ward) bool {
		if w.owner.ID != p.ID {
			return false
		}
		n.inherit(w)
		return true
	})
	n.movePeerDied(p.ID)
	n.Up.Died(p.ID)
}
