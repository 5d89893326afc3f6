// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"time"

	"sandstream/internal/live/control"
	"sandstream/internal/live/delivery"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// host is the daemon as control sees it.
type host struct{ d *Daemon }

var _ control.Host = host{}

func (h host) Inspect(ctx context.Context, f func(*overlay.Status, *delivery.Streams)) error {
	d := h.d
	return d.do(ctx, func() {
		s := d.node.Status(d.now())
		s.Subs = d.streams.Wholes(s.Subs)
		f(&s, d.streams)
	})
}

// Member waits for the host to be one. When it does not become one the core says
// what it is instead.
func (h host) Member(ctx context.Context) error {
	select {
	case <-h.d.membership.joined:
	case <-time.After(h.d.cfg.joinWithin):
	case <-h.d.stop:
		return delivery.ErrStopping
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (h host) Leave(ctx context.Context) error {
	select {
	case <-h.d.membership.joined:
	default:
		return errors.New("this host is not a member yet: it has nothing to hand over; stop it")
	}
	return h.d.Leave(ctx)
}

func (h host) Plan(i wire.StreamInfo, weights []uint32) (*delivery.Publication, error) {
	return h.d.streams.Plan(i, weights)
}

func (h host) Subscribe(ctx context.Context, stream string, c wire.Contract) (*delivery.Reader, error) {
	return h.d.streams.Subscribe(ctx, stream, c)
}

func (h host) List(ctx context.Context, from wire.Point) (overlay.Listed, error) {
	d := h.d
	answer := make(chan overlay.Listed, 1)
	var no uint64
	var err error
	doErr := d.do(ctx, func() {
		if no, err = d.node.List(d.now(), from); err == nil {
			if d.lists == nil {
				d.lists = map[uint64]chan<- overlay.Listed{}
			}
			d.lists[no] = answer
		}
	})
	if err := errors.Join(doErr, err); err != nil {
		return overlay.Listed{}, err
	}
	select {
	case l := <-answer:
		return l, nil
	case <-d.loop.ended:
		return overlay.Listed{}, delivery.ErrStopping
	case <-ctx.Done(): // the answer comes, or the request is given up: it has room
		return overlay.Listed{}, ctx.Err()
	}
}

func (h host) Engine() delivery.Engine { return h.d.streams.Engine() }

func (h host) Problems() []string { return h.d.problems.list() }

func (h host) Sessions() []transport.PeerStats { return h.d.tr.Peers() }

func (h host) Streams() []transport.StreamStats { return h.d.tr.Streams() }

func (h host) Counters() control.Counters {
	d := h.d
	return control.Counters{
		Totals: d.tr.Totals(), Stats: d.tr.Stats(),
		InboxDropped: d.counters.dropped.Load(), Malformed: d.counters.malformed.Load(), SendFailed: d.counters.sendFails.Load(),
	}
}
