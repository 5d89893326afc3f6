// SPDX-License-Identifier: Apache-2.0

package wire

// What flows down a stream's tree, and the exchange of ids: package streams handles
// these, and those of contract.go.

// Detach ends an Attach.
type Detach struct {
	Stream StreamID `cbor:"1,keyasint"`
}

func (*Detach) kind() Kind { return 23 }

// EndReason says how a stream ended, for all who get it or for who is told.
type EndReason uint8

// How a stream ended. In a Beat, 0 is EndWithdrawn; in a NoStream it is not known.
const (
	EndWithdrawn EndReason = iota + 1 // the publisher has ended it
	EndBroken                         // the publishing program ended without a word
	EndLeft                           // the publisher's host has left the overlay
	EndEvicted                        // the publisher has put the subscriber out
	EndExpired                        // the right to the stream has run out
)

// NoStream answers an Attach or a SubReq for a stream that does not pass here.
type NoStream struct {
	Stream StreamID `cbor:"1,keyasint"`
	Req    uint64   `cbor:"2,keyasint,omitempty"`
	// Why is how it ended: the publisher remembers it for a while.
	Why EndReason `cbor:"3,keyasint,omitempty"`
}

func (*NoStream) kind() Kind { return 24 }

// Beat goes down the tree from the publisher: the path is alive, and what it costs.
type Beat struct {
	Stream  StreamID   `cbor:"1,keyasint"`
	Seq     uint64     `cbor:"2,keyasint"`
	Path    []Hop      `cbor:"3,keyasint"`
	Info    StreamInfo `cbor:"4,keyasint"`
	Todo    []Stage    `cbor:"5,keyasint,omitempty"` // stages no host before has run
	Degrade string     `cbor:"6,keyasint,omitempty"` // the SPA that thins the stream out above
	End     bool       `cbor:"7,keyasint,omitempty"`
	Leave   bool       `cbor:"8,keyasint,omitempty"` // the sender goes: find another parent
	Number  uint64     `cbor:"9,keyasint,omitempty"` // counts the beats to this receiver: a gap is a lost one
	// SharePpm is what Degrade leaves of the rate, in millionths, as measured where it
	// runs; 0: not known yet.
	SharePpm uint32    `cbor:"10,keyasint,omitempty"`
	Why      EndReason `cbor:"11,keyasint,omitempty"` // with End
	Epochs             // of the stream's key
}

func (*Beat) kind() Kind { return 25 }

// SwapFind looks for a host near the publisher that changes places with the
// subscriber (paper, Figure 5). SpentUs is the latency from the publisher.
type SwapFind struct {
	Req        uint64   `cbor:"1,keyasint"`
	Stream     StreamID `cbor:"2,keyasint"`
	Subscriber Peer     `cbor:"3,keyasint"`
	BoundUs    uint32   `cbor:"4,keyasint"`
	SpentUs    uint32   `cbor:"5,keyasint"`
	Depth      uint8    `cbor:"6,keyasint"`
}

func (*SwapFind) kind() Kind { return 27 }

// SwapNo ends a SwapFind without a swap.
type SwapNo struct {
	Req    uint64 `cbor:"1,keyasint"`
	Reason string `cbor:"2,keyasint"`
}

func (*SwapNo) kind() Kind { return 28 }
