// SPDX-License-Identifier: Apache-2.0

package wire

import "errors"

// Message is what hosts say to one another. A message is never changed after
// it was sent: drivers may pass it by reference.
//
// A new kind of message takes three places: its type with its number, in the file of
// its class; its row in the table below; and its handler, in the machine that the class
// belongs to.
type Message interface{ kind() Kind }

// Kind is a message's number on the wire. A number is never used for anything else.
type Kind uint8

// Class says what a message is for, and with that which machine handles it.
type Class uint8

// The classes of messages.
const (
	Detection  Class = iota // do hosts live, and what do links cost: package links
	Membership              // who owns which ids: package zones
	Routing                 // look-ups by id: package zones
	Streams                 // streams and their contracts: package streams
)

func (c Class) String() string {
	return [...]string{"detection", "membership", "routing", "streams"}[c]
}

// kindRow is what the codec and the drivers know of a kind.
type kindRow struct {
	name  string
	class Class
	blank func() Message
	check func(Message) error // lengths and ranges; nil if CBOR's own limits do
	radix func(Message) uint8 // of the sender's ids; nil if the message does not say
}

// row makes the row of the message T.
func row[T any, M interface {
	*T
	Message
}](name string, class Class, check func(M) error, radix func(M) uint8) kindRow {
	r := kindRow{name: name, class: class, blank: func() Message { return M(new(T)) }}
	if check != nil {
		r.check = func(m Message) error { return check(m.(M)) }
	}
	if radix != nil {
		r.radix = func(m Message) uint8 { return radix(m.(M)) }
	}
	return r
}

var kinds = [...]kindRow{
	1:  row[Ping]("ping", Detection, nil, func(m *Ping) uint8 { return m.Region.Radix }),
	2:  row[Ack]("ack", Detection, nil, func(m *Ack) uint8 { return m.Region.Radix }),
	3:  row[PingReq]("ping-req", Detection, nil, nil),
	4:  row[PingRes]("ping-res", Detection, nil, nil),
	5:  row[Pull]("pull", Membership, nil, nil),
	6:  row[Announce]("announce", Membership, nil, func(m *Announce) uint8 { return m.Radix }),
	7:  row[Moved]("moved", Membership, nil, nil),
	8:  row[Query]("query", Membership, nil, nil),
	9:  row[Dead]("dead", Membership, nil, nil),
	10: row[Heirloom]("heirloom", Membership, func(m *Heirloom) error { return errors.Join(most("peers", len(m.Peers), MaxRecords), infos(m.Infos)) }, nil),
	11: row("lookup", Routing, (*Lookup).check, func(m *Lookup) uint8 { return m.Radix }),
	12: row("found", Routing, func(m *Found) error { return infos(m.Infos) }, func(m *Found) uint8 { return m.Region.Radix }),
	13: row[JoinAsk]("join-ask", Membership, nil, func(m *JoinAsk) uint8 { return m.Radix }),
	14: row[JoinNo]("join-no", Membership, func(m *JoinNo) error { return reason(m.Reason) }, nil),
	15: row("offer", Membership, func(m *Offer) error { return infos(m.Infos) }, func(m *Offer) uint8 { return m.Region.Radix }),
	16: row[Accept]("accept", Membership, func(m *Accept) error { return errors.Join(reason(m.Reason), infos(m.Infos)) }, nil),
	17: row[Commit]("commit", Membership, nil, nil),
	18: row[Done]("done", Membership, nil, nil),
	19: row[Cancel]("cancel", Membership, nil, nil),
	20: row[SubReq]("sub-req", Streams, (*SubReq).check, nil),
	21: row[Graft]("graft", Streams, (*Graft).check, nil),
	22: row[Attach]("attach", Streams, func(m *Attach) error { return spaName(m.Degrade) }, nil),
	23: row[Detach]("detach", Streams, nil, nil),
	24: row[NoStream]("no-stream", Streams, nil, nil),
	25: row[Beat]("beat", Streams, (*Beat).check, nil),
	26: row[Refuse]("refuse", Streams, func(m *Refuse) error { return reason(m.Reason) }, nil),
	27: row[SwapFind]("swap-find", Streams, nil, nil),
	28: row[SwapNo]("swap-no", Streams, func(m *SwapNo) error { return reason(m.Reason) }, nil),
	30: row[KeyAsk]("key-ask", Streams, func(m *KeyAsk) error { return most("bytes about a key", len(m.Blob), MaxKeyBlob) }, nil),
	31: row[KeyGrant]("key-grant", Streams, func(m *KeyGrant) error { return most("bytes about a key", len(m.Blob), MaxKeyBlob) }, nil),
}

// NumKinds is one more than the highest Kind.
const NumKinds = len(kinds)

// KindOf is a message's kind.
func KindOf(m Message) Kind { return m.kind() }

// String names a kind, e.g. "ping"; only numbers below NumKinds have a name.
func (k Kind) String() string { return kinds[k].name }

// ClassOf says what a message is for.
func ClassOf(m Message) Class { return kinds[m.kind()].class }

// RadixOf is the radix of the sender's ids, where a message says it.
func RadixOf(m Message) (k uint8, says bool) {
	r := kinds[m.kind()].radix
	if r == nil {
		return 0, false
	}
	return r(m), true
}

// Request is a message that is answered under a number.
type Request interface {
	Message
	// Stamp sets the number of the request, and the radix of the sender's ids where
	// the message says it.
	Stamp(req uint64, radix uint8)
}

// Stamp implements Request.
func (m *Lookup) Stamp(req uint64, radix uint8) { m.Req, m.Radix = req, radix }

// Stamp implements Request.
func (m *JoinAsk) Stamp(req uint64, radix uint8) { m.Req, m.Radix = req, radix }

// Stamp implements Request.
func (m *SubReq) Stamp(req uint64, _ uint8) { m.Req = req }

// Stamp implements Request.
func (m *SwapFind) Stamp(req uint64, _ uint8) { m.Req = req }
