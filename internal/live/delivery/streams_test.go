// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testHost is the streams of one host whose protocol is the test: a real transport, a
// loop, and no other host.
type testHost struct {
	*Streams
	tr      *transport.Transport
	proto   *protocol
	changed []Change

	mu      sync.Mutex // held by who is in the loop
	pending []func()   // to be done in the loop after what runs, as effects of the protocol are
}

func newTestHost(t *testing.T) *testHost {
	t.Helper()
	id, err := transport.LoadOrCreateIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tr, err := transport.New(transport.Config{
		Identity: id, Listen: netip.MustParseAddrPort("127.0.0.1:0"), Token: []byte("0123456789abcdef0123456789abcdef"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Start(deaf{}); err != nil {
		t.Fatal(err)
	}
	h := &testHost{tr: tr}
	h.proto = &protocol{h: h, streams: map[wire.StreamID]wire.StreamInfo{}, subs: map[overlay.SubID]wire.StreamID{}}
	begin := time.Now()
	h.Streams = New(Config{
		Transport: tr, Protocol: h.proto, Self: tr.Self(), Keyholder: tr.Keyholder(), Log: slog.New(slog.DiscardHandler),
		Now:     func() wire.Time { return time.Since(begin) },
		Do:      h.do,
		Post:    func(f func()) { go func() { _ = h.do(context.Background(), f) }() },
		Changed: func(c *Change) { h.changed = append(h.changed, *c) },
	})
	t.Cleanup(func() {
		_ = h.do(context.Background(), h.End)
		tr.Close()
		h.Close()
	})
	return h
}

func (h *testHost) do(_ context.Context, f func()) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	for len(h.pending) > 0 {
		f, h.pending = h.pending[0], h.pending[1:]
		f()
	}
	return nil
}

// turns calls Tick when it wants to be called, until the test ends.
func (h *testHost) turns(t *testing.T) {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			var next time.Duration
			_ = h.do(context.Background(), func() { next = h.Tick() })
			select {
			case <-done:
				return
			case <-time.After(min(next, 10*time.Millisecond)):
			}
		}
	}()
	t.Cleanup(func() { close(done); <-ended })
}

// deaf hears no control messages.
type deaf struct{}

func (deaf) Control(wire.Peer, []byte)    {}
func (deaf) Unreachable(wire.Peer, error) {}
func (deaf) Twin(string, bool)            {}

// protocol admits all who subscribe to what is published here, and remembers what it
// is told.
type protocol struct {
	h       *testHost
	streams map[wire.StreamID]wire.StreamInfo
	subs    map[overlay.SubID]wire.StreamID
	last    overlay.SubID
	state   overlay.MemberState
	broken  []wire.StreamID
	refuse  error // of Announce and Subscribe

	measured map[overlay.SubID]overlay.Report
	avoided  []wire.HostID
}

func (p *protocol) State() overlay.MemberState { return p.state }

func (p *protocol) Announce(_ wire.Time, i wire.StreamInfo) error {
	if p.refuse != nil {
		return p.refuse
	}
	p.streams[i.ID] = i
	p.forward(i.ID)
	return nil
}

func (p *protocol) Withdraw(_ wire.Time, id wire.StreamID) error {
	delete(p.streams, id)
	p.h.pending = append(p.h.pending, func() { p.h.Forward(id, nil) })
	return nil
}

func (p *protocol) BreakOff(now wire.Time, id wire.StreamID) error {
	p.broken = append(p.broken, id)
	return p.Withdraw(now, id)
}

func (p *protocol) SubscribeAvoiding(_ wire.Time, id wire.StreamID, name string, _ wire.Contract, avoid []wire.HostID) (overlay.SubID, error) {
	if p.refuse != nil {
		return 0, p.refuse
	}
	p.avoided = append(p.avoided, avoid...)
	for _, i := range p.streams {
		if name != "" && i.Name == name {
			id = i.ID
		}
	}
	p.last++
	p.subs[p.last] = id
	p.changed(p.last, overlay.Resolving, false)
	if _, ok := p.streams[id]; ok {
		p.changed(p.last, overlay.Admitted, false)
		p.forward(id)
	}
	return p.last, nil
}

func (p *protocol) Unsubscribe(_ wire.Time, id overlay.SubID) error {
	delete(p.subs, id)
	return nil
}

func (p *protocol) changed(sub overlay.SubID, st overlay.ContractState, ended bool) {
	e := overlay.SubChanged{Sub: overlay.SubStatus{ID: sub, Stream: p.subs[sub], State: st}, Ended: ended}
	p.h.pending = append(p.h.pending, func() { p.h.SubChanged(e) })
}

// forward puts a published stream's entry in place.
func (p *protocol) forward(id wire.StreamID) {
	i := p.streams[id]
	e := &overlay.ForwardEntry{Publisher: true, Info: i}
	for _, st := range i.Pipeline {
		if st.Place == wire.AtSource {
			e.Ingress = append(e.Ingress, st)
		}
	}
	for sub := range p.subs {
		if p.subs[sub] == id {
			e.Local = append(e.Local, sub)
		}
	}
	p.h.pending = append(p.h.pending, func() { p.h.Forward(id, e) })
}

func (p *protocol) Measured(_ wire.Time, id overlay.SubID, r overlay.Report) {
	if p.measured == nil {
		p.measured = map[overlay.SubID]overlay.Report{}
	}
	p.measured[id] = r
}

func (*protocol) AskKey(wire.Time, wire.StreamID, []byte) (uint64, error) {
	return 0, errors.New("no host above")
}
func (*protocol) GrantKey(wire.Time, wire.StreamID, uint64, []byte)          {}
func (*protocol) SetEpochs(wire.Time, wire.StreamID, wire.Epochs)            {}
func (*protocol) KeyRefused(wire.Time, wire.StreamID, string)                {}
func (*protocol) PutOut(wire.Time, wire.StreamID)                            {}
func (p *protocol) Thinned(wire.Time, wire.StreamID, string, uint64, uint64) {}
func (p *protocol) Residence(wire.Time, wire.StreamID, uint32)               {}
