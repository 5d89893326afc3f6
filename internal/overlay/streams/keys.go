// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"fmt"
	"slices"
	"time"

	"sandstream/internal/overlay/wire"
)

// Keys of streams are the driver's: here, what hosts say of them is carried up the tree to
// the publisher and down again, unread. So a key comes to whom packets come to, also where
// the two cannot reach one another.

// keyAsk is an ask that passes here, remembered for its answer.
type keyAsk struct {
	stream wire.StreamID
	number uint64
	from   wire.Peer // the child it came from; zero: ours
	until  Time
}

// Bounds of what hosts can have us remember.
const (
	keyAskLife  = 5 * time.Second
	maxKeyAsks  = 1024
	maxAsksFrom = 64 // of one child: its oldest goes
)

// KeyAsked says that a host asks the local publisher for a key; GrantKey answers.
type KeyAsked struct {
	Stream wire.StreamID
	Number uint64
	Blob   []byte
}

// KeyGranted says what the publisher answers to AskKey.
type KeyGranted struct {
	Stream wire.StreamID
	Number uint64
	Blob   []byte
}

// EpochsChanged says of which epochs the keys of a stream are that passes here.
type EpochsChanged struct {
	Stream wire.StreamID
	wire.Epochs
}

// Effect marks KeyAsked as an effect.
func (KeyAsked) Effect() {}

// Effect marks KeyGranted as an effect.
func (KeyGranted) Effect() {}

// Effect marks EpochsChanged as an effect.
func (EpochsChanged) Effect() {}

// AskKey asks the publisher of a stream that comes here for its key. The answer, if one
// comes, is told by KeyGranted under the number.
func (n *Streams) AskKey(id wire.StreamID, blob []byte) (number uint64, err error) {
	s := n.streams[id]
	switch {
	case len(blob) > wire.MaxKeyBlob:
		return 0, fmt.Errorf("ask for a key: %d bytes, at most %d", len(blob), wire.MaxKeyBlob)
	case s == nil || s.publisher || s.parent.ID.IsZero():
		return 0, fmt.Errorf("ask for the key of stream %s: it has no path to this host now", id)
	}
	m := &wire.KeyAsk{Stream: id, Number: n.Uint64(), Blob: blob}
	n.rememberAsk(m, wire.Peer{})
	n.Send(s.parent, m)
	return m.Number, nil
}

// GrantKey sends the publisher's answer to a KeyAsked on its way.
func (n *Streams) GrantKey(id wire.StreamID, number uint64, blob []byte) {
	if a := n.forgetAsk(id, number); a != nil && len(blob) <= wire.MaxKeyBlob {
		n.Send(a.from, &wire.KeyGrant{Stream: id, Number: number, Blob: blob})
	}
}

// SetEpochs says of which epochs the key of a local publisher's stream is: hosts below are
// told at once, so that they ask in time.
func (n *Streams) SetEpochs(id wire.StreamID, e wire.Epochs) {
	s := n.streams[id]
	if s == nil || !s.publisher || s.epochs == e {
		return
	}
	s.epochs = e
	for i := range s.children {
		n.beatTo(s, &s.children[i])
	}
}

// KeyRefused says that the publisher gives this host no key: subscriptions to the stream
// end.
func (n *Streams) KeyRefused(id wire.StreamID, why string) {
	for _, u := range slices.Clone(n.subs) {
		if u.stream == id {
			n.setSub(u, Refused, why)
		}
	}
}

// PutOut says that the publisher has put this host out: its subscriptions to the stream
// have ended.
func (n *Streams) PutOut(id wire.StreamID) {
	for _, u := range slices.Clone(n.subs) {
		if u.stream == id {
			n.endSub(u, wire.EndEvicted)
		}
	}
}

// rememberAsk keeps the way back of an ask. False: it is known already.
func (n *Streams) rememberAsk(m *wire.KeyAsk, from wire.Peer) bool {
	n.keyAsks = slices.DeleteFunc(n.keyAsks, func(a keyAsk) bool { return a.until < n.Now })
	mine, oldest := 0, -1
	for i := range n.keyAsks {
		a := &n.keyAsks[i]
		if a.stream == m.Stream && a.number == m.Number {
			return false
		}
		if a.from.ID == from.ID {
			if mine++; oldest < 0 {
				oldest = i
			}
		}
	}
	switch {
	case mine >= maxAsksFrom:
		n.keyAsks = slices.Delete(n.keyAsks, oldest, oldest+1)
	case len(n.keyAsks) >= maxKeyAsks:
		n.keyAsks = slices.Delete(n.keyAsks, 0, 1)
	}
	n.keyAsks = append(n.keyAsks, keyAsk{m.Stream, m.Number, from, n.Now + keyAskLife})
	return true
}

func (n *Streams) forgetAsk(id wire.StreamID, number uint64) *keyAsk {
	i := slices.IndexFunc(n.keyAsks, func(a keyAsk) bool { return a.stream == id && a.number == number })
	if i < 0 {
		return nil
	}
	a := n.keyAsks[i]
	n.keyAsks = slices.Delete(n.keyAsks, i, i+1)
	return &a
}

func (n *Streams) onKeyAsk(from wire.Peer, m *wire.KeyAsk) {
	s := n.streams[m.Stream]
	if s == nil || !slices.ContainsFunc(s.children, func(c child) bool { return c.ID == from.ID }) ||
		!s.publisher && (s.parent.ID.IsZero() || s.parent.ID == from.ID) || !n.rememberAsk(m, from) {
		n.Count("key-ask-dropped")
		return
	}
	if s.publisher {
		n.Emit(KeyAsked{Stream: m.Stream, Number: m.Number, Blob: m.Blob})
		return
	}
	n.Send(s.parent, m)
}

func (n *Streams) onKeyGrant(from wire.Peer, m *wire.KeyGrant) {
	s := n.streams[m.Stream]
	if s == nil || s.publisher || s.parent.ID != from.ID {
		n.Count("key-grant-dropped")
		return
	}
	a := n.forgetAsk(m.Stream, m.Number)
	switch {
	case a == nil:
		n.Count("key-grant-dropped")
	case a.from.ID.IsZero():
		n.Emit(KeyGranted{Stream: m.Stream, Number: m.Number, Blob: m.Blob})
	default:
		n.Send(a.from, m)
	}
}

// heardEpochs takes what the host above says of the stream's epochs.
func (n *Streams) heardEpochs(s *stream, e wire.Epochs) {
	if s.epochs != e {
		s.epochs = e
		n.Emit(EpochsChanged{Stream: s.info.ID, Epochs: e})
	}
}
