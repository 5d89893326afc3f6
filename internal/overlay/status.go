// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"

	"sandstream/internal/overlay/wire"
)

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

// MemberState is where a host stands.
type MemberState uint8

// The states of a host.
const (
	Idle MemberState = iota
	Joining
	Member
	Leaving
	Gone
)

func (m MemberState) String() string {
	return [...]string{"idle", "joining", "member", "leaving", "gone"}[m]
}

// PeerStatus is what a host knows of a neighbour.
type PeerStatus struct {
	Peer      wire.Peer
	CostUs    uint32 // published one-way cost, with hysteresis
	RTTUs     uint32 // smoothed round trip
	VarUs     uint32 // its mean deviation
	LossPpm   uint32
	Zones     []wire.Record
	LastHeard wire.Time // ago
	Suspect   bool
}

// StreamStatus is a stream that passes a host.
type StreamStatus struct {
	Info      wire.StreamInfo
	Publisher bool
	Path      []wire.Hop
	Children  []Child
	Local     []SubID
}

// SubStatus is a subscription and its contract.
type SubStatus struct {
	ID       SubID
	Stream   wire.StreamID
	Name     string
	Contract wire.Contract
	State    ContractState
	Reason   string // for AtRisk, Violated and Refused
	Degraded string // the SPA that degrades it, "" for none
	Path     []wire.Hop

	PredictedUs  uint32
	PredictedPpm uint32
	Measured     Report
	Swaps        int // id exchanges made for it
	Repairs      int // times the path was made anew
}

// Report is what the data plane measured of a subscription over the time since
// the last report. Latency counts what the packets' headers say they spent.
type Report struct {
	Packets  uint64 // delivered to the application
	Lost     uint64
	Bytes    uint64
	MeanUs   uint32
	P99Us    uint32
	RateBps  uint64
	Duration wire.Time
}

// ContractState is where a subscription stands.
type ContractState uint8

// The states of a contract.
const (
	Resolving   ContractState = iota // looking for the stream or for a path
	Admitted                         // predicted and measured within the contract
	AtRisk                           // within it, by less than a tenth of a bound
	Violated                         // outside it by measurement
	Refused                          // no path can meet it; Reason says why
	Withdrawn                        // the stream has ended
	Interrupted                      // was admitted; the path broke and a new one is sought
)

func (c ContractState) String() string {
	switch c {
	case Resolving:
		return "resolving"
	case Admitted:
		return "admitted"
	case AtRisk:
		return "at risk"
	case Violated:
		return "violated"
	case Refused:
		return "refused"
	case Withdrawn:
		return "withdrawn"
	case Interrupted:
		return "interrupted"
	}
	return fmt.Sprintf("ContractState(%d)", uint8(c))
}
