// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"

	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

// Stamped describes a stream of numbered payloads.
type Stamped struct {
	Name string
	Size int           // of a payload
	Gap  time.Duration // between two
	Base time.Time     // the zero of all times
}

// RateBps is the rate of the payloads in bit/s.
func (s Stamped) RateBps() uint64 {
	return uint64(float64(8*s.Size) / s.Gap.Seconds())
}

// Publish publishes the stream until ctx ends; started is closed when the stream is
// announced. It returns how many payloads the daemon took.
func (s Stamped) Publish(ctx context.Context, c *overlayapi.Client, started chan<- struct{}) (uint64, error) {
	// The call outlives ctx: ending it in order makes the daemon end the stream.
	call, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	p := c.Publish(call)
	announce := &overlayv1.PublishRequest{Kind: &overlayv1.PublishRequest_Announce{
		Announce: &overlayv1.Announce{Name: s.Name, RateBps: s.RateBps(), Public: true},
	}}
	if err := p.Send(announce); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("announcing %s: %w", s.Name, err)
	}
	if _, err := p.Receive(); err != nil {
		return 0, fmt.Errorf("announcing %s: %w", s.Name, err)
	}
	close(started)
	// Paced by the clock, not by sleeping: a late payload does not delay the rest.
	begin := time.Now()
	for n := uint64(1); ; n++ {
		select {
		case <-ctx.Done():
			return s.finish(p)
		case <-time.After(time.Until(begin.Add(time.Duration(n-1) * s.Gap))):
		}
		b := stamp(n, time.Since(s.Base), s.Size)
		err := p.Send(&overlayv1.PublishRequest{Kind: &overlayv1.PublishRequest_Payloads{
			Payloads: &overlayv1.Payloads{Payloads: []*overlayv1.Payload{{Data: b}}},
		}})
		if err != nil {
			_, err = p.Receive() // the reason
			return n, fmt.Errorf("publishing %s: %w", s.Name, err)
		}
	}
}

// finish ends the call in order.
func (s Stamped) finish(p *connect.BidiStreamForClient[overlayv1.PublishRequest, overlayv1.PublishResponse]) (uint64, error) {
	if err := p.CloseRequest(); err != nil {
		return 0, err
	}
	var packets uint64
	for {
		r, err := p.Receive()
		if errors.Is(err, io.EOF) {
			return packets, p.CloseResponse()
		}
		if err != nil {
			return packets, fmt.Errorf("ending %s: %w", s.Name, err)
		}
		packets = r.GetPackets()
	}
}

// Subscribe takes the stream into a until it or ctx ends. changed, if not nil, is told
// each change of the contract.
func (s Stamped) Subscribe(ctx context.Context, c *overlayapi.Client, contract *overlayv1.Contract, a *Arrivals, changed func(*overlayv1.Subscription)) error {
	r, err := c.Subscribe(ctx, connect.NewRequest(&overlayv1.SubscribeRequest{Stream: s.Name, Contract: contract}))
	if err != nil {
		return fmt.Errorf("subscribing to %s: %w", s.Name, err)
	}
	defer r.Close()
	for r.Receive() {
		at := time.Since(s.Base)
		for _, p := range r.Msg().GetPayloads().GetPayloads() {
			a.Add(p.GetData(), at)
		}
		if sub := r.Msg().GetChanged(); sub != nil && changed != nil {
			changed(sub)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return r.Err()
}
