// SPDX-License-Identifier: Apache-2.0

package overlay

// Message is what hosts say to one another. A message is never changed after
// it was sent: drivers may pass it by reference.
type Message interface{ kind() kind }

type kind uint8

// The numbers are the wire format: never reuse one.
const (
	kPing kind = iota + 1
	kAck
	kPingReq
	kPingRes
	kPull
	kAnnounce
	kMoved
	kQuery
	kDead
	kHeirloom
	kLookup
	kFound
	kJoinAsk
	kJoinNo
	kOffer
	kAccept
	kCommit
	kDone
	kCancel
	kSubReq
	kGraft
	kAttach
	kDetach
	kNoStream
	kBeat
	kRefuse
	kSwapFind
	kSwapNo
	kEnd // one above the last
)

var kindNames = [kEnd]string{
	"", "ping", "ack", "ping-req", "ping-res", "pull", "announce", "moved", "query", "dead", "heirloom", "lookup", "found",
	"join-ask", "join-no", "offer", "accept", "commit", "done", "cancel", "sub-req", "graft", "attach", "detach", "no-stream",
	"beat", "refuse", "swap-find", "swap-no",
}

// KindOf names a message's kind, e.g. "ping".
func KindOf(m Message) string { return kindNames[m.kind()] }

// Class says what a message is for: "detection", "membership", "routing" or "streams".
func Class(m Message) string {
	switch k := m.kind(); {
	case k <= kPingRes:
		return "detection"
	case k <= kHeirloom || k >= kJoinAsk && k <= kCancel:
		return "membership"
	case k <= kFound:
		return "routing"
	}
	return "streams"
}

// Ping asks for an Ack. Digest covers the sender's own records: who has not
// seen them asks with Pull. Ping and Ack measure the link as well.
type Ping struct {
	Seq    uint32 `cbor:"1,keyasint"`
	Digest uint64 `cbor:"2,keyasint"`
	Region Region `cbor:"3,keyasint"`
}

// Ack answers a Ping with the same Seq.
type Ack struct {
	Seq    uint32 `cbor:"1,keyasint"`
	Digest uint64 `cbor:"2,keyasint"`
	Region Region `cbor:"3,keyasint"`
}

// PingReq asks the receiver to probe Target (Das et al.: SWIM, DSN 2002).
type PingReq struct {
	Seq    uint32 `cbor:"1,keyasint"`
	Target Peer   `cbor:"2,keyasint"`
}

// PingRes tells that the Target of a PingReq is alive.
type PingRes struct {
	Seq    uint32 `cbor:"1,keyasint"`
	Target HostID `cbor:"2,keyasint"`
}

// Pull asks for an Announce.
type Pull struct{}

// Announce lists all zones the sender owns.
type Announce struct {
	Records []Record `cbor:"1,keyasint"`
	Reply   bool     `cbor:"2,keyasint,omitempty"` // wants the receiver's Announce
	Radix   uint8    `cbor:"3,keyasint"`
	Gone    bool     `cbor:"4,keyasint,omitempty"` // the sender ends, and found nobody to hand its zones over to
}

// Moved tells who owns zones that the sender gave away or knows more of.
type Moved struct {
	Records []Record `cbor:"1,keyasint"`
	Hearsay bool     `cbor:"2,keyasint,omitempty"` // a claim that the sender does not believe yet
}

// Query asks the owner of a zone whether it still owns it: answered by Announce
// or Moved.
type Query struct {
	Zone Zone `cbor:"1,keyasint"`
}

// Dead tells an heir that the owner of the records does not answer.
type Dead struct {
	Records []Record `cbor:"1,keyasint"`
}

// Heirloom is for the sender's heirs: whom to tell when they inherit.
type Heirloom struct {
	Peers []Peer       `cbor:"1,keyasint"`
	Infos []StreamInfo `cbor:"2,keyasint,omitempty"`
}

// LookupKind says what a Lookup is for.
type LookupKind uint8

// What a Lookup is for.
const (
	Find    LookupKind = iota // the owner of Target
	Put                       // store Info at the owner
	Get                       // directory entries stored under Target
	GrowAsk                   // the region is full: the owner of id 0 decides
	Drop                      // forget the entry of Info's stream: heard from its publisher only
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
}

// JoinAsk asks an owner for some of its ids.
type JoinAsk struct {
	Req   uint64 `cbor:"1,keyasint"`
	Radix uint8  `cbor:"2,keyasint"`
}

// JoinNo says that it cannot give any now; Try may. With Radix, which is the
// overlay's, no host of it will: it answers a Lookup as well.
type JoinNo struct {
	Req    uint64 `cbor:"1,keyasint"`
	Reason string `cbor:"2,keyasint"`
	Try    Peer   `cbor:"3,keyasint,omitempty"`
	Radix  uint8  `cbor:"4,keyasint,omitempty"`
}

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

// Commit is phase two: the giver owns the zones no more.
type Commit struct {
	Xfer uint64 `cbor:"1,keyasint"`
}

// Done ends a hand-over: with OK the taker owns the zones.
type Done struct {
	Xfer uint64 `cbor:"1,keyasint"`
	OK   bool   `cbor:"2,keyasint"`
}

// Cancel takes an Offer back.
type Cancel struct {
	Xfer uint64 `cbor:"1,keyasint"`
}

// SubReq asks a host of a stream's tree for a path to Subscriber.
type SubReq struct {
	Req        uint64   `cbor:"1,keyasint"`
	Stream     StreamID `cbor:"2,keyasint"`
	Subscriber Peer     `cbor:"3,keyasint"`
	Point      Point    `cbor:"4,keyasint"` // an id the subscriber owns
	Contract   Contract `cbor:"5,keyasint"`
	Exclude    []HostID `cbor:"6,keyasint,omitempty"`  // hosts to stay clear of
	Direct     bool     `cbor:"20,keyasint,omitempty"` // over no other host: one was in the way that is dead
}

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

// Attach asks the sender's parent for a stream's packets, and renews the lease.
type Attach struct {
	Stream  StreamID `cbor:"1,keyasint"`
	Degrade string   `cbor:"2,keyasint,omitempty"`
	Trial   bool     `cbor:"3,keyasint,omitempty"` // for beats only: is the link good?
}

// Detach ends an Attach.
type Detach struct {
	Stream StreamID `cbor:"1,keyasint"`
}

// NoStream answers an Attach or a SubReq for a stream that does not pass here.
type NoStream struct {
	Stream StreamID `cbor:"1,keyasint"`
	Req    uint64   `cbor:"2,keyasint,omitempty"`
}

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

// Refuse ends a SubReq: no path can meet the contract; or with Again, there is none now.
type Refuse struct {
	Req    uint64   `cbor:"1,keyasint"`
	Stream StreamID `cbor:"2,keyasint"`
	Reason string   `cbor:"3,keyasint"`
	Again  bool     `cbor:"4,keyasint,omitempty"`
}

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

// SwapNo ends a SwapFind without a swap.
type SwapNo struct {
	Req    uint64 `cbor:"1,keyasint"`
	Reason string `cbor:"2,keyasint"`
}

// radixOf is the radix of the sender's ids, where a message says it.
func radixOf(m Message) (k uint8, says bool) {
	switch m := m.(type) {
	case *Ping:
		return m.Region.Radix, true
	case *Ack:
		return m.Region.Radix, true
	case *Announce:
		return m.Radix, true
	case *Lookup:
		return m.Radix, true
	case *Found:
		return m.Region.Radix, true
	case *JoinAsk:
		return m.Radix, true
	case *Offer:
		return m.Region.Radix, true
	}
	return 0, false
}

func (*Ping) kind() kind     { return kPing }
func (*Ack) kind() kind      { return kAck }
func (*PingReq) kind() kind  { return kPingReq }
func (*PingRes) kind() kind  { return kPingRes }
func (*Pull) kind() kind     { return kPull }
func (*Announce) kind() kind { return kAnnounce }
func (*Moved) kind() kind    { return kMoved }
func (*Query) kind() kind    { return kQuery }
func (*Dead) kind() kind     { return kDead }
func (*Heirloom) kind() kind { return kHeirloom }
func (*Lookup) kind() kind   { return kLookup }
func (*Found) kind() kind    { return kFound }
func (*JoinAsk) kind() kind  { return kJoinAsk }
func (*JoinNo) kind() kind   { return kJoinNo }
func (*Offer) kind() kind    { return kOffer }
func (*Accept) kind() kind   { return kAccept }
func (*Commit) kind() kind   { return kCommit }
func (*Done) kind() kind     { return kDone }
func (*Cancel) kind() kind   { return kCancel }
func (*SubReq) kind() kind   { return kSubReq }
func (*Graft) kind() kind    { return kGraft }
func (*Attach) kind() kind   { return kAttach }
func (*Detach) kind() kind   { return kDetach }
func (*NoStream) kind() kind { return kNoStream }
func (*Beat) kind() kind     { return kBeat }
func (*Refuse) kind() kind   { return kRefuse }
func (*SwapFind) kind() kind { return kSwapFind }
func (*SwapNo) kind() kind   { return kSwapNo }
