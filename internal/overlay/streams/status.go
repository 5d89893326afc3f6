// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"fmt"
	"slices"

	"sandstream/internal/overlay/wire"
)

// StreamStatus is a stream that passes a host.
type StreamStatus struct {
	Info      wire.StreamInfo
	Publisher bool
	Path      []wire.Hop
	Children  []Child
	Local     []SubID
	Readers   uint32 // subscriptions served here and below, as far as it was told
}

// SubStatus is a subscription and its contract.
type SubStatus struct {
	ID       SubID
	Stream   wire.StreamID
	Name     string
	Contract wire.Contract
	State    ContractState
	Reason   string // for AtRisk, Violated, Refused, and for the ends
	Degraded string // the SPA that degrades it, "" for none
	Path     []wire.Hop

	Predicted wire.Quality // of the path
	Measured  Report
	Swaps     int // id exchanges made for it
	Repairs   int // times the path was made anew
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
	Withdrawn                        // the publisher has ended the stream
	Interrupted                      // was admitted; the path broke and a new one is sought

	BrokenOff // the stream has ended without its publisher's word
	Evicted   // the publisher has put this subscriber out
	Expired   // the right to the stream has run out
	// Lost is what the user is told of one that was served and whose publisher does
	// not answer any more. The publisher has died or cannot be reached: it is still
	// looked for, as in Resolving.
	Lost
)

// Ended says whether the stream has ended for the subscriber: nothing more comes of it.
func (c ContractState) Ended() bool {
	switch c {
	case Withdrawn, BrokenOff, Evicted, Expired:
		return true
	case Resolving, Admitted, AtRisk, Violated, Refused, Interrupted, Lost:
	}
	return false
}

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
	case BrokenOff:
		return "broken off"
	case Evicted:
		return "evicted"
	case Expired:
		return "expired"
	case Lost:
		return "lost"
	}
	return fmt.Sprintf("ContractState(%d)", uint8(c))
}

// Status lists the streams that pass this host.
func (n *Streams) Status() []StreamStatus {
	var v []StreamStatus
	for _, s := range n.sorted() {
		st := StreamStatus{Info: s.info, Publisher: s.publisher, Path: slices.Clone(s.path), Local: n.locals(s), Readers: n.readers(s)}
		for i := range s.children {
			if c := &s.children[i]; !c.trial {
				st.Children = append(st.Children, Child{Host: c.Peer, OutUs: n.links.CostTo(c.ID), SPA: c.spa, SharePpm: s.sharePpm(c.spa)})
			}
		}
		v = append(v, st)
	}
	return v
}

// Subs lists the subscriptions of the local user.
func (n *Streams) Subs() []SubStatus {
	v := make([]SubStatus, 0, len(n.subs))
	for _, u := range n.subs {
		v = append(v, n.subStatus(u))
	}
	return v
}

func (n *Streams) subStatus(u *sub) SubStatus {
	st := SubStatus{
		ID: u.id, Stream: u.stream, Name: u.name, Contract: u.contract, State: u.state, Reason: u.reason,
		Predicted: u.predicted, Measured: u.window(), Swaps: u.exchange.tries, Repairs: u.repairs,
	}
	if u.lost && u.state == Resolving {
		st.State = Lost
	}
	if s := n.streams[u.stream]; s != nil {
		st.Path, st.Degraded = slices.Clone(s.path), s.degraded
		if st.Name == "" {
			st.Name = s.info.Name
		}
	}
	return st
}
