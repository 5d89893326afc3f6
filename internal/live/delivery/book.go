// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"sandstream/internal/fail"
	"sandstream/internal/live/grant"
	"sandstream/internal/live/seal"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// book is a publisher's side of a stream's key: who has it, and of which epoch. It is the
// loop's.
type book struct {
	sealer   *seal.Sealer
	now      seal.Key
	next     seal.Key // Epoch 0: none is coming
	switchAt wire.Time
	holders  map[wire.HostID]*Holder
	out      map[wire.HostID]bool // put out
	asks     int                  // in the present second
	second   wire.Time
}

// Holder is a host that has a stream's key.
type Holder struct {
	Host  wire.HostID
	Name  string    // of its certificate, "" if no CA signed one
	Since time.Time // it was first given a key
	Epoch uint32    // of the newest key it was given
	Seals bool      // a stage of the pipeline runs there, and seals what it makes
}

// Asker is a host that asks a publisher for its stream's key.
type Asker struct {
	Host  wire.HostID
	Name  string
	Seals bool
}

const (
	// epochGrace is how long hosts have to fetch the key of the next epoch. Who was put
	// out reads on for as long.
	epochGrace = 2 * time.Second
	// sealedAtMost is after how many packets there is a new epoch: for one key of AES-GCM
	// far below what RFC 9001, 6.6, and its source allow for packets of this size.
	sealedAtMost = 1 << 28
	asksASecond  = 200  // that a publisher answers: each costs it a fraction of a millisecond
	maxHolders   = 4096 // of a stream's key
	maxOut       = 4096 // hosts that are put out
)

// newBook makes the first key of a stream. Epochs begin at the seconds since 1970, so that
// a publisher that begins anew is never behind itself.
func newBook(stream wire.StreamID, self wire.HostID, now time.Time) (*book, error) {
	b := &book{
		sealer: seal.NewSealer(stream, self, 0), now: seal.NewKey(seal.Preferred(), uint32(now.Unix())),
		holders: map[wire.HostID]*Holder{}, out: map[wire.HostID]bool{},
	}
	return b, b.sealer.Use(b.now)
}

// keys are those that a host is given now.
func (b *book) keys() []seal.Key {
	if b.next.Epoch == 0 {
		return []seal.Key{b.now}
	}
	return []seal.Key{b.now, b.next}
}

func (b *book) epochs() wire.Epochs { return wire.Epochs{Epoch: b.now.Epoch, Next: b.next.Epoch} }

// newest is the epoch that all holders should have.
func (b *book) newest() uint32 { return max(b.now.Epoch, b.next.Epoch) }

// rotate begins a new epoch, in a while. One that is coming already, which a host that is
// put out may have, is never used.
func (b *book) rotate(now wire.Time) {
	b.next = seal.NewKey(b.now.Suite, b.newest()+1)
	b.switchAt = now + epochGrace
}

// due switches to the next epoch when its time has come, or when all have its key. It says
// whether it did.
func (b *book) due(now wire.Time) bool {
	if b.next.Epoch == 0 {
		return false
	}
	if now < b.switchAt {
		for _, h := range b.holders {
			if h.Epoch < b.next.Epoch {
				return false
			}
		}
	}
	if b.sealer.Use(b.next) != nil {
		return false // not possible: its suite is ours
	}
	b.now, b.next = b.next, seal.Key{}
	for id, h := range b.holders {
		if h.Epoch < b.now.Epoch {
			delete(b.holders, id) // it is gone, or will ask
		}
	}
	return true
}

// KeyAsked takes a host's ask for the key of a local stream.
func (s *Streams) KeyAsked(e overlay.KeyAsked) {
	p := s.pubs[e.Stream]
	if p == nil {
		return
	}
	b, now := p.book, s.cfg.Now()
	if second := now.Truncate(time.Second); second != b.second {
		b.second, b.asks = second, 0
	}
	if b.asks++; b.asks > asksASecond {
		return // who is not answered asks again
	}
	about := grant.About{Stream: p.ID, Publisher: s.cfg.Self.ID}
	a, err := grant.Read(about, e.Blob, s.cfg.HostID)
	if err != nil {
		s.cfg.Log.Debug("ask for a key", "stream", p.ID.String(), "err", err)
		return
	}
	answer, err := s.answer(p, a)
	if err != nil {
		s.cfg.Log.Warn("key", "stream", p.ID.String(), "err", err)
		return
	}
	s.cfg.Protocol.GrantKey(now, e.Stream, e.Number, answer)
	s.turnEpoch(p)
}

// answer decides on an ask.
func (s *Streams) answer(p *Publication, a *grant.Ask) ([]byte, error) {
	b, who := p.book, Asker{Host: a.Host, Seals: a.Role == grant.Seals, Name: s.nameIn(a.Cert)}
	h := b.holders[who.Host]
	var no error
	switch {
	case b.out[who.Host]:
		s.cfg.Log.Info("key refused", "stream", p.ID.String(), "to", who.Host.Hex(), "why", "it was put out")
		return a.PutOut(s.cfg.Keyholder), nil
	case h == nil && len(b.holders) >= maxHolders:
		no = fmt.Errorf("%d hosts have the key, and no more may", len(b.holders))
	case p.admit != nil:
		no = p.admit(who)
	}
	if no != nil {
		s.cfg.Log.Info("key refused", "stream", p.ID.String(), "to", who.Host.Hex(), "why", no)
		return a.Refuse(s.cfg.Keyholder, no.Error()), nil
	}
	if h == nil {
		h = &Holder{Host: who.Host, Since: time.Now()}
		b.holders[who.Host] = h
		s.cfg.Log.Info("key granted", "stream", p.ID.String(), "to", who.Host.Hex(), "name", who.Name, "epoch", b.newest(), "seals", who.Seals)
	}
	h.Epoch, h.Seals, h.Name = b.newest(), h.Seals || who.Seals, who.Name
	return a.Grant(s.cfg.Keyholder, b.keys()...)
}

// nameIn is the name in a certificate that this overlay's CA signed, else "".
func (s *Streams) nameIn(c *x509.Certificate) string {
	if c == nil || s.cfg.NameIn == nil {
		return ""
	}
	return s.cfg.NameIn(c)
}

// turnEpoch does what is due of a publication's epochs, and tells those who need to know.
func (s *Streams) turnEpoch(p *Publication) {
	now := s.cfg.Now()
	if p.book.next.Epoch == 0 && p.book.sealer.Sealed() > sealedAtMost {
		p.book.rotate(now)
	}
	if p.book.due(now) {
		s.cfg.Log.Info("new epoch", "stream", p.ID.String(), "epoch", p.book.now.Epoch)
	}
	for _, id := range p.parts {
		s.cfg.Protocol.SetEpochs(now, id, p.book.epochs())
	}
	s.shareOwn(p)
}

// Holders lists who has the key of a local stream, by host. It runs in the loop.
func (s *Streams) Holders(stream wire.StreamID) ([]Holder, error) {
	p, err := s.published(stream)
	if err != nil {
		return nil, err
	}
	v := make([]Holder, 0, len(p.book.holders))
	for _, h := range p.book.holders {
		v = append(v, *h)
	}
	slices.SortFunc(v, func(a, b Holder) int { return slices.Compare(a.Host[:], b.Host[:]) })
	return v, nil
}

// Evict puts a host out of a local stream: it gets no key any more, and of the epoch that
// begins at most epochGrace later it reads nothing. It runs in the loop.
func (s *Streams) Evict(stream wire.StreamID, host wire.HostID) error {
	p, err := s.published(stream)
	if err != nil {
		return err
	}
	b := p.book
	switch {
	case host == s.cfg.Self.ID:
		return fail.Usagef("host %s publishes the stream: it cannot be put out; end the stream", host.Hex())
	case b.out[host]:
		return nil
	case len(b.out) >= maxOut:
		return fmt.Errorf("%d hosts were put out of the stream, and no more may be: publish it anew", maxOut)
	}
	b.out[host] = true
	delete(b.holders, host)
	b.rotate(s.cfg.Now())
	s.turnEpoch(p)
	return nil
}

// published finds a local publication by the id of any of its parts.
func (s *Streams) published(stream wire.StreamID) (*Publication, error) {
	p := s.pubs[stream]
	if p == nil {
		return nil, fail.Usagef("no stream %s is published on this host: ask the daemon of its publisher", stream)
	}
	return p, nil
}
