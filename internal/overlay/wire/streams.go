// SPDX-License-Identifier: Apache-2.0

package wire

// Streams, subscriptions and contracts: package streams handles these, and the exchange
// of ids at the end package overlay.

// SubReq asks a host of a stream's tree for a path to Subscriber.
type SubReq struct {
	Req        uint64   `cbor:"1,keyasint"`
	Stream     StreamID `cbor:"2,keyasint"`
	Subscriber Peer     `cbor:"3,keyasint"`
	Point      Point    `cbor:"4,keyasint"` // an id the subscriber owns
	Contract   Contract `cbor:"5,keyasint"`
	Avoid      []HostID `cbor:"6,keyasint,omitempty"`  // hosts to stay clear of
	Direct     bool     `cbor:"20,keyasint,omitempty"` // over no other host: one was in the way that is dead
}

func (*SubReq) kind() Kind { return 20 }

// Graft makes the path: routed from the tree towards the subscriber's id.
type Graft struct {
	SubReq
	Info     StreamInfo `cbor:"7,keyasint"`
	Path     []Hop      `cbor:"8,keyasint"`            // from the publisher to the sender
	BudgetUs uint32     `cbor:"9,keyasint"`            // of the contract's latency, what is left
	Degrade  string     `cbor:"10,keyasint,omitempty"` // the SPA the sender runs for the receiver
	Hops     uint8      `cbor:"11,keyasint"`
	LinkUs   uint32     `cbor:"12,keyasint"` // the link to the receiver, as the sender measured it
	LinkPpm  uint32     `cbor:"13,keyasint,omitempty"`
	Measured bool       `cbor:"14,keyasint,omitempty"` // it did
}

func (*Graft) kind() Kind { return 21 }

// Attach asks the sender's parent for a stream's packets, and renews the lease.
type Attach struct {
	Stream  StreamID `cbor:"1,keyasint"`
	Degrade string   `cbor:"2,keyasint,omitempty"`
	Trial   bool     `cbor:"3,keyasint,omitempty"` // for beats only: is the link good?
}

func (*Attach) kind() Kind { return 22 }

// Detach ends an Attach.
type Detach struct {
	Stream StreamID `cbor:"1,keyasint"`
}

func (*Detach) kind() Kind { return 23 }

// NoStream answers an Attach or a SubReq for a stream that does not pass here.
type NoStream struct {
	Stream StreamID `cbor:"1,keyasint"`
	Req    uint64   `cbor:"2,keyasint,omitempty"`
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
	SharePpm uint32 `cbor:"10,keyasint,omitempty"`
}

func (*Beat) kind() Kind { return 25 }

// Refuse ends a SubReq: no path can meet the contract; or with Again, there is none now.
type Refuse struct {
	Req    uint64   `cbor:"1,keyasint"`
	Stream StreamID `cbor:"2,keyasint"`
	Reason string   `cbor:"3,keyasint"`
	Again  bool     `cbor:"4,keyasint,omitempty"`
}

func (*Refuse) kind() Kind { return 26 }

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

// SetLink says what the link to the receiver does, as the sender knows it.
func (m *Graft) SetLink(q Quality, measured bool) {
	m.LinkUs, m.LinkPpm, m.Measured = q.CostUs, q.LossPpm, measured
}

// Link is what SetLink said.
func (m *Graft) Link() Quality { return Quality{CostUs: m.LinkUs, LossPpm: m.LinkPpm} }
