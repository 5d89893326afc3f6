// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"

	"sandstream/internal/live/delivery"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// Host is the daemon, as those see it who serve its users. All methods may be called
// from anywhere.
type Host interface {
	// Inspect runs f in the loop, with the protocol's status and the streams, which are
	// the loop's.
	Inspect(ctx context.Context, f func(*overlay.Status, *delivery.Streams)) error
	// Member waits until the host is a member, though not for ever.
	Member(ctx context.Context) error
	// Leave hands the host's ids over.
	Leave(ctx context.Context) error

	Plan(i wire.StreamInfo, weights []uint32) (*delivery.Publication, error)
	Subscribe(ctx context.Context, stream string, c wire.Contract) (*delivery.Reader, error)

	// List asks for the public streams whose names are kept from an id on: one step of
	// a walk over the overlay.
	List(ctx context.Context, from wire.Point) (overlay.Listed, error)

	Engine() delivery.Engine
	// Problems are what is wrong, in words.
	Problems() []string
	Streams() []transport.StreamStats
	Sessions() []transport.PeerStats
	Counters() Counters
}

// Counters are what the host counts, besides what the protocol and streams do.
type Counters struct {
	Totals transport.PeerStats
	Stats  transport.Stats

	InboxDropped uint64 // control messages that the loop had no room for
	Malformed    uint64 // that did not decode
	SendFailed   uint64
}
