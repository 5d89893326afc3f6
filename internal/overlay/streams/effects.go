// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"sandstream/internal/overlay/wire"
)

// Forward replaces the forwarding entry of a stream in the data plane.
type Forward struct {
	Stream wire.StreamID
	Entry  *ForwardEntry // nil: the stream no longer passes here
}

// ForwardEntry is what the data plane does with a stream's packets.
type ForwardEntry struct {
	Publisher bool         // packets come from the local publisher
	Upstream  wire.Peer    // else from this host only
	InUs      uint32       // one-way latency of the link from Upstream
	Ingress   []wire.Stage // SPAs every packet passes here, on arrival
	Children  []Child      // copies go there
	Local     []SubID      // and to these local subscriptions
	Path      []wire.Hop   // from the publisher to this host
	RateBps   uint64
	Info      wire.StreamInfo
}

// Child is one outgoing branch.
type Child struct {
	Host  wire.Peer
	OutUs uint32 // one-way latency of the link
	SPA   string // degrading SPA on this branch, "" for none
	// SharePpm is what the SPA leaves of the stream's rate, in millionths, as measured;
	// 0: not known. Set by Status only.
	SharePpm uint32
}

// SubID names a local subscription.
type SubID uint64

// SubChanged says that a subscription's state, path or measurement changed.
type SubChanged struct {
	Sub   SubStatus
	Ended bool // it is gone: unsubscribed
}

// Effect marks Forward as an effect.
func (Forward) Effect() {}

// Effect marks SubChanged as an effect.
func (SubChanged) Effect() {}
