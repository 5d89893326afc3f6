// SPDX-License-Identifier: Apache-2.0

package control

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
	"sandstream/internal/live/delivery"
	"sandstream/internal/live/frame"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
	"sandstream/overlayapi/door"
	"sandstream/overlayapi/overlayv1"
)

// api serves the control API, see overlayapi/overlay.proto.
type api struct{ *Server }

func invalid(err error) error { return connect.NewError(connect.CodeInvalidArgument, err) }

// failed gives an error of the daemon a code.
func failed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, delivery.ErrStopping):
		return connect.NewError(connect.CodeUnavailable, err)
	case errors.Is(err, fail.ErrUsage):
		return invalid(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return connect.NewError(connect.CodeFailedPrecondition, err)
}

// status runs f with the protocol's status in the loop.
func (a api) status(ctx context.Context, f func(*overlay.Status)) error {
	return a.inspect(ctx, func(s *overlay.Status, _ *delivery.Streams) { f(s) })
}

// inspect is status with the streams, which are the loop's.
func (a api) inspect(ctx context.Context, f func(*overlay.Status, *delivery.Streams)) error {
	return failed(a.host.Inspect(ctx, f))
}

func (a api) Status(ctx context.Context, _ *connect.Request[overlayv1.StatusRequest]) (*connect.Response[overlayv1.StatusResponse], error) {
	e, c := a.host.Engine(), a.host.Counters()
	m := &overlayv1.StatusResponse{
		Version: a.cfg.Version, UptimeUs: uint64(time.Since(a.start).Microseconds()), DataAddr: a.cfg.DataAddr,
		MetricsAddr: a.MetricsAddr(), WebAddr: a.WebAddr(), Goroutines: uint32(runtime.NumGoroutine()),
		Engine: &overlayv1.Engine{
			Name: e.Name, Reason: e.Why, Spas: e.SPAs, Running: uint32(e.Running), Aborted: e.Aborted, LastAbort: e.LastAbort,
		},
		Data: c.byName(), Problems: a.host.Problems(),
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
	m, sessions := &overlayv1.PeersResponse{}, sessionsOf(a.host.Sessions())
	err := a.status(ctx, func(s *overlay.Status) {
		for i := range s.Peers {
			m.Peers = append(m.Peers, peerOf(&s.Peers[i], sessions[s.Peers[i].Peer.ID]))
		}
	})
	return connect.NewResponse(m), err
}

func (a api) Topology(ctx context.Context, _ *connect.Request[overlayv1.TopologyRequest]) (*connect.Response[overlayv1.TopologyResponse], error) {
	m, sessions := &overlayv1.TopologyResponse{}, sessionsOf(a.host.Sessions())
	err := a.status(ctx, func(s *overlay.Status) {
		m.Self, m.Radix, m.Region, m.Zones = hostOf(s.Self), uint32(s.Radix), regionOf(s.Region), zonesOf(s.Zones)
		for i := range s.Peers {
			p := &s.Peers[i]
			m.Zones = append(m.Zones, zonesOf(p.Zones)...)
			l := &overlayv1.Link{To: hostOf(p.Peer), CostUs: p.CostUs, LossPpm: p.LossPpm, Suspect: p.Suspect}
			if t := sessions[p.Peer.ID]; t != nil {
				l.LinkBytes = uint32(t.Size)
			}
			m.Links = append(m.Links, l)
		}
	})
	slices.SortFunc(m.Zones, func(x, y *overlayv1.Zone) int { return strings.Compare(x.Digits, y.Digits) })
	return connect.NewResponse(m), err
}

func (a api) Streams(ctx context.Context, _ *connect.Request[overlayv1.StreamsRequest]) (*connect.Response[overlayv1.StreamsResponse], error) {
	m, wholes := &overlayv1.StreamsResponse{}, map[string]string{}
	err := a.inspect(ctx, func(s *overlay.Status, d *delivery.Streams) {
		for i := range s.Streams {
			st := &s.Streams[i]
			n := streamOf(st)
			d.Counters(st.Info.ID, st.Local, n.Counters)
			m.Streams = append(m.Streams, n)
			of, _ := delivery.WholeOf(st.Info.ID, &st.Info)
			wholes[n.Id] = of.String()
		}
	})
	passed := map[string][2]uint64{}
	for _, s := range a.host.Streams() {
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
	err := a.inspect(ctx, func(s *overlay.Status, d *delivery.Streams) {
		for i := range s.Subs {
			u := &s.Subs[i]
			m.Subscriptions = append(m.Subscriptions, changeOf(&delivery.Change{SubStatus: *u, Delivered: d.Delivered(u.ID)}))
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
		m.Children = streamOf(st).Children
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
	info, err := infoOf(ann)
	if err != nil {
		return invalid(err)
	}
	p, err := a.host.Plan(info, ann.Split)
	if err != nil {
		return failed(err)
	}
	if err := a.host.Member(ctx); err != nil {
		return failed(err)
	}
	if err := p.Announce(ctx); err != nil {
		return failed(err)
	}
	// Unless the client or a Withdraw ends it, its program is gone, or the host stops.
	end := p.BreakOff
	defer func() { end() }()
	var in *door.Conn
	if d := a.door(ann.Door); d == nil {
		err = s.Send(&overlayv1.PublishResponse{Stream: p.ID.String()})
	} else if err = s.Send(&overlayv1.PublishResponse{Stream: p.ID.String(), Door: d.Name()}); err != nil {
		d.Close()
	} else {
		in, err = comeIn(ctx, d)
	}
	if err != nil {
		return err
	}
	last := &overlayv1.PublishResponse{Stream: p.ID.String()}
	received := make(chan error, 1)
	// Receive cannot wait for the withdrawal too; it ends with the call.
	go func() {
		if in != nil {
			defer in.CloseWhen(ctx)()
			defer in.Close()
			if err := throughDoor(in, p); err != nil {
				received <- err
				return
			}
		}
		received <- a.payloads(s, p)
	}()
	select {
	case err := <-received:
		if err != nil {
			return err
		}
		end = p.Withdraw
	case <-p.Withdrawn():
		if err := p.Why(); err != nil {
			return failed(err)
		}
		end, last.Withdrawn = p.Withdraw, true
	case <-a.stopped:
		return failed(delivery.ErrStopping)
	}
	last.Packets, last.Bytes = p.Sent()
	return s.Send(last)
}

// payloads publishes what the client sends, until its end.
func (a api) payloads(s *connect.BidiStream[overlayv1.PublishRequest, overlayv1.PublishResponse], p *delivery.Publication) error {
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
			if len(q.Data) > frame.MaxMessage {
				return invalid(fmt.Errorf("payload of %d bytes: at most %d", len(q.Data), frame.MaxMessage))
			}
		}
		if err := p.Send(payloadsOf(ps)); err != nil {
			return ended(p, err)
		}
	}
}

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
	if err := a.host.Member(ctx); err != nil {
		return failed(err)
	}
	s, err := a.host.Subscribe(ctx, r.Msg.Stream, c)
	if err != nil {
		return failed(err)
	}
	defer s.Close()
	o := outlet{out: out}
	if r.Msg.Door {
		if err := o.open(ctx, a.door(true)); err != nil {
			return err
		}
		defer o.close()
	}
	for {
		ps, changes, done, err := s.Next(ctx)
		// What came before the end of a stream goes before the word of it.
		if err := o.payloads(ps); err != nil {
			return err
		}
		for _, c := range changes {
			if err := o.changed(c); err != nil {
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
	err := a.inspect(ctx, func(s *overlay.Status, d *delivery.Streams) {
		st, err := find(s.Streams, r.Msg.Stream)
		if err != nil {
			bad = err
			return
		}
		p := d.Published(st.Info.ID)
		if p == nil {
			bad = connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("stream %q is published by host %s, not by this one", r.Msg.Stream, st.Info.Publisher))
			return
		}
		p.End()
	})
	if bad != nil {
		return nil, bad
	}
	return connect.NewResponse(&overlayv1.WithdrawResponse{}), err
}

func (a api) Leave(ctx context.Context, _ *connect.Request[overlayv1.LeaveRequest]) (*connect.Response[overlayv1.LeaveResponse], error) {
	if err := a.host.Leave(ctx); err != nil {
		return nil, failed(err)
	}
	return connect.NewResponse(&overlayv1.LeaveResponse{}), nil
}

func (a api) Watch(ctx context.Context, _ *connect.Request[overlayv1.WatchRequest], out *connect.ServerStream[overlayv1.WatchResponse]) error {
	events, remove := a.watchers.add()
	defer remove()
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
		case <-a.stopped:
			return nil
		}
	}
}
