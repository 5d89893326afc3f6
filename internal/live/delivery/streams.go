// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"log/slog"
	"math"
	"time"

	"sandstream/internal/live/grant"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// ErrStopping is what users are told whose host stops.
var ErrStopping = errors.New("the daemon is stopping")

// Protocol is what is asked of the overlay's protocol, in the loop. *overlay.Node
// has it.
type Protocol interface {
	State() overlay.MemberState

	Announce(now wire.Time, i wire.StreamInfo) error
	// Withdraw ends a stream; BreakOff does whose publishing program is gone.
	Withdraw(now wire.Time, id wire.StreamID) error
	BreakOff(now wire.Time, id wire.StreamID) error
	// SubscribeAvoiding subscribes to a stream, by id or by name, over other hosts
	// than those of avoid where that is possible.
	SubscribeAvoiding(now wire.Time, id wire.StreamID, name string, c wire.Contract, avoid []wire.HostID) (overlay.SubID, error)
	Unsubscribe(now wire.Time, id overlay.SubID) error

	// AskKey, GrantKey, SetEpochs, KeyRefused and PutOut carry what is said about keys.
	AskKey(now wire.Time, id wire.StreamID, blob []byte) (number uint64, err error)
	GrantKey(now wire.Time, id wire.StreamID, number uint64, blob []byte)
	SetEpochs(now wire.Time, id wire.StreamID, e wire.Epochs)
	KeyRefused(now wire.Time, id wire.StreamID, why string)
	PutOut(now wire.Time, id wire.StreamID)

	// Measured, Thinned and Residence tell what the data plane has measured.
	Measured(now wire.Time, id overlay.SubID, r overlay.Report)
	Thinned(now wire.Time, id wire.StreamID, spa string, in, out uint64)
	Residence(now wire.Time, id wire.StreamID, us uint32)
}

// Config is what Streams need of the host around them.
type Config struct {
	Transport *transport.Transport
	Protocol  Protocol
	Self      wire.Peer
	Keyholder grant.Self // this host, as publishers and readers of streams know it
	// NameIn is the name in a host's certificate, "" if this overlay's CA did not sign it.
	NameIn func(*x509.Certificate) string
	Log    *slog.Logger
	Now    func() wire.Time // the protocol's clock
	// Do runs f in the loop, with what the protocol wants done after it, and waits for
	// both. Post runs f in the loop, later.
	Do   func(ctx context.Context, f func()) error
	Post func(f func())
	// Changed is called in the loop for each change of a subscription.
	Changed func(*Change)
}

// HostID is the id of the host with a key.
func (*Config) HostID(key ed25519.PublicKey) ([16]byte, error) {
	id, err := transport.IDOf(key)
	return id, err
}

// Streams are those that pass this host, and what local users have of them.
type Streams struct {
	cfg     Config
	spas    *spas
	flows   map[wire.StreamID]*flow
	subs    map[overlay.SubID]*subscription
	partOf  map[overlay.SubID]overlay.SubID // subscriptions to parts of a split stream
	pubs    map[wire.StreamID]*Publication
	keys    map[wire.StreamID]*keyring // by the transport's stream
	ticks   ticks
	leaving bool // the host hands its ids over
}

// New makes the streams of a host, none yet. Close them in the end.
func New(cfg Config) *Streams {
	return &Streams{
		cfg: cfg, spas: newSPAs(cfg.Log), flows: map[wire.StreamID]*flow{}, subs: map[overlay.SubID]*subscription{},
		partOf: map[overlay.SubID]overlay.SubID{}, pubs: map[wire.StreamID]*Publication{},
		keys: map[wire.StreamID]*keyring{},
	}
}

// Leave says that subscriptions which end from now on do so because the host
// leaves.
func (s *Streams) Leave() { s.leaving = true }

// End tells local users that the host stops, and takes all streams out of the
// transport's table.
func (s *Streams) End() {
	for _, u := range s.subs {
		u.reader.finish(ErrStopping)
	}
	for _, p := range s.pubs {
		p.end(ErrStopping)
	}
	for id := range s.flows {
		s.Forward(id, nil)
	}
}

// Close frees the engine, after the loop and the transport have ended.
func (s *Streams) Close() { s.spas.close() }

// Engine is what runs the SPAs, and how they do. It may be called from anywhere.
func (s *Streams) Engine() Engine { return s.spas.status() }

// Measure tells the protocol what was delivered since it was last told, and brings
// aborted SPAs back.
func (s *Streams) Measure() {
	for id, u := range s.subs {
		r := u.order.measure()
		u.sinks.revive()
		s.attach(u) // if its parts were waited for long enough
		if u.sink != nil {
			s.measured(id, u, r)
			s.tellOverrun(u)
		}
	}
	s.seekKeys()
	for _, p := range s.pubs {
		s.turnEpoch(p)
	}
	now := s.cfg.Now()
	for id, f := range s.flows {
		f.revive()
		for _, c := range f.entry.Children {
			if p := f.branches[c.Host.ID]; p != nil {
				in, out := p.passed()
				s.cfg.Protocol.Thinned(now, id, c.SPA, in, out)
			}
		}
	}
	if len(s.flows) > 0 {
		s.ticks.stale = true // an SPA may have gone out of service or come back
		s.reside(now)
	}
}

// reside tells the protocol how long packets stay on this host.
func (s *Streams) reside(now wire.Time) {
	type leg struct {
		of   wire.StreamID
		path uint16
	}
	stays := map[leg]time.Duration{}
	for _, st := range s.cfg.Transport.Streams() {
		for _, c := range st.Children {
			l := leg{st.ID, c.Path}
			stays[l] = max(stays[l], c.Stay)
		}
	}
	for id, f := range s.flows {
		if stay := stays[leg{f.of, f.path}]; stay > 0 {
			s.cfg.Protocol.Residence(now, id, uint32(min(stay.Microseconds(), math.MaxUint32)))
		}
	}
}

// Counters adds the counters of the SPAs that a stream passes here to m: those of
// branches as "child.spa.counter", of others as "spa.counter".
func (s *Streams) Counters(id wire.StreamID, local []overlay.SubID, m map[string]uint64) {
	for _, sub := range local {
		if u := s.subs[sub]; u != nil {
			u.sinks.counters("", m)
		}
	}
	if f := s.flows[id]; f != nil {
		f.ingress.counters("", m)
		for h, p := range f.branches {
			p.counters(h.String()+".", m)
		}
	}
}
