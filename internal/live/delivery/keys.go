// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"time"

	"sandstream/internal/live/grant"
	"sandstream/internal/live/seal"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// keyring is the key of a stream that is read here, or that an SPA here must see into. It
// is the loop's; its ring is anybody's.
type keyring struct {
	ring      *seal.Ring
	publisher wire.HostID // the first that gave a key: another's are none of this stream
	seals     bool        // an SPA here seals what it makes,
	told      bool        // and the publisher knows
	epochs    wire.Epochs // as the beats say
	unread    uint64      // packets for which no key came, so far
	stale     bool        // there were more: the beats may lie
	asks      []ask       // under way
	due       wire.Time   // when the next may be sent
	wait      time.Duration
}

type ask struct {
	number  uint64
	pending *grant.Pending
	role    grant.Role
}

const (
	firstAsk   = 250 * time.Millisecond // to the second ask
	longestAsk = 4 * time.Second
	asksAtOnce = 4
)

// keysOf is the keyring of a stream, made when it is first needed.
func (s *Streams) keysOf(of wire.StreamID, publisher wire.HostID) *keyring {
	k := s.keys[of]
	if k == nil {
		k = &keyring{ring: seal.NewRing(of), publisher: publisher}
		s.keys[of] = k
	}
	return k
}

// shareOwn gives local readers the keys of a local stream.
func (s *Streams) shareOwn(p *Publication) {
	if k := s.keys[p.ID]; k != nil {
		for _, key := range p.book.keys() {
			k.ring.Add(key)
		}
	}
}

// missing says whether a key is wanted that is not there, and of which epoch at least.
func (k *keyring) missing() (epoch uint32, is bool) {
	if k.ring.Newest() == 0 || k.seals && !k.told || k.stale {
		return 0, true
	}
	for _, e := range []uint32{k.epochs.Next, k.epochs.Epoch} {
		if _, have := k.ring.Key(e); e != 0 && !have {
			return e, true
		}
	}
	return 0, false
}

// seekKeys asks for what is missing, and forgets the keys of streams that nobody here
// reads any more.
func (s *Streams) seekKeys() {
	if len(s.keys) == 0 {
		return
	}
	used, unread := map[wire.StreamID]bool{}, map[wire.StreamID]uint64{}
	for _, u := range s.subs {
		if u.sink != nil {
			used[u.of] = true
			unread[u.of] += u.sink.Stats().NoKey
		}
	}
	for _, f := range s.flows {
		used[f.of] = used[f.of] || f.seals()
	}
	for of, k := range s.keys {
		if !used[of] {
			delete(s.keys, of)
			continue
		}
		k.stale = k.stale || unread[of] > k.unread
		k.unread = unread[of]
		s.seekKey(of, k)
	}
}

// seekKey asks for a stream's key if it is missing and time to.
func (s *Streams) seekKey(of wire.StreamID, k *keyring) {
	now := s.cfg.Now()
	if p := s.pubs[of]; p != nil {
		s.shareOwn(p)
		return
	}
	epoch, is := k.missing()
	if !is || now < k.due {
		return
	}
	id, ok := s.wayUp(of)
	if !ok {
		return
	}
	if k.ring.Newest() == 0 {
		// An entry that led nowhere may have named another.
		k.publisher = s.flows[id].entry.Info.Publisher.ID
	}
	role := grant.Reads
	if k.seals {
		role = grant.Seals
	}
	pending, err := grant.New(grant.About{Stream: of, Publisher: k.publisher}, s.cfg.Keyholder, role, epoch)
	if err != nil {
		s.cfg.Log.Warn("key", "stream", of.String(), "err", err)
		return
	}
	number, err := s.cfg.Protocol.AskKey(now, id, pending.Ask)
	if err != nil {
		return // a path is looked for
	}
	if len(k.asks) >= asksAtOnce {
		k.asks = k.asks[1:]
	}
	k.asks = append(k.asks, ask{number, pending, role})
	k.wait = min(max(firstAsk, 2*k.wait), longestAsk)
	k.due = now + k.wait
}

// wayUp is a stream of the protocol that has a host above here, of those that of is sent as.
func (s *Streams) wayUp(of wire.StreamID) (wire.StreamID, bool) {
	for id, f := range s.flows {
		if f.of == of && !f.entry.Publisher && !f.entry.Upstream.ID.IsZero() {
			return id, true
		}
	}
	return wire.StreamID{}, false
}

// KeyGranted takes the answer of a publisher to an ask.
func (s *Streams) KeyGranted(e overlay.KeyGranted) {
	f := s.flows[e.Stream]
	if f == nil || s.keys[f.of] == nil {
		return
	}
	k := s.keys[f.of]
	for _, a := range k.asks {
		if a.number == e.Number {
			s.answered(f.of, k, a, e.Blob)
			return
		}
	}
}

func (s *Streams) answered(of wire.StreamID, k *keyring, a ask, blob []byte) {
	keys, err := a.pending.Answer(blob, s.cfg.HostID)
	var no *grant.RefusedError
	switch {
	case errors.As(err, &no):
		k.asks, k.due = nil, s.cfg.Now()+longestAsk
		s.cfg.Log.Warn("no key", "stream", of.String(), "why", no.Reason)
		s.refused(of, no)
		return
	case err != nil:
		s.cfg.Log.Warn("key", "stream", of.String(), "err", err)
		return
	}
	for _, key := range keys {
		k.ring.Add(key)
	}
	k.asks, k.wait, k.told, k.stale = nil, 0, k.told || a.role == grant.Seals, false
}

// refused ends the subscriptions to a stream whose publisher gives no key.
func (s *Streams) refused(of wire.StreamID, why *grant.RefusedError) {
	for _, f := range s.flows {
		switch {
		case f.of != of:
		case why.PutOut:
			s.cfg.Protocol.PutOut(s.cfg.Now(), f.entry.Info.ID)
		default:
			s.cfg.Protocol.KeyRefused(s.cfg.Now(), f.entry.Info.ID, why.Error())
		}
	}
}

// EpochsChanged takes what the beats say of a stream's epochs.
func (s *Streams) EpochsChanged(e overlay.EpochsChanged) {
	f := s.flows[e.Stream]
	if f == nil || s.keys[f.of] == nil {
		return
	}
	k := s.keys[f.of]
	if k.epochs != e.Epochs {
		k.epochs = e.Epochs
		k.due = min(k.due, s.cfg.Now()+firstAsk)
		s.seekKey(f.of, k)
	}
}

// seals says whether SPAs of the flow look into packets here, which come from another host.
func (f *flow) seals() bool { return f.sealer != nil }

// ringOf is the ring of a stream's keyring, nil if there is none.
func (s *Streams) ringOf(of wire.StreamID) *seal.Ring {
	if k := s.keys[of]; k != nil {
		return k.ring
	}
	return nil
}
