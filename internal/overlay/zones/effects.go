// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"sandstream/internal/overlay/wire"
)

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

// Owned and Released tell of the zones a host serves, for observers.
type Owned struct{ Record wire.Record }

// Released says that the host no longer serves the zone, see Owned.
type Released struct{ Record wire.Record }

// Joined says that the host owns ids: it is part of the overlay.
type Joined struct{}

// Left says that all zones are handed over: the host may stop.
type Left struct{}

// EventShutOut is the Kind of the Event that says that this host can never be a
// member, and why. Its state is Gone then.
const EventShutOut = "join-refused"

// Effect marks Owned as an effect.
func (Owned) Effect() {}

// Effect marks Released as an effect.
func (Released) Effect() {}

// Effect marks Joined as an effect.
func (Joined) Effect() {}

// Effect marks Left as an effect.
func (Left) Effect() {}
