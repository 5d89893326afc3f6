// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"sandstream/internal/fail"
	"sandstream/internal/live/payload"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
	"sandstream/overlayapi/overlayv1"
)

// api serves the control API, see overlayapi/overlay.proto.
type api struct{ d *Daemon }

func invalid(err error) error { return connect.NewError(connect.CodeInvalidArgument, err) }

// failed gives an error of the daemon a code.
func failed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errStopping):
		return connect.NewError(connect.CodeUnavailable, err)
	case errors.Is(err, fail.ErrUsage):
		return invalid(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return connect.NewError(connect.CodeFailedPrecondition, err)
}

// status runs f with the core's status in the loop.
func (a api) status(ctx context.Context, f func(s *overlay.Status)) error {
	return failed(a.d.do(ctx, func() {
		s := a.d.node.Status(a.d.now())
		s.Subs = a.d.wholes(s.Subs)
		f(&s)
	}))
}

func (a api) Status(ctx context.Context, _ *connect.Request[overlayv1.StatusRequest]) (*connect.Response[overlayv1.StatusResponse], error) {
	d := a.d
	m := &overlayv1.StatusResponse{
		Version: d.cfg.Version, UptimeUs: uint64(time.Since(d.start).Microseconds()), DataAddr: d.tr.DataAddr().String(),
		MetricsAddr: d.servers.metricsAddr(), WebAddr: d.servers.webAddr(), Goroutines: uint32(runtime.NumGoroutine()),
		Engine: &overlayv1.Engine{
			Name: d.spas.name, Reason: d.spas.why, Spas: d.spas.available(), Running: uint32(d.spas.running.Load()),
			Aborted: d.spas.aborted.Load(), LastAbort: d.spas.lastAbort(),
		},
		Data: d.dataCounters(),
	}
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	m.HeapBytes = ms.HeapAlloc
	err := a.status(ctx, func(s *overlay.Status) {
		m.Self, m.State, m.Radix, m.Region = hostOf(s.Self), s.State.String(), uint32(s.Radix), regionOf(s.Region)
		m.Zones = zonesOf(s.Zones)
		m.Peers, m.Streams, m.Subscriptions = uint32(len(s.Peers)), uint32(len(s.Streams)), uint32(len(s.Subs))
		m.Sent, m.Received, m.Events = s.Sent, s.Recv, s.Counts
	})
	return connect.NewResponse(m), err
}

func (a api) Peers(ctx context.Context, _ *connect.Request[overlayv1.PeersRequest]) (*connect.Response[overlayv1.PeersResponse], error) {
	m := &overlayv1.PeersResponse{}
	err := a.status(ctx, func(s *overlay.Status) {
		for i := range s.Peers {
			m.Peers = append(m.Peers, peerOf(&s.Peers[i]))
		}
	})
	return connect.NewResponse(m), err
}

func (a api) Topology(ctx context.Context, _ *connect.Request[overlayv1.TopologyRequest]) (*connect.Response[overlayv1.TopologyResponse], error) {
	m := &overlayv1.TopologyResponse{}
	err := a.status(ctx, func(s *overlay.Status) {
		m.Self, m.Radix, m.Region, m.Zones = hostOf(s.Self), uint32(s.Radix), regionOf(s.Region), zonesOf(s.Zones)
		for i := range s.Peers {
			p := &s.Peers[i]
			m.Zones = append(m.Zones, zonesOf(p.Zones)...)
			m.Links = append(m.Links, &overlayv1.Link{To: hostOf(p.Peer), CostUs: p.CostUs, LossPpm: p.LossPpm, Suspect: p.Suspect})
		}
	})
	slices.SortFunc(m.Zones, func(x, y *overlayv1.Zone) int { return strings.Compare(x.Digits, y.Digits) })
	return connect.NewResponse(m), err
}

func (a api) Streams(ctx context.Context, _ *connect.Request[overlayv1.StreamsRequest]) (*connect.Response[overlayv1.StreamsResponse], error) {
	m, wholes := &overlayv1.StreamsResponse{}, map[string]string{}
	err := a.status(ctx, func(s *overlay.Status) {
		for i := range s.Streams {
			st := a.d.streamOf(&s.Streams[i])
			m.Streams = append(m.Streams, st)
			of, _ := wholeOf(s.Streams[i].Info.ID, &s.Streams[i].Info)
			wholes[st.Id] = of.String()
		}
	})
	passed := map[string][2]uint64{}
	for _, s := range a.d.tr.Streams() {
		passed[s.ID.String()] = [2]uint64{s.In, s.BytesIn}
	}
	for _, s := range m.Streams {
		n := passed[wholes[s.Id]]
		s.Packets, s.Bytes = n[0], n[1]
	}
	return connect.NewResponse(m), err
}

func (a api) Subscriptions(ctx context.Context, _ *connect.Request[overlayv1.SubscriptionsRequest]) (*connect.Response[overlayv1.SubscriptionsResponse], error) {
	m := &overlayv1.SubscriptionsResponse{}
	err := a.status(ctx, func(s *overlay.Status) {
		for i := range s.Subs {
			m.Subscriptions = append(m.Subscriptions, a.d.subOf(&s.Subs[i]))
		}
	})
	return connect.NewResponse(m), err
}

// find picks the stream that what names: an id, its first digits, or a name.
func find(streams []overlay.StreamStatus, what string) (*overlay.StreamStatus, error) {
	var found []*overlay.StreamStatus
	for i := range streams {
		s := &streams[i]
		if s.Info.ID.String() == what {
			return s, nil
		}
		if s.Info.Name == what || len(what) >= 4 && strings.HasPrefix(s.Info.ID.String(), what) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("stream %q does not pass this host ('overlayd streams' lists those that do)", what))
	case 1:
		return found[0], nil
	}
	return nil, invalid(fmt.Errorf("%d streams are called %q: give the id ('overlayd streams')", len(found), what))
}

func (a api) Trace(ctx context.Context, r *connect.Request[overlayv1.TraceRequest]) (*connect.Response[overlayv1.TraceResponse], error) {
	m := &overlayv1.TraceResponse{}
	var notFound error
	err := a.status(ctx, func(s *overlay.Status) {
		st, err := find(s.Streams, r.Msg.Stream)
		if err != nil {
			notFound = err
			return
		}
		m.Stream, m.Name, m.Path = st.Info.ID.String(), st.Info.Name, pathOf(st.Path)
		m.Children = a.d.streamOf(st).Children
		for _, h := range st.Path {
			m.TotalUs += h.CostUs + h.StayUs
		}
		for i := range s.Subs {
			if s.Subs[i].Stream == st.Info.ID {
				m.MeasuredUs = s.Subs[i].Measured.MeanUs
			}
		}
	})
	if notFound != nil {
		return nil, notFound
	}
	return connect.NewResponse(m), err
}

func (a api) Publish(ctx context.Context, s *connect.BidiStream[overlayv1.PublishRequest, overlayv1.PublishResponse]) error {
	first, err := s.Receive()
	if err != nil {
		return err
	}
	ann := first.GetAnnounce()
	if ann == nil {
		return invalid(errors.New("the first message of a Publish call must be the announcement"))
	}
	p, err := a.d.plan(ann)
	if err != nil {
		return failed(err)
	}
	if err := a.d.member(ctx); err != nil {
		return failed(err)
	}
	if err := a.d.announce(ctx, p); err != nil {
		return failed(err)
	}
	defer p.withdraw()
	if err := s.Send(&overlayv1.PublishResponse{Stream: p.id.String()}); err != nil {
		return err
	}
	last := &overlayv1.PublishResponse{Stream: p.id.String()}
	received := make(chan error, 1)
	// Receive cannot wait for the withdrawal too; it ends with the call.
	go func() { received <- a.payloads(s, p) }()
	select {
	case err := <-received:
		if err != nil {
			return err
		}
	case <-p.withdrawn:
		last.Withdrawn = true
	case <-a.d.stop:
		return failed(errStopping)
	}
	last.Packets, last.Bytes = p.packets.Load(), p.bytes.Load()
	return s.Send(last)
}

// payloads publishes what the client sends, until its end.
func (a api) payloads(s *connect.BidiStream[overlayv1.PublishRequest, overlayv1.PublishResponse], p *publication) error {
	for {
		m, err := s.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		ps := m.GetPayloads().GetPayloads()
		for _, q := range ps {
			if len(q.Data) > payload.Max {
				return invalid(fmt.Errorf("payload of %d bytes: at most %d", len(q.Data), payload.Max))
			}
		}
		if err := p.send(ps); err != nil {
			select {
			case <-p.withdrawn:
				return nil
			default:
				return failed(err)
			}
		}
	}
}

// joinWithin is how long a user waits for a host that is still joining; tests have
// less patience.
var joinWithin = 10 * time.Second

// member waits for the host to be one. When it does not become one the core says
// what it is instead.
func (d *Daemon) member(ctx context.Context) error {
	select {
	case <-d.joined:
	case <-time.After(joinWithin):
	case <-d.stop:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

const payloadsAtOnce = 128 // in a message of Subscribe

func (a api) Subscribe(ctx context.Context, r *connect.Request[overlayv1.SubscribeRequest], out *connect.ServerStream[overlayv1.SubscribeResponse]) error {
	if r.Msg.Stream == "" {
		return invalid(errors.New("no stream is named: its id, or the name of a public one"))
	}
	c, err := contract(r.Msg.Contract)
	if err != nil {
		return invalid(err)
	}
	if id, err := wire.ParseStreamID(r.Msg.Stream); err == nil && id == (wire.StreamID{}) {
		return invalid(errors.New("no stream has an id of zeroes"))
	} else if err != nil && len(r.Msg.Stream) > wire.MaxName {
		return invalid(fmt.Errorf("name of %d bytes: at most %d", len(r.Msg.Stream), wire.MaxName))
	}
	if err := a.d.member(ctx); err != nil {
		return failed(err)
	}
	s, id, err := a.d.subscribe(ctx, r.Msg.Stream, c)
	if err != nil {
		return failed(err)
	}
	defer a.d.unsubscribe(id)
	for {
		ps, changes, done, err := s.next(ctx)
		// What came before the end of a stream goes before the word of it.
		for len(ps) > 0 {
			n := min(len(ps), payloadsAtOnce)
			m := &overlayv1.Payloads{}
			for _, p := range ps[:n] {
				m.Payloads = append(m.Payloads, payloadOf(&p))
			}
			if err := out.Send(&overlayv1.SubscribeResponse{Kind: &overlayv1.SubscribeResponse_Payloads{Payloads: m}}); err != nil {
				return err
			}
			ps = ps[n:]
		}
		for _, m := range changes {
			if err := out.Send(&overlayv1.SubscribeResponse{Kind: &overlayv1.SubscribeResponse_Changed{Changed: m}}); err != nil {
				return err
			}
		}
		if done {
			return failed(err)
		}
	}
}

func (a api) Withdraw(ctx context.Context, r *connect.Request[overlayv1.WithdrawRequest]) (*connect.Response[overlayv1.WithdrawResponse], error) {
	var bad error
	err := a.status(ctx, func(s *overlay.Status) {
		st, err := find(s.Streams, r.Msg.Stream)
		if err != nil {
			bad = err
			return
		}
		p := a.d.pubs[st.Info.ID]
		if p == nil {
			bad = connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("stream %q is published by host %s, not by this one", r.Msg.Stream, st.Info.Publisher))
			return
		}
		p.end()
	})
	if bad != nil {
		return nil, bad
	}
	return connect.NewResponse(&overlayv1.WithdrawResponse{}), err
}

func (a api) Leave(ctx context.Context, _ *connect.Request[overlayv1.LeaveRequest]) (*connect.Response[overlayv1.LeaveResponse], error) {
	select {
	case <-a.d.joined:
	default:
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("this host is not a member yet: it has nothing to hand over; stop it"))
	}
	if err := a.d.Leave(ctx); err != nil {
		return nil, failed(err)
	}
	return connect.NewResponse(&overlayv1.LeaveResponse{}), nil
}

func (a api) Watch(ctx context.Context, _ *connect.Request[overlayv1.WatchRequest], out *connect.ServerStream[overlayv1.WatchResponse]) error {
	events, cancel := a.d.watch()
	defer cancel()
	// Headers now: the client knows that nothing is missed from here on.
	if err := out.Send(&overlayv1.WatchResponse{TimeUs: uint64(time.Now().UnixMicro()), Kind: "watching"}); err != nil {
		return err
	}
	for {
		select {
		case e := <-events:
			if err := out.Send(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		case <-a.d.stop:
			return nil
		}
	}
}

func payloadOf(p *packet) *overlayv1.Payload {
	return &overlayv1.Payload{Data: p.data, Key: p.flags&1 != 0, Discardable: p.flags&2 != 0}
}
