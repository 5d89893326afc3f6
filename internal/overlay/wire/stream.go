// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/hex"
	"fmt"
)

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
	Quality        // of the link that leads here, zero for the publisher
	StayUs  uint32 `cbor:"4,keyasint,omitempty"` // residence: measured time from arrival to sending on
	SPA     string `cbor:"5,keyasint,omitempty"` // what runs on the way out of the host before it
}

// Part is one of the streams that a split stream is sent as, each over a tree of its own.
// To the core they are streams like others; what belongs together is the driver's to know.
type Part struct {
	ID     StreamID `cbor:"1,keyasint"`
	Weight uint16   `cbor:"2,keyasint"` // its share of the packets is Weight over the sum of all
}

// Share is how much of a split stream this part carries: 1 if it is not split.
func (i *StreamInfo) Share() float64 {
	var own, sum float64
	for _, p := range i.Parts {
		sum += float64(p.Weight)
		if p.ID == i.ID {
			own += float64(p.Weight)
		}
	}
	if own == 0 {
		return 1
	}
	return own / sum
}
