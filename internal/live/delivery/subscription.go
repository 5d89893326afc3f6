// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"time"

	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// SinkQueue is how many packets wait for an orderer: a second of 80 Mbit/s.
const SinkQueue = 8192

const endGrace = 150 * time.Millisecond // for packets under way when a stream is withdrawn

// subscription is what a local user gets of a stream, as the loop sees it.
type subscription struct {
	reader   Reader
	order    *orderer
	contract wire.Contract

	status overlay.SubStatus
	told   overlay.ContractState
	over   uint64 // payloads that the reader has heard he did not get

	sink  *transport.Sink
	sinks *pipeline                            // SPAs at the sink
	info  *wire.StreamInfo                     // nil: no path yet
	of    wire.StreamID                        // the transport's stream
	since time.Time                            // there is info
	parts map[overlay.SubID]*overlay.SubStatus // the other parts of a split stream
}

func newSubscription(s *Streams, c wire.Contract) *subscription {
	u := &subscription{reader: Reader{s: s, wake: make(chan struct{}, 1)}, contract: c}
	u.order = newOrderer(s.cfg.Transport.Now, u.reader.deliver)
	return u
}

// Subscribe asks the protocol for a stream, by id or by name. It may be called from
// anywhere. Close the reader in the end.
func (s *Streams) Subscribe(ctx context.Context, what string, c wire.Contract) (*Reader, error) {
	id, name := wire.StreamID{}, ""
	if parsed, err := wire.ParseStreamID(what); err == nil {
		id = parsed
	} else {
		name = what
	}
	u := newSubscription(s, c)
	var err error
	doErr := s.cfg.Do(ctx, func() {
		if u.reader.id, err = s.cfg.Protocol.SubscribeAvoiding(s.cfg.Now(), id, name, c, nil); err == nil {
			s.subs[u.reader.id] = u
		} else {
			err = s.outside(err)
		}
	})
	if err := errors.Join(doErr, err); err != nil {
		return nil, err
	}
	return &u.reader, nil
}

func (s *Streams) unsubscribe(id overlay.SubID) {
	_ = s.cfg.Do(context.Background(), func() {
		_ = s.cfg.Protocol.Unsubscribe(s.cfg.Now(), id)
		s.drop(id)
	})
}

// drop forgets a subscription.
func (s *Streams) drop(id overlay.SubID) {
	u := s.subs[id]
	if u == nil {
		return
	}
	delete(s.subs, id)
	for part := range u.parts {
		delete(s.partOf, part)
		_ = s.cfg.Protocol.Unsubscribe(s.cfg.Now(), part)
	}
	u.order.close()
	if u.sink != nil {
		u.sink.Close()
		u.sink = nil
	}
	u.sinks.close()
	u.sinks = nil
}

// attach makes the local reader of a stream whose entry has come, with all its
// parts.
func (s *Streams) attach(u *subscription) {
	if u.sink != nil || !u.settled() {
		return
	}
	s.ticks.stale = true
	u.sinks = s.spas.keep(nil, atSink(u.info.Pipeline))
	k := s.keysOf(u.of, u.info.Publisher.ID)
	u.sink = s.cfg.Transport.AddSink(u.of, transport.SinkConfig{Deliver: u.order.take, Queue: SinkQueue, Keys: k.ring, Process: u.sinks.process()})
	s.seekKey(u.of, k)
}

// local gives a flow to a local subscription: to its reader, who waits until
// all parts have a path.
func (s *Streams) local(sub overlay.SubID, f *flow, moved bool) {
	if whole, ok := s.partOf[sub]; ok {
		sub = whole
	}
	u := s.subs[sub]
	if u == nil {
		return
	}
	if moved {
		u.order.above()
	}
	if u.info == nil {
		i := f.entry.Info
		u.info, u.of, u.since = &i, f.of, time.Now()
		s.subscribeParts(sub, u, f)
		s.stateOf(sub, u, false)
	}
	s.attach(u)
}

// SubChanged takes the protocol's word on a subscription.
func (s *Streams) SubChanged(e overlay.SubChanged) {
	id := e.Sub.ID
	if whole, ok := s.partOf[id]; ok {
		if u := s.subs[whole]; u != nil && u.parts[id] != nil && !e.Ended {
			u.parts[id] = &e.Sub
			s.attach(u)
			s.stateOf(whole, u, false)
		}
		return
	}
	if u := s.subs[id]; u != nil {
		u.status = e.Sub
		if u.info == nil && (e.Sub.State == overlay.Admitted || e.Sub.State == overlay.AtRisk || e.Sub.State == overlay.Violated) && !e.Ended {
			return // its forwarding entry comes next, and says whether there are other parts
		}
		s.stateOf(id, u, e.Ended)
	}
}

// stateOf tells the reader where his subscription stands.
func (s *Streams) stateOf(id overlay.SubID, u *subscription, ended bool) {
	st := u.whole(u.status)
	if len(u.parts) > 0 && !ended && st.State == u.told && st.State.Ended() {
		return // a part follows the other
	}
	if u.told != st.State {
		s.cfg.Log.Info("contract", "subscription", id, "stream", st.Stream.String(), "name", st.Name,
			"state", st.State.String(), "reason", st.Reason, "degraded", st.Degraded)
	}
	u.told = st.State
	c := s.changeOf(&st)
	s.cfg.Changed(c)
	if st.State.Ended() && !ended {
		// Packets may be under way: they come before the word of the end.
		time.AfterFunc(endGrace, func() {
			u.order.flush()
			s.cfg.Post(func() { // the last counts are the loop's to read
				u.reader.change(s.changeOf(&st))
				u.reader.finish(nil)
			})
		})
		return
	}
	u.reader.change(c)
	switch {
	case ended && s.leaving:
		u.reader.finish(ErrStopping)
		s.drop(id)
	case ended:
		u.reader.finish(errors.New("the subscription has ended"))
		s.drop(id)
	case st.State == overlay.Refused:
		u.reader.finish(nil)
	}
}

func (s *Streams) changeOf(st *overlay.SubStatus) *Change {
	return &Change{SubStatus: *st, Delivered: s.Delivered(st.ID)}
}

// tellOverrun tells the reader of payloads that he was too slow to get.
func (s *Streams) tellOverrun(u *subscription) {
	if u.told.Ended() || u.told == overlay.Refused {
		return // the word of the end is under way
	}
	st := u.whole(u.status)
	if c := s.changeOf(&st); c.Delivered.Overrun > u.over {
		u.over = c.Delivered.Overrun
		u.reader.change(c)
	}
}

// Delivered counts what a subscription's reader got since the beginning.
func (s *Streams) Delivered(id overlay.SubID) Counts {
	u := s.subs[id]
	if u == nil {
		return Counts{}
	}
	c := u.order.sum()
	c.Overrun = u.reader.overruns()
	if u.sink != nil {
		// The orderer misses these numbers too, and takes them for lost.
		st := u.sink.Stats()
		c.Forged, c.NoKey = st.Forged, st.NoKey
		here := min(st.Dropped, c.Lost)
		c.Overrun += here
		c.Lost -= here
	}
	return c
}
