// SPDX-License-Identifier: Apache-2.0

package wire

// Look-ups by id: package zones handles these.

// LookupKind says what a Lookup is for.
type LookupKind uint8

// What a Lookup is for.
const (
	Find    LookupKind = iota // the owner of Target
	Put                       // store Info at the owner
	Get                       // directory entries stored under Target
	GrowAsk                   // the region is full: the owner of id 0 decides
	Drop                      // forget the entry of Info's stream: heard from its publisher only
	List                      // the names from Target on in the owner's zone, see Found.Next
)

// Lookup is routed to the owner of Target, who answers Origin with Found.
type Lookup struct {
	Req    uint64      `cbor:"1,keyasint"`
	Kind   LookupKind  `cbor:"2,keyasint"`
	Target Point       `cbor:"3,keyasint"`
	Origin Peer        `cbor:"4,keyasint"`
	Hops   uint8       `cbor:"5,keyasint"`
	Avoid  []HostID    `cbor:"7,keyasint,omitempty"`
	Info   *StreamInfo `cbor:"8,keyasint,omitempty"`
	Radix  uint8       `cbor:"9,keyasint"`
}

func (*Lookup) kind() Kind { return 11 }

// Found answers a Lookup.
type Found struct {
	Req     uint64       `cbor:"1,keyasint"`
	Record  Record       `cbor:"2,keyasint"`
	Volume  float64      `cbor:"3,keyasint"` // share of all ids that the answering host owns
	Hops    uint8        `cbor:"4,keyasint"`
	Largest Record       `cbor:"5,keyasint"` // the largest zone the answering host knows
	Infos   []StreamInfo `cbor:"6,keyasint,omitempty"`
	Region  Region       `cbor:"7,keyasint"`
	Full    bool         `cbor:"8,keyasint,omitempty"` // no room for what was to be Put
	Next    Point        `cbor:"9,keyasint,omitempty"` // where a List goes on; 0: that was the last of all ids
}

func (*Found) kind() Kind { return 12 }
