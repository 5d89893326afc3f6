// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"
)

// Time is the driver's clock: any epoch, never backwards.
type Time = time.Duration

// HostID names a host: the first 16 bytes of the SHA-256 of its public key.
type HostID [16]byte

func (h HostID) String() string { return hex.EncodeToString(h[:4]) }

// Hex is the whole id.
func (h HostID) Hex() string { return hex.EncodeToString(h[:]) }

// IsZero says that the id names no host.
func (h HostID) IsZero() bool { return h == HostID{} }

// Less orders hosts; it breaks ties between epochs of one counter.
func (h HostID) Less(o HostID) bool {
	for i := range h {
		if h[i] != o[i] {
			return h[i] < o[i]
		}
	}
	return false
}

// Peer is a host and where it is reached.
type Peer struct {
	ID   HostID         `cbor:"1,keyasint"`
	Addr netip.AddrPort `cbor:"2,keyasint"`
}

func (p Peer) String() string { return fmt.Sprintf("%s@%s", p.ID, p.Addr) }

// Record says who owns a zone.
type Record struct {
	Zone    Zone    `cbor:"1,keyasint"`
	Counter uint64  `cbor:"2,keyasint"` // with Owner.ID: the epoch
	Owner   Peer    `cbor:"3,keyasint"`
	Heirs   [2]Peer `cbor:"4,keyasint"` // who claims the zone when the owner dies, in order; zero if none
}

// Newer says whether r's epoch is above o's.
func (r *Record) Newer(o *Record) bool {
	if r.Counter != o.Counter {
		return r.Counter > o.Counter
	}
	return o.Owner.ID.Less(r.Owner.ID)
}

// Region is the cube in force: at most N digits an id (paper, section 3.1).
type Region struct {
	N       uint8  `cbor:"1,keyasint"`
	Version uint64 `cbor:"2,keyasint"`
	Hosts   uint32 `cbor:"3,keyasint"` // the estimate of m it was chosen for
	Radix   uint8  `cbor:"4,keyasint"` // of all ids: the same at all hosts, for ever
}
