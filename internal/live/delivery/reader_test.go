// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// Who does not read loses the oldest packets, and is told only the latest of a state.
func TestReaderIsBounded(t *testing.T) {
	r := &Reader{wake: make(chan struct{}, 1)}
	for n := range queueAtMost + 10 {
		r.deliver([]Packet{{at: uint64(n)}})
	}
	for n := range 3 * changesAtMost {
		r.change(&Change{SubStatus: overlay.SubStatus{State: overlay.Admitted, Swaps: n}})
		r.change(&Change{SubStatus: overlay.SubStatus{State: overlay.Violated, Swaps: n}})
		r.change(&Change{SubStatus: overlay.SubStatus{State: overlay.Violated, Swaps: n + 1}})
	}
	r.finish(ErrStopping)
	r.finish(nil)
	ps, changes, done, err := r.Next(t.Context())
	if len(ps) != queueAtMost || ps[0].at != 10 || r.overruns() != 10 {
		t.Errorf("%d packets from %d on, %d lost", len(ps), ps[0].at, r.overruns())
	}
	if n := len(changes); n != changesAtMost || changes[n-1].Swaps != 3*changesAtMost {
		t.Errorf("%d changes, the last %+v", n, changes[n-1])
	}
	for i := 1; i < len(changes)-1; i++ {
		if changes[i].State == changes[i-1].State {
			t.Errorf("change %d repeats %v", i, changes[i].State)
		}
	}
	if !done || !errors.Is(err, ErrStopping) {
		t.Errorf("the end: %v, %v: not the first word", done, err)
	}
}

func TestNextGivesUpWithItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := &Reader{wake: make(chan struct{}, 1)}
	if _, _, done, err := r.Next(ctx); !done || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", done, err)
	}
}

// What a host refuses that is no member yet says where to look, and leaves nothing.
func TestRefusedOutside(t *testing.T) {
	h := newTestHost(t)
	h.proto.refuse = errors.New("not a member")
	for _, c := range []struct {
		state overlay.MemberState
		look  bool
	}{{overlay.Joining, true}, {overlay.Member, false}} {
		h.proto.state = c.state
		p, err := h.Plan(wire.StreamInfo{Name: "x", RateBps: 1000}, []uint32{3, 1})
		if err != nil {
			t.Fatal(err)
		}
		_, subErr := h.Subscribe(t.Context(), "x", wire.Contract{})
		for _, err := range []error{p.Announce(t.Context()), subErr} {
			if !errors.Is(err, h.proto.refuse) || strings.Contains(err.Error(), "its log says why; 'overlayd status'") != c.look {
				t.Errorf("%v: %v", c.state, err)
			}
		}
	}
	if len(h.pubs)+len(h.subs)+len(h.flows) != 0 {
		t.Errorf("left: %v, %v, %v", h.pubs, h.subs, h.flows)
	}
}

// Readers and publishers are told why their streams end.
func TestEnds(t *testing.T) {
	h := newTestHost(t)
	p, err := h.Plan(wire.StreamInfo{Name: "x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	subscribe := func() *Reader {
		r, err := h.Subscribe(t.Context(), "x", wire.Contract{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	rest := func(r *Reader) (payloads string, last overlay.ContractState, err error) {
		for {
			ps, changes, done, err := r.Next(t.Context())
			for i := range ps {
				payloads += string(ps[i].Data)
			}
			for _, c := range changes {
				last = c.State
			}
			if done {
				return payloads, last, err
			}
		}
	}
	in := func(f func()) { _ = h.do(t.Context(), f) }

	// Withdrawn: first what came, then the word of the end, without an error.
	r := subscribe()
	if err := p.Send([]transport.Payload{{Data: []byte("1")}, {Data: []byte("23")}}); err != nil {
		t.Fatal(err)
	}
	for got := uint64(0); got < 2; time.Sleep(time.Millisecond) {
		in(func() { got = h.Delivered(r.id).Packets })
	}
	in(func() {
		h.SubChanged(overlay.SubChanged{Sub: overlay.SubStatus{ID: r.id, Stream: p.ID, State: overlay.Withdrawn}})
	})
	if got, last, err := rest(r); got != "123" || last != overlay.Withdrawn || err != nil {
		t.Errorf("withdrawn: %q, %v, %v", got, last, err)
	}
	if packets, bytes := p.Sent(); packets != 2 || bytes != 3 {
		t.Errorf("sent %d packets, %d bytes", packets, bytes)
	}
	r.Close()

	// Taken away by the protocol, and then because the host leaves.
	for _, leaving := range []bool{false, true} {
		r := subscribe()
		if leaving {
			in(h.Leave)
		}
		in(func() { h.SubChanged(overlay.SubChanged{Sub: overlay.SubStatus{ID: r.id, Stream: p.ID}, Ended: true}) })
		if _, _, err := rest(r); err == nil || errors.Is(err, ErrStopping) != leaving {
			t.Errorf("ended, leaving: %v: %v", leaving, err)
		}
	}

	// The host stops.
	r = subscribe()
	in(h.End)
	if _, _, err := rest(r); !errors.Is(err, ErrStopping) {
		t.Errorf("stopped: %v", err)
	}
	select {
	case <-p.Withdrawn():
	default:
		t.Error("the publisher is not told")
	}
	r.Close()
}
