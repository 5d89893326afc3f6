// SPDX-License-Identifier: Apache-2.0

package overlay

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

// StreamID names a stream: 128 bits from the publisher's source of randomness,
// so that only who was told a stream's id can ask for it.
type StreamID [16]byte

func (s StreamID) String() string { return hex.EncodeToString(s[:]) }

// ParseStreamID reads 32 hexadecimal digits.
func ParseStreamID(s string) (StreamID, error) {
	var id StreamID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("stream id %q: not 32 hexadecimal digits", s)
	}
	copy(id[:], b)
	return id, nil
}

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

// Contract is what a subscriber asks of a stream. Zero fields ask nothing.
type Contract struct {
	LatencyUs  uint32   `cbor:"1,keyasint,omitempty"` // publisher to subscriber, at most
	MinRateBps uint64   `cbor:"2,keyasint,omitempty"` // bits per second delivered, at least
	LossPpm    uint32   `cbor:"3,keyasint,omitempty"` // packets lost per million, at most
	Degrade    []string `cbor:"4,keyasint,omitempty"` // SPAs the subscriber accepts rather than no stream, best first
	BestEffort bool     `cbor:"5,keyasint,omitempty"` // deliver even what cannot be admitted
	NoSwap     bool     `cbor:"6,keyasint,omitempty"` // never exchange ids to meet the contract
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

// StreamInfo is a stream's directory entry.
type StreamInfo struct {
	ID        StreamID `cbor:"1,keyasint"`
	Name      string   `cbor:"2,keyasint,omitempty"` // at most MaxName bytes
	Publisher Peer     `cbor:"3,keyasint"`
	RateBps   uint64   `cbor:"4,keyasint"`           // what the publisher says it sends
	Public    bool     `cbor:"5,keyasint,omitempty"` // found by name as well
	Pipeline  []Stage  `cbor:"6,keyasint,omitempty"` // SPAs that every packet passes
	Version   uint64   `cbor:"7,keyasint"`           // a newer entry replaces an older
	Parts     []Part   `cbor:"8,keyasint,omitempty"` // of a split stream, this one among them: the place is the path in the data header
}

// Stage is one SPA of a stream's pipeline.
type Stage struct {
	SPA    string            `cbor:"1,keyasint"`
	Params map[string]uint64 `cbor:"2,keyasint,omitempty"`
	Place  Place             `cbor:"3,keyasint,omitempty"`
}

// Place says on which hop a stage runs.
type Place uint8

// Where a stage runs.
const (
	AtSource Place = iota // at the publisher, once for all subscribers
	AtSink                // at each subscriber
	Anywhere              // at the first host of the path with capacity left
)

// Hop is one host of a stream's path, from the publisher (first) on.
type Hop struct {
	Host    Peer   `cbor:"1,keyasint"`
	CostUs  uint32 `cbor:"2,keyasint"`           // one-way latency of the link that leads here, 0 for the publisher
	LossPpm uint32 `cbor:"3,keyasint,omitempty"` // of that link
	StayUs  uint32 `cbor:"4,keyasint,omitempty"` // residence: measured time from arrival to sending on
	SPA     string `cbor:"5,keyasint,omitempty"` // what runs on the way out of the host before it
}

// Limits of what a message may carry: more is refused by Decode.
const (
	MaxName     = 64   // bytes of a stream's or SPA's name
	MaxPath     = 40   // hosts of a path
	MaxRecords  = 256  // records of a message
	MaxInfo     = 1024 // bytes of the words in a directory entry
	MaxStages   = 8    // SPAs of a pipeline
	MaxMessage  = 60e3 // bytes of an encoded message
	MaxStreams  = 4096 // directory entries a host keeps
	MaxChildren = 256  // children a host has in one stream's tree
)
