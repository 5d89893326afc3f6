// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"sandstream/internal/overlay/wire"
)

// Effect is something a Node wants done. The driver takes them from Effects
// after each input and carries them out in order.
type Effect interface{ effect() }

// Send asks for a message to be sent. It may be lost: what matters is sent
// again until it is answered.
type Send struct {
	To  wire.Peer
	Msg wire.Message
}

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

// Owned and Released tell of the zones a host serves, for observers.
type Owned struct{ Record wire.Record }

// Released says that the host no longer serves the zone, see Owned.
type Released struct{ Record wire.Record }

// Event is for the log and for counters: Kind is a word, e.g. "peer-dead".
type Event struct {
	Kind   string
	Host   wire.Peer
	Detail string
}

// Joined says that the host owns ids: it is part of the overlay.
type Joined struct{}

// Left says that all zones are handed over: the host may stop.
type Left struct{}

func (Send) effect()       {}
func (Forward) effect()    {}
func (SubChanged) effect() {}
func (Owned) effect()      {}
func (Released) effect()   {}
func (Event) effect()      {}
func (Joined) effect()     {}
func (Left) effect()       {}
