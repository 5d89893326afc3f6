// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"testing"
	"time"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// merge keeps the packet behind a gap: after its delay it goes on though nothing
// more comes.
func TestTickWithoutPackets(t *testing.T) {
	h := newTestHost(t)
	h.turns(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, place := range []wire.Place{wire.AtSink, wire.AtSource} {
		t.Run(map[wire.Place]string{wire.AtSink: "sink", wire.AtSource: "source"}[place], func(t *testing.T) {
			p, err := h.Plan(wire.StreamInfo{
				Name: "gap", Pipeline: []wire.Stage{{SPA: "merge", Params: map[string]uint64{"delay_us": 100_000}, Place: place}},
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Announce(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer p.Withdraw()
			r, err := h.Subscribe(t.Context(), p.ID.String(), wire.Contract{})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for admitted := false; !admitted; {
				_, changes, done, err := r.Next(ctx)
				if done {
					t.Fatalf("the subscription ended: %v", err)
				}
				for _, c := range changes {
					admitted = admitted || c.State == overlay.Admitted
				}
			}
			// The third packet gets lost before merge sees it.
			if err := h.do(t.Context(), func() {
				after := h.flows[p.ID].ingress.process()
				err = h.tr.SetForward(p.ID, transport.Entry{Seal: p.book.sealer, Process: func(in [][]byte, emit func([]byte)) {
					var left [][]byte
					for _, b := range in {
						var hd frame.Header
						if _, err := hd.DecodePlain(b); err == nil && hd.Seq != 3 {
							left = append(left, b)
						}
					}
					if after == nil {
						for _, b := range left {
							emit(b)
						}
						return
					}
					after(left, emit)
				}})
			}); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			for _, b := range []string{"1", "2", "3", "4"} {
				if err := p.Send([]transport.Payload{{Data: []byte(b)}}); err != nil {
					t.Fatal(err)
				}
			}
			got, took := "", time.Duration(0)
			for got != "124" {
				ps, _, done, err := r.Next(ctx)
				if done {
					t.Fatalf("got %q: %v", got, err)
				}
				for _, p := range ps {
					got += string(p.Data)
				}
				took = time.Since(begin)
			}
			if took < 100*time.Millisecond {
				t.Errorf("merge waited %v, not 100 ms: the test tests nothing", took)
			}
			t.Logf("all came after %v", took)
		})
	}
	if n := h.Engine().Running; n != 0 {
		t.Errorf("%d SPAs still run", n)
	}
	var every time.Duration
	if err := h.do(t.Context(), func() { h.Tick(); every = h.ticks.every }); err != nil || every != 0 {
		t.Errorf("ticks go on every %v without SPAs (%v)", every, err)
	}
}
