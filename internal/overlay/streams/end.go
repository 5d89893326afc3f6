// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"slices"
	"time"

	"sandstream/internal/overlay/wire"
)

// endedStream is a stream that this host published: who missed the word of its end asks.
type endedStream struct {
	id  wire.StreamID
	why wire.EndReason
	at  Time
}

const (
	endedKept    = 64 // of the latest, and for so long:
	endedKeptFor = 10 * time.Minute
)

// remember keeps how a stream of this host ended.
func (n *Streams) remember(id wire.StreamID, why wire.EndReason) {
	n.ended = slices.DeleteFunc(n.ended, func(e endedStream) bool { return n.Now-e.at > endedKeptFor })
	if len(n.ended) >= endedKept {
		n.ended = slices.Delete(n.ended, 0, 1)
	}
	n.ended = append(n.ended, endedStream{id, why, n.Now})
}

// remembered is how a stream of this host ended; 0: not known.
func (n *Streams) remembered(id wire.StreamID) wire.EndReason {
	for _, e := range n.ended {
		if e.id == id {
			return e.why
		}
	}
	return 0
}

// endTold is the end that a publisher without the stream tells of. Who ended it in
// order remembers; who does not has lost it in a crash.
func endTold(m *wire.NoStream) wire.EndReason {
	if m.Why == 0 {
		return wire.EndBroken
	}
	return m.Why
}

// endOf is what an end means to a subscription, and its words.
func endOf(why wire.EndReason) (ContractState, string) {
	switch why {
	case wire.EndBroken:
		return BrokenOff, "the publishing program or its daemon has died"
	case wire.EndLeft:
		return BrokenOff, "the publisher's host has left the overlay"
	case wire.EndEvicted:
		return Evicted, "the publisher has put this subscriber out"
	case wire.EndExpired:
		return Expired, "the right to this stream has run out"
	case wire.EndWithdrawn:
	}
	return Withdrawn, "the publisher has withdrawn the stream"
}

// endSub tells a subscription of the end.
func (n *Streams) endSub(u *sub, why wire.EndReason) {
	st, words := endOf(why)
	n.setSub(u, st, words)
}

// endStream tells all below that there will be nothing more, and why.
func (n *Streams) endStream(s *stream, why wire.EndReason) {
	for i := range s.children {
		b := s.beat(&s.children[i])
		b.End = true
		if why != wire.EndWithdrawn {
			b.Why = why
		}
		n.Send(s.children[i].Peer, b)
	}
	for _, u := range n.subs {
		if u.stream == s.info.ID {
			n.endSub(u, why)
		}
	}
	n.drop(s)
}
