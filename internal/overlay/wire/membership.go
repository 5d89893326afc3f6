// SPDX-License-Identifier: Apache-2.0

package wire

// Who owns which ids: package zones handles these.

// Pull asks for an Announce.
type Pull struct{}

func (*Pull) kind() Kind { return 5 }

// Announce lists all zones the sender owns.
type Announce struct {
	Records []Record `cbor:"1,keyasint"`
	Reply   bool     `cbor:"2,keyasint,omitempty"` // wants the receiver's Announce
	Radix   uint8    `cbor:"3,keyasint"`
	Gone    bool     `cbor:"4,keyasint,omitempty"` // the sender ends, and found nobody to hand its zones over to
}

func (*Announce) kind() Kind { return 6 }

// Moved tells who owns zones that the sender gave away or knows more of.
type Moved struct {
	Records []Record `cbor:"1,keyasint"`
	Hearsay bool     `cbor:"2,keyasint,omitempty"` // a claim that the sender does not believe yet
}

func (*Moved) kind() Kind { return 7 }

// Query asks the owner of a zone whether it still owns it: answered by Announce
// or Moved.
type Query struct {
	Zone Zone `cbor:"1,keyasint"`
}

func (*Query) kind() Kind { return 8 }

// Dead tells an heir that the owner of the records does not answer.
type Dead struct {
	Records []Record `cbor:"1,keyasint"`
}

func (*Dead) kind() Kind { return 9 }

// Heirloom is for the sender's heirs: whom to tell when they inherit.
type Heirloom struct {
	Peers []Peer       `cbor:"1,keyasint"`
	Infos []StreamInfo `cbor:"2,keyasint,omitempty"`
}

func (*Heirloom) kind() Kind { return 10 }

// JoinAsk asks an owner for some of its ids.
type JoinAsk struct {
	Req   uint64 `cbor:"1,keyasint"`
	Radix uint8  `cbor:"2,keyasint"`
}

func (*JoinAsk) kind() Kind { return 13 }

// JoinNo says that it cannot give any now; Try may. With Radix, which is the
// overlay's, no host of it will: it answers a Lookup as well.
type JoinNo struct {
	Req    uint64 `cbor:"1,keyasint"`
	Reason string `cbor:"2,keyasint"`
	Try    Peer   `cbor:"3,keyasint,omitempty"`
	Radix  uint8  `cbor:"4,keyasint,omitempty"`
}

func (*JoinNo) kind() Kind { return 14 }

// Offer is phase one of a hand-over: the giver still owns what it gives. With
// Swap the giver wants all of the taker's zones in return.
type Offer struct {
	Xfer   uint64       `cbor:"1,keyasint"`
	Give   []Record     `cbor:"2,keyasint"` // as they will be: owner the taker, counter raised
	Table  []Record     `cbor:"3,keyasint"`
	Infos  []StreamInfo `cbor:"4,keyasint,omitempty"`
	Swap   bool         `cbor:"5,keyasint,omitempty"`
	Stream StreamID     `cbor:"6,keyasint,omitempty"` // the stream a swap is for
	Region Region       `cbor:"7,keyasint"`
}

func (*Offer) kind() Kind { return 15 }

// Accept answers an Offer. Without OK nothing happens.
type Accept struct {
	Xfer   uint64   `cbor:"1,keyasint"`
	OK     bool     `cbor:"2,keyasint"`
	Reason string   `cbor:"3,keyasint,omitempty"`
	Give   []Record `cbor:"4,keyasint,omitempty"` // a swap's other half
	Table  []Record `cbor:"5,keyasint,omitempty"`

	Infos []StreamInfo `cbor:"6,keyasint,omitempty"` // directory entries of Give

	Leaving bool `cbor:"7,keyasint,omitempty"` // the sender hands over what it has, and takes nothing
}

func (*Accept) kind() Kind { return 16 }

// Commit is phase two: the giver owns the zones no more.
type Commit struct {
	Xfer uint64 `cbor:"1,keyasint"`
}

func (*Commit) kind() Kind { return 17 }

// Done ends a hand-over: with OK the taker owns the zones.
type Done struct {
	Xfer uint64 `cbor:"1,keyasint"`
	OK   bool   `cbor:"2,keyasint"`
}

func (*Done) kind() Kind { return 18 }

// Cancel takes an Offer back.
type Cancel struct {
	Xfer uint64 `cbor:"1,keyasint"`
}

func (*Cancel) kind() Kind { return 19 }
