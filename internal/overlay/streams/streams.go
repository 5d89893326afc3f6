// SPDX-License-Identifier: Apache-2.0

// Package streams is the machine for publish and subscribe: the directory of streams,
// subscriptions and the search for a path, the tree that paths make, beats and repair,
// contracts and their judgement, the way around a lossy link, and the exchange of ids
// that brings a subscriber nearer to its publisher. It handles the messages of class
// streams.
//
// It sees the host's place on the cube through the small interface [Place], and tells the
// data plane by effects. A file here is one of its parts: directory.go entries;
// subscribe.go and path.go a subscription up to its path; graft.go the path hop by hop;
// tree.go what flows down it; end.go how it ends; judge.go contracts; share.go what degrading leaves of a
// stream; detour.go and exchange.go better paths.
package streams

import (
	"iter"
	"maps"
	"slices"

	"sandstream/internal/overlay/links"
	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
	"sandstream/internal/overlay/zones"
)

// Time is the driver's clock.
type Time = turn.Time

// Place is the host's place on the cube, as streams need it; zones.Zones has it.
type Place interface {
	State() zones.MemberState
	// Covers says whether an id is the host's own, and Near gives one of its ids: one
	// next to the host that will look for it, if there is one.
	Covers(p wire.Point) bool
	Near(by wire.HostID) wire.Point
	// NextHop is the greedy way to an id; aside says that it is none, but a step
	// aside. Sideways is any neighbour.
	NextHop(to wire.Point, avoid func(wire.HostID) bool) (next *links.Peer, aside bool)
	Sideways(avoid func(wire.HostID) bool) *links.Peer
	Neighbours() iter.Seq[*links.Peer]
	// Somebody is to be asked by a host without ids, and so without neighbours; zero
	// if the host has some.
	Somebody() wire.Peer
	// Calm says that nobody near died or came back within the time given.
	Calm(within Time) bool

	// Exchange offers all ids to a host for its own. Giving and Moving say whether a
	// hand-over from here, or any, is under way.
	Exchange(to wire.Peer, id wire.StreamID)
	Giving() bool
	Moving() bool
}

// Streams is the state of this machine.
type Streams struct {
	*turn.Turn
	links *links.Links
	place Place

	streams map[wire.StreamID]*stream
	subs    []*sub
	subSeq  uint64
	store   map[wire.Point][]stored // directory entries of our ids
	ended   []endedStream           // of this host, the newest last
	keyAsks []keyAsk                // that pass here, the oldest first
}

// The timers of this machine. Those of a stream carry its id as their host, and its
// generation as their key.
const (
	timerBeat uint8 = iota
	timerStream
	timerSub
	timerPath
	timerPut
)

// New makes the machine.
func New(t *turn.Turn, l *links.Links, place Place) *Streams {
	return &Streams{Turn: t, links: l, place: place}
}

// Handle takes a message of class streams.
func (n *Streams) Handle(from wire.Peer, m wire.Message) {
	switch m := m.(type) {
	case *wire.SubReq:
		n.onSubReq(from, m)
	case *wire.Graft:
		n.onGraft(from, m)
	case *wire.Attach:
		n.onAttach(from, m)
	case *wire.Detach:
		n.onDetach(from, m)
	case *wire.NoStream:
		n.onNoStream(from, m)
	case *wire.Beat:
		n.onBeat(from, m)
	case *wire.Refuse:
		n.onRefuse(from, m)
	case *wire.SwapFind:
		n.onSwapFind(from, m)
	case *wire.SwapNo:
		n.onSwapNo(m)
	case *wire.KeyAsk:
		n.onKeyAsk(from, m)
	case *wire.KeyGrant:
		n.onKeyGrant(from, m)
	}
}

// Due does what a timer is for.
func (n *Streams) Due(t turn.Timer) {
	switch t.What {
	case timerBeat:
		n.beatDue(t)
	case timerStream:
		n.streamDue(t)
	case timerSub:
		n.subDue(SubID(t.Key))
	case timerPath:
		n.pathDue(SubID(t.Key))
	case timerPut:
		n.putDue(t)
	}
}

// Maintain implements zones.Above.
func (n *Streams) Maintain() {
	n.expireStore()
	n.subsStuck()
}

// Uses implements zones.Above.
func (n *Streams) Uses(needed map[wire.HostID]bool) {
	for _, s := range n.streams {
		needed[s.parent.ID] = true
		for i := range s.children {
			needed[s.children[i].ID] = true
		}
	}
}

func (n *Streams) member() bool { return n.place.State() == zones.Member }

// sorted lists the streams in an order that does not depend on chance:
// the same inputs must give the same outputs.
func (n *Streams) sorted() []*stream {
	ids := slices.SortedFunc(maps.Keys(n.streams), func(a, b wire.StreamID) int { return slices.Compare(a[:], b[:]) })
	v := make([]*stream, len(ids))
	for i, id := range ids {
		v[i] = n.streams[id]
	}
	return v
}
