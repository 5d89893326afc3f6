// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"testing"
	"time"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay/wire"
	"sandstream/overlayapi/overlayv1"
)

// merge keeps the packet behind a gap: after its delay it goes on though nothing
// more comes.
func TestTickWithoutPackets(t *testing.T) {
	d := host(t, nil, nil)
	<-d.Joined()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, place := range []string{"sink", "source"} {
		t.Run(place, func(t *testing.T) {
			p, err := d.publish(t.Context(), &overlayv1.Announce{
				Name: "gap", Pipeline: []*overlayv1.Stage{{Spa: "merge", Params: map[string]uint64{"delay_us": 100_000}, Place: place}},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer p.withdraw()
			s, id, err := d.subscribe(t.Context(), p.id.String(), wire.Contract{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.unsubscribe(id)
			for admitted := false; !admitted; {
				_, changes, done, err := s.next(ctx)
				if done {
					t.Fatalf("the subscription ended: %v", err)
				}
				for _, c := range changes {
					admitted = admitted || c.State == "admitted"
				}
			}
			// The third packet gets lost before merge sees it.
			if err := d.do(t.Context(), func() {
				after := d.flows[p.id].ingress.process()
				err = d.tr.SetForward(p.id, transport.Entry{Process: func(in [][]byte, emit func([]byte)) {
					var left [][]byte
					for _, b := range in {
						var h frame.Header
						if _, err := h.Decode(b); err == nil && h.Seq != 3 {
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
				if err := p.send([]*overlayv1.Payload{{Data: []byte(b)}}); err != nil {
					t.Fatal(err)
				}
			}
			got, took := "", time.Duration(0)
			for got != "124" {
				ps, _, done, err := s.next(ctx)
				if done {
					t.Fatalf("got %q: %v", got, err)
				}
				for _, p := range ps {
					got += string(p.data)
				}
				took = time.Since(begin)
			}
			if took < 100*time.Millisecond {
				t.Errorf("merge waited %v, not 100 ms: the test tests nothing", took)
			}
			t.Logf("all came after %v", took)
		})
	}
	if n := d.spas.running.Load(); n != 0 {
		t.Errorf("%d SPAs still run", n)
	}
	var every time.Duration
	if err := d.do(t.Context(), func() { d.tick(); every = d.ticks.every }); err != nil || every != 0 {
		t.Errorf("ticks go on every %v without SPAs (%v)", every, err)
	}
}

func (d *Daemon) publish(ctx context.Context, a *overlayv1.Announce) (*publication, error) {
	p, err := d.plan(a)
	if err == nil {
		err = d.announce(ctx, p)
	}
	return p, err
}
