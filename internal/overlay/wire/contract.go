// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"math"
	"slices"
)

// What a subscriber asks for, what links and paths give, and the messages that ask.

// Contract is what a subscriber asks of a stream. Zero fields ask nothing.
type Contract struct {
	LatencyUs  uint32   `cbor:"1,keyasint,omitempty"` // publisher to subscriber, at most
	MinRateBps uint64   `cbor:"2,keyasint,omitempty"` // bits per second delivered, at least
	LossPpm    uint32   `cbor:"3,keyasint,omitempty"` // packets lost per million, at most
	Degrade    []string `cbor:"4,keyasint,omitempty"` // SPAs the subscriber accepts rather than no stream, best first
	BestEffort bool     `cbor:"5,keyasint,omitempty"` // deliver even what cannot be admitted
	NoSwap     bool     `cbor:"6,keyasint,omitempty"` // never exchange ids to meet the contract
	JitterUs   uint32   `cbor:"7,keyasint,omitempty"` // variation of arrival against the stream's own pace (RFC 3550, 6.4.1), at most
}

// Quality is what a link or a path does to a packet: the one place that knows in which
// respects paths differ, and so what a contract can bound. To add a bound, add it
// here, to Contract, Hop and Graft, to what measures links (package links) and what
// judges deliveries (package streams).
type Quality struct {
	CostUs  uint32 `cbor:"2,keyasint"`           // one-way latency, in microseconds
	LossPpm uint32 `cbor:"3,keyasint,omitempty"` // packets lost per million

	// JitterUs is the mean difference between the delays of two packets that follow one
	// another (J of RFC 3550, 6.4.1), in microseconds; 0: not known. Hosts of before it
	// was there refuse messages that have it: it is told to those who ask for it alone.
	JitterUs uint32 `cbor:"6,keyasint,omitempty"`
}

// QualityOf adds up a path: the latencies of its links and what its hosts take; the loss
// of links that lose independently of one another; and the jitter of links that vary
// independently, which is the root of the sum of squares, as that of deviations is.
func QualityOf(path []Hop) Quality {
	keep := 1.0
	var sum uint64
	var squares float64
	for i := range path {
		h := &path[i]
		sum += uint64(h.CostUs) + uint64(h.StayUs)
		keep *= 1 - float64(min(h.LossPpm, 1_000_000))/1e6
		squares += float64(h.JitterUs) * float64(h.JitterUs)
	}
	jitter := uint32(min(math.Sqrt(squares), NoBudget-1))
	return Quality{CostUs: uint32(min(sum, NoBudget-1)), LossPpm: uint32((1 - keep) * 1e6), JitterUs: jitter}
}

// WithoutJitter is a path as it is told to those who have not asked for jitter.
func WithoutJitter(path []Hop) []Hop {
	if !slices.ContainsFunc(path, func(h Hop) bool { return h.JitterUs > 0 }) {
		return path
	}
	path = slices.Clone(path)
	for i := range path {
		path[i].JitterUs = 0
	}
	return path
}

// Worst is the worse of two paths in every respect: what who needs both gets.
func (q Quality) Worst(o Quality) Quality {
	return Quality{CostUs: max(q.CostUs, o.CostUs), LossPpm: max(q.LossPpm, o.LossPpm), JitterUs: max(q.JitterUs, o.JitterUs)}
}

// Breach says how a predicted path falls short of a contract, "" if it does not. What
// the path leaves of the stream's rate is not told by its links.
func (c *Contract) Breach(q Quality) string {
	if c.LatencyUs > 0 && q.CostUs > c.LatencyUs {
		return fmt.Sprintf("the path takes %.4g ms, %.4g asked", float64(q.CostUs)/1e3, float64(c.LatencyUs)/1e3)
	}
	if c.LossPpm > 0 && q.LossPpm > c.LossPpm {
		return fmt.Sprintf("the path loses %.2f %%, %.2f asked", float64(q.LossPpm)/1e4, float64(c.LossPpm)/1e4)
	}
	if c.JitterUs > 0 && q.JitterUs > c.JitterUs {
		return fmt.Sprintf("the path varies by %.4g ms, %.4g asked", float64(q.JitterUs)/1e3, float64(c.JitterUs)/1e3)
	}
	return ""
}

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

	LinkJitterUs uint32 `cbor:"15,keyasint,omitempty"` // only if the contract bounds it
}

func (*Graft) kind() Kind { return 21 }

// Attach asks the sender's parent for a stream's packets, and renews the lease.
type Attach struct {
	Stream  StreamID `cbor:"1,keyasint"`
	Degrade string   `cbor:"2,keyasint,omitempty"`
	Trial   bool     `cbor:"3,keyasint,omitempty"` // for beats only: is the link good?
	Jitter  bool     `cbor:"4,keyasint,omitempty"` // the beats' paths are to tell the jitter of their links
	// Readers is one more than the subscriptions that are served at the sender and below
	// it; 0: not said.
	Readers uint32 `cbor:"5,keyasint,omitempty"`
}

func (*Attach) kind() Kind { return 22 }

// Carry says how the path goes so far, and what the link to the receiver does, as the
// sender knows it.
func (m *Graft) Carry(path []Hop, q Quality, measured bool) {
	m.Path = path
	m.LinkUs, m.LinkPpm, m.Measured = q.CostUs, q.LossPpm, measured
	if m.Contract.JitterUs > 0 {
		m.LinkJitterUs = q.JitterUs
	} else {
		m.Path = WithoutJitter(path)
	}
}

// Link is the link that Carry told of.
func (m *Graft) Link() Quality {
	return Quality{CostUs: m.LinkUs, LossPpm: m.LinkPpm, JitterUs: m.LinkJitterUs}
}

// Refuse ends a SubReq: no path can meet the contract; or with Again, there is none now.
type Refuse struct {
	Req    uint64   `cbor:"1,keyasint"`
	Stream StreamID `cbor:"2,keyasint"`
	Reason string   `cbor:"3,keyasint"`
	Again  bool     `cbor:"4,keyasint,omitempty"`
}

func (*Refuse) kind() Kind { return 26 }
