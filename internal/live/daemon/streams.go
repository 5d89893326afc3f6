// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sandstream/internal/fail"
	"sandstream/internal/live/frame"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
	"sandstream/overlayapi/overlayv1"
)

// flow is what the data plane does with a stream here.
type flow struct {
	entry    overlay.ForwardEntry
	of       wire.StreamID // the transport's stream, see parts.go
	path     uint16        // in its packets' headers
	ingress  *pipeline
	branches map[wire.HostID]*pipeline // by child
}

// forward puts an entry of the core into the transport's table, with its SPAs.
func (d *Daemon) forward(id wire.StreamID, e *overlay.ForwardEntry) {
	d.ticks.stale = true
	f := d.flows[id]
	if e == nil {
		if f != nil {
			delete(d.flows, id)
			d.rebuild(f.of, f.entry.Info.Parts)
			f.close()
		}
		return
	}
	of, path := wholeOf(id, &e.Info)
	if f == nil {
		d.spas.start()
		f = &flow{of: of, branches: map[wire.HostID]*pipeline{}}
		d.flows[id] = f
	}
	moved := f.entry.Upstream.ID != e.Upstream.ID
	was, parts := f.of, f.entry.Info.Parts
	f.entry, f.of, f.path = *e, of, path
	// SPAs keep state: those that stay keep running.
	old := f.ingress
	f.ingress = d.spas.keep(old, e.Ingress)
	branches := map[wire.HostID]*pipeline{}
	for _, c := range e.Children {
		p := d.spas.keep(f.branches[c.Host.ID], degrading(c.SPA))
		if p == f.branches[c.Host.ID] {
			delete(f.branches, c.Host.ID)
		}
		if p != nil {
			branches[c.Host.ID] = p
		}
	}
	gone := f.branches
	f.branches = branches
	d.rebuild(of, e.Info.Parts)
	if was != of {
		d.rebuild(was, parts)
	}
	if old != f.ingress {
		old.close()
	}
	for _, p := range gone {
		p.close()
	}
	for _, sub := range e.Local {
		d.local(sub, f, moved)
	}
}

func (f *flow) close() {
	f.ingress.close()
	for _, p := range f.branches {
		p.close()
	}
}

func (f *flow) revive() {
	f.ingress.revive()
	for _, p := range f.branches {
		p.revive()
	}
}

// publication is a stream of a local user.
type publication struct {
	id        wire.StreamID
	parts     []wire.StreamID // of a split stream, the first is id; else id alone
	infos     []wire.StreamInfo
	d         *Daemon
	once      sync.Once
	withdrawn chan struct{}

	packets, bytes atomic.Uint64 // of payload, that the user gave
}

func (p *publication) end() { p.once.Do(func() { close(p.withdrawn) }) }

// plan checks an announcement and gives its stream new ids. What is wrong with it is a
// usage error.
func (d *Daemon) plan(a *overlayv1.Announce) (*publication, error) {
	info, err := infoOf(a)
	if err != nil {
		return nil, fail.Usagef("%w", err)
	}
	p := &publication{d: d, parts: make([]wire.StreamID, max(1, len(a.Split))), withdrawn: make(chan struct{})}
	for i := range p.parts {
		if _, err := rand.Read(p.parts[i][:]); err != nil {
			return nil, fmt.Errorf("stream id: %w", err)
		}
	}
	p.id, info.ID = p.parts[0], p.parts[0]
	p.infos = []wire.StreamInfo{info}
	if len(a.Split) > 0 {
		p.infos = split(info, a.Split, p.parts)
	}
	return p, d.spas.check(p.infos[0].Pipeline)
}

// announce tells the core of a stream.
func (d *Daemon) announce(ctx context.Context, p *publication) (err error) {
	doErr := d.do(ctx, func() {
		for _, i := range p.infos {
			if err = d.node.Announce(d.now(), i); err != nil {
				err = d.outside(err)
				p.forget()
				return
			}
			d.pubs[i.ID] = p
		}
		d.carryOut() // the forwarding entry, before the first packet
	})
	return errors.Join(doErr, err)
}

// outside says where to look if the core refuses something since this host is not
// a member.
func (d *Daemon) outside(err error) error {
	if d.node.State() == overlay.Member {
		return err
	}
	return fmt.Errorf("%w (its log says why; 'overlayd status')", err)
}

// send publishes payloads. It does not wait.
func (p *publication) send(ps []*overlayv1.Payload) error {
	bytes := 0
	out := make([]transport.Payload, len(ps))
	for i, m := range ps {
		out[i].Data = m.Data
		if m.Key {
			out[i].Flags |= frame.Key
		}
		if m.Discardable {
			out[i].Flags |= frame.Discardable
		}
		bytes += len(m.Data)
	}
	if _, err := p.d.tr.Publish(p.id, out); err != nil {
		return err
	}
	p.packets.Add(uint64(len(ps)))
	p.bytes.Add(uint64(bytes))
	return nil
}

// withdraw ends the stream: a last packet says so to those who get it, the core
// tells the others.
func (p *publication) withdraw() {
	_, _ = p.d.tr.Publish(p.id, []transport.Payload{{Flags: frame.End}})
	p.end()
	// A moment for the last packets to leave before the entry is gone.
	time.Sleep(20 * time.Millisecond)
	_ = p.d.do(context.Background(), p.forget)
}

// forget takes the stream out of the core. It runs in the loop.
func (p *publication) forget() {
	for _, id := range p.parts {
		delete(p.d.pubs, id)
		_ = p.d.node.Withdraw(p.d.now(), id) // it may be withdrawn already
	}
}

const (
	sinkQueue   = 8192                   // packets that wait for the orderer: a second of 80 Mbit/s
	queueAtMost = 8192                   // packets that wait for a local reader
	endGrace    = 150 * time.Millisecond // for packets under way when a stream is withdrawn
)

// subscription is what a local user gets of a stream.
type subscription struct {
	order *orderer
	wake  chan struct{}

	contract wire.Contract

	// The loop's.
	status overlay.SubStatus
	told   overlay.ContractState
	over   uint64 // payloads that the reader has heard he did not get
	sink   *transport.Sink
	sinks  *pipeline                            // SPAs at the sink
	info   *wire.StreamInfo                     // nil: no path yet
	of     wire.StreamID                        // the transport's stream
	since  time.Time                            // there is info
	parts  map[overlay.SubID]*overlay.SubStatus // the other parts of a split stream

	mu       sync.Mutex
	queue    []packet
	changes  []*overlayv1.Subscription
	overrun  uint64
	finished bool
	err      error
}

// subscribe asks the core for a stream, by id or by name.
func (d *Daemon) subscribe(ctx context.Context, what string, c wire.Contract) (*subscription, overlay.SubID, error) {
	id, name := wire.StreamID{}, ""
	if parsed, err := wire.ParseStreamID(what); err == nil {
		id = parsed
	} else {
		name = what
	}
	s := &subscription{wake: make(chan struct{}, 1), contract: c}
	s.order = newOrderer(d.tr.Now, s.deliver)
	var sub overlay.SubID
	var err error
	doErr := d.do(ctx, func() {
		if sub, err = d.node.Subscribe(d.now(), id, name, c); err == nil {
			d.subs[sub] = s
		} else {
			err = d.outside(err)
		}
	})
	return s, sub, errors.Join(doErr, err)
}

func (d *Daemon) unsubscribe(id overlay.SubID) {
	_ = d.do(context.Background(), func() {
		_ = d.node.Unsubscribe(d.now(), id)
		d.dropSub(id)
	})
}

// dropSub forgets a subscription. It runs in the loop.
func (d *Daemon) dropSub(id overlay.SubID) {
	s := d.subs[id]
	if s == nil {
		return
	}
	delete(d.subs, id)
	for part := range s.parts {
		delete(d.partOf, part)
		_ = d.node.Unsubscribe(d.now(), part)
	}
	s.order.close()
	if s.sink != nil {
		s.sink.Close()
		s.sink = nil
	}
	s.sinks.close()
	s.sinks = nil
}

// attach makes the local reader of a stream whose entry has come, with all its
// parts. It runs in the loop.
func (s *subscription) attach(d *Daemon) {
	if s.sink != nil || !s.settled() {
		return
	}
	d.ticks.stale = true
	s.sinks = d.spas.keep(nil, atSink(s.info.Pipeline))
	s.sink = d.tr.AddSink(s.of, transport.SinkConfig{Deliver: s.order.take, Queue: sinkQueue, Process: s.sinks.process()})
}

// subChanged takes the core's word on a subscription. It runs in the loop.
func (d *Daemon) subChanged(e overlay.SubChanged) {
	id := e.Sub.ID
	if whole, ok := d.partOf[id]; ok {
		if s := d.subs[whole]; s != nil && s.parts[id] != nil && !e.Ended {
			s.parts[id] = &e.Sub
			s.attach(d)
			d.stateOf(whole, s, false)
		}
		return
	}
	if s := d.subs[id]; s != nil {
		s.status = e.Sub
		if s.info == nil && (e.Sub.State == overlay.Admitted || e.Sub.State == overlay.AtRisk || e.Sub.State == overlay.Violated) && !e.Ended {
			return // its forwarding entry comes next, and says whether there are other parts
		}
		d.stateOf(id, s, e.Ended)
	}
}

// stateOf tells the reader where his subscription stands.
func (d *Daemon) stateOf(id overlay.SubID, s *subscription, ended bool) {
	u := s.whole(s.status)
	if len(s.parts) > 0 && !ended && u.State == s.told && u.State == overlay.Withdrawn {
		return // a part follows the other
	}
	if s.told != u.State {
		d.log.Info("contract", "subscription", id, "stream", u.Stream.String(), "name", u.Name,
			"state", u.State.String(), "reason", u.Reason, "degraded", u.Degraded)
	}
	s.told = u.State
	m := d.subOf(&u)
	d.tell(&overlayv1.WatchResponse{Kind: "subscription", Subscription: m})
	if u.State == overlay.Withdrawn && !ended {
		// Packets may be under way: they come before the word of the end.
		time.AfterFunc(endGrace, func() {
			s.order.flush()
			d.loop.post(func() { // the last counts are the loop's to read
				s.change(d.subOf(&u))
				s.finish(nil)
			})
		})
		return
	}
	s.change(m)
	switch {
	case ended && d.leaving.Load():
		s.finish(errStopping)
		d.dropSub(id)
	case ended:
		s.finish(errors.New("the subscription has ended"))
		d.dropSub(id)
	case u.State == overlay.Refused:
		s.finish(nil)
	}
}

// tellOverrun tells the reader of payloads that he was too slow to get.
func (d *Daemon) tellOverrun(s *subscription) {
	if s.told == overlay.Withdrawn || s.told == overlay.Refused {
		return // the word of the end is under way
	}
	u := s.whole(s.status)
	if m := d.subOf(&u); m.Delivery.Overrun > s.over {
		s.over = m.Delivery.Overrun
		s.change(m)
	}
}

// deliver is the orderer's output. Who does not read loses the oldest.
func (s *subscription) deliver(ps []packet) {
	s.mu.Lock()
	s.queue = append(s.queue, ps...)
	if over := len(s.queue) - queueAtMost; over > 0 {
		s.overrun += uint64(over)
		s.queue = append(s.queue[:0:0], s.queue[over:]...)
	}
	s.mu.Unlock()
	s.poke()
}

// change keeps the latest changes for the reader.
func (s *subscription) change(m *overlayv1.Subscription) {
	s.mu.Lock()
	if n := len(s.changes); n > 0 && (s.changes[n-1].State == m.State || n >= 64) {
		s.changes[n-1] = m
	} else {
		s.changes = append(s.changes, m)
	}
	s.mu.Unlock()
	s.poke()
}

// finish says that nothing more comes; err is nil if the last change says why.
func (s *subscription) finish(err error) {
	s.mu.Lock()
	if !s.finished {
		s.finished, s.err = true, err
	}
	s.mu.Unlock()
	s.poke()
}

func (s *subscription) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// next waits for something to tell the reader. done is true with the last of it.
func (s *subscription) next(ctx context.Context) (ps []packet, changes []*overlayv1.Subscription, done bool, err error) {
	for {
		s.mu.Lock()
		ps, changes, done, err = s.queue, s.changes, s.finished, s.err
		s.queue, s.changes = nil, nil
		s.mu.Unlock()
		if len(ps) > 0 || len(changes) > 0 || done {
			return ps, changes, done, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, nil, true, ctx.Err()
		}
	}
}

func (s *subscription) overruns() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overrun
}
