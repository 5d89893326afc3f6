// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"time"

	"sandstream/internal/overlay/streams"
	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
	"sandstream/internal/overlay/zones"
)

// The machines' types that drivers see. A driver needs this package and wire, no other.
type (
	Time   = turn.Time
	Config = turn.Config

	Effect   = turn.Effect
	Send     = turn.Send
	Event    = turn.Event
	Owned    = zones.Owned
	Released = zones.Released
	Joined   = zones.Joined
	Left     = zones.Left

	Forward       = streams.Forward
	ForwardEntry  = streams.ForwardEntry
	Child         = streams.Child
	SubChanged    = streams.SubChanged
	Listed        = streams.Listed
	KeyAsked      = streams.KeyAsked
	KeyGranted    = streams.KeyGranted
	EpochsChanged = streams.EpochsChanged
	SubID         = streams.SubID
	Report        = streams.Report

	MemberState   = zones.MemberState
	ContractState = streams.ContractState
	StreamStatus  = streams.StreamStatus
	SubStatus     = streams.SubStatus
)

// The states of a host and of a contract, see zones.MemberState and
// streams.ContractState.
const (
	Idle    = zones.Idle
	Joining = zones.Joining
	Member  = zones.Member
	Leaving = zones.Leaving
	Gone    = zones.Gone

	Resolving   = streams.Resolving
	Admitted    = streams.Admitted
	AtRisk      = streams.AtRisk
	Violated    = streams.Violated
	Refused     = streams.Refused
	Withdrawn   = streams.Withdrawn
	Interrupted = streams.Interrupted
	BrokenOff   = streams.BrokenOff
	Evicted     = streams.Evicted
	Expired     = streams.Expired
	Lost        = streams.Lost
)

// NoPublisher is the Reason of a subscription that is refused because there is no such
// stream.
const NoPublisher = streams.NoPublisher

// EventShutOut is the Kind of the Event that says that this host can never be a
// member, and why. The Node is Gone then.
const EventShutOut = zones.EventShutOut

// DefaultConfig is for hosts on a wide-area network.
func DefaultConfig() Config { return turn.DefaultConfig() }

// Status is a snapshot of a Node for its user.
type Status struct {
	Self    wire.Peer
	State   MemberState
	Radix   int
	Region  wire.Region
	Zones   []wire.Record // owned
	Peers   []PeerStatus
	Streams []StreamStatus
	Subs    []SubStatus
	Sent    map[string]uint64 // messages by kind
	Recv    map[string]uint64
	Counts  map[string]uint64 // events by kind
}

// PeerStatus is what a host knows of a neighbour.
type PeerStatus struct {
	Peer      wire.Peer
	CostUs    uint32 // published one-way cost, with hysteresis
	RTTUs     uint32 // smoothed round trip
	VarUs     uint32 // its mean deviation
	LossPpm   uint32
	Zones     []wire.Record
	LastHeard Time // ago
	Suspect   bool
}

// Status is a snapshot for the user. It shares nothing with the node.
func (n *Node) Status(now Time) Status {
	n.turn.Advance(now)
	st := Status{
		Self: n.turn.Self, State: n.State(), Radix: n.turn.Cfg.Radix, Region: n.zones.Region(), Zones: n.zones.Owned(),
		Streams: n.streams.Status(), Subs: n.streams.Subs(), Counts: n.turn.Counts(),
	}
	st.Sent, st.Recv = n.turn.Messages()
	for _, p := range n.links.Hosts() {
		srtt, deviation := p.RTT()
		st.Peers = append(st.Peers, PeerStatus{
			Peer: p.Peer, CostUs: p.Quality().CostUs, RTTUs: uint32(srtt / time.Microsecond), VarUs: uint32(deviation / time.Microsecond),
			LossPpm: p.Quality().LossPpm, Zones: n.zones.OwnedBy(p.ID), LastHeard: now - p.Heard(),
			Suspect: p.LateFor(now) > n.turn.Cfg.AckTimeout,
		})
	}
	return st
}
