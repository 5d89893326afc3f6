// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// Publication is a stream of a local user. Its methods may be called from anywhere.
type Publication struct {
	ID wire.StreamID

	s     *Streams
	parts []wire.StreamID   // of a split stream, the first is ID; else ID alone
	infos []wire.StreamInfo // of each part

	once      sync.Once
	withdrawn chan struct{}
	why       error // set before withdrawn is closed

	book  *book
	admit func(Asker) error // nil: whoever knows the stream's id
	class classifier

	packets, bytes atomic.Uint64 // of payload, that the user gave
}

// AdmitBy has f decide who is given the stream's key: nil admits, an error says why not,
// and the host that asks is told. Without it whoever knows the stream's id is admitted,
// and of a public stream that is every member. It is called before Announce; f runs in the
// loop.
func (p *Publication) AdmitBy(f func(Asker) error) { p.admit = f }

// Plan gives a stream its id, or by split's weights one for each of its parts, and
// checks its SPAs: what is wrong with them is a usage error. The stream is nobody's
// yet, until Announce. Plan may be called from anywhere.
func (s *Streams) Plan(info wire.StreamInfo, weights []uint32) (*Publication, error) {
	p := &Publication{s: s, parts: make([]wire.StreamID, max(1, len(weights))), withdrawn: make(chan struct{})}
	for i := range p.parts {
		if _, err := rand.Read(p.parts[i][:]); err != nil {
			return nil, fmt.Errorf("stream id: %w", err)
		}
	}
	p.ID, info.ID = p.parts[0], p.parts[0]
	var err error
	if p.book, err = newBook(p.ID, s.cfg.Self.ID, time.Now()); err != nil {
		return nil, err
	}
	p.infos = []wire.StreamInfo{info}
	if len(weights) > 0 {
		p.infos = split(info, weights, p.parts)
	}
	return p, s.spas.check(p.infos[0].Pipeline)
}

// Announce tells the protocol of the stream. When it returns, the forwarding entry is
// there, and packets can be sent.
func (p *Publication) Announce(ctx context.Context) (err error) {
	doErr := p.s.cfg.Do(ctx, func() {
		for _, i := range p.infos {
			if err = p.s.cfg.Protocol.Announce(p.s.cfg.Now(), i); err != nil {
				err = p.s.outside(err)
				p.forget(p.s.cfg.Protocol.Withdraw)
				return
			}
			p.s.pubs[i.ID] = p
		}
		p.s.turnEpoch(p)
	})
	return errors.Join(doErr, err)
}

// outside says where to look if the protocol refuses something since this host is
// not a member.
func (s *Streams) outside(err error) error {
	if s.cfg.Protocol.State() == overlay.Member {
		return err
	}
	return fmt.Errorf("%w (its log says why; 'overlayd status')", err)
}

// Send publishes payloads. It does not wait.
func (p *Publication) Send(ps []transport.Payload) error {
	p.class.mark(ps)
	if _, err := p.s.cfg.Transport.Publish(p.ID, ps); err != nil {
		return err
	}
	bytes := 0
	for i := range ps {
		bytes += len(ps[i].Data)
	}
	p.packets.Add(uint64(len(ps)))
	p.bytes.Add(uint64(bytes))
	return nil
}

// Sent counts the payloads that were sent, and their bytes.
func (p *Publication) Sent() (packets, bytes uint64) { return p.packets.Load(), p.bytes.Load() }

// Withdrawn is closed when the stream has ended, and Why says why then: nil if
// somebody asked for it, else ErrStopping.
func (p *Publication) Withdrawn() <-chan struct{} { return p.withdrawn }

// Why is for when Withdrawn is closed.
func (p *Publication) Why() error { return p.why }

// End tells the publisher that his stream has ended.
func (p *Publication) End() { p.end(nil) }

func (p *Publication) end(why error) {
	p.once.Do(func() {
		p.why = why
		close(p.withdrawn)
	})
}

// Withdraw ends the stream: a last packet says so to those who get it, the protocol
// tells all how it ended.
func (p *Publication) Withdraw() { p.close(p.s.cfg.Protocol.Withdraw) }

// BreakOff ends the stream of a program that is gone without having ended it.
func (p *Publication) BreakOff() { p.close(p.s.cfg.Protocol.BreakOff) }

func (p *Publication) close(end func(wire.Time, wire.StreamID) error) {
	_, _ = p.s.cfg.Transport.Publish(p.ID, []transport.Payload{{Flags: frame.End}})
	p.End()
	// A moment for the last packets to leave before the entry is gone.
	time.Sleep(20 * time.Millisecond)
	_ = p.s.cfg.Do(context.Background(), func() { p.forget(end) })
}

// forget takes the stream out of the protocol. It runs in the loop.
func (p *Publication) forget(end func(wire.Time, wire.StreamID) error) {
	for _, id := range p.parts {
		delete(p.s.pubs, id)
		_ = end(p.s.cfg.Now(), id) // it may be withdrawn already
	}
}

// Published is the local user's stream of that id, nil if there is none.
func (s *Streams) Published(id wire.StreamID) *Publication { return s.pubs[id] }
