// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"io"
	"time"

	"connectrpc.com/connect"

	"sandstream/internal/live/delivery"
	"sandstream/internal/live/frame"
	"sandstream/internal/live/transport"
	"sandstream/overlayapi/door"
	"sandstream/overlayapi/overlayv1"
)

// comeInWithin is how long the caller of Publish or Subscribe has to use the door that he
// asked for.
const comeInWithin = 5 * time.Second

// door makes a door, if it is wanted. Without one, payloads go in messages of the API.
func (a api) door(wanted bool) *door.Door {
	if !wanted {
		return nil
	}
	d, err := door.Open(a.cfg.Socket)
	if err != nil {
		a.cfg.Log.Warn("payloads go by the API, which is slower", "err", err)
		return nil
	}
	return d
}

func comeIn(ctx context.Context, d *door.Door) (*door.Conn, error) {
	c, err := d.Accept(ctx, comeInWithin)
	if err != nil {
		return nil, connect.NewError(connect.CodeDeadlineExceeded, err)
	}
	return c, nil
}

// The flags of the API's two ways are those of the packets' header.
const (
	_ = uint8(frame.Key-door.Key) + uint8(door.Key-frame.Key)
	_ = uint8(frame.Discardable-door.Discardable) + uint8(door.Discardable-frame.Discardable)
)

// What a door lets in a stream can carry.
const _ = uint(frame.MaxMessage - door.MaxPayload)

// throughDoor publishes what comes in by the door, until the publisher closes it.
func throughDoor(in *door.Conn, p *delivery.Publication) error {
	var out []transport.Payload
	for {
		ps, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return invalid(err)
		}
		out = out[:0]
		for i := range ps {
			out = append(out, transport.Payload{Data: ps[i].Data, Flags: frame.Flags(ps[i].Flags)})
		}
		if err := p.Send(out); err != nil {
			return ended(p, err)
		}
	}
}

// ended is err, unless the stream was withdrawn before.
func ended(p *delivery.Publication, err error) error {
	select {
	case <-p.Withdrawn():
		return nil
	default:
		return failed(err)
	}
}

// outlet is where a subscriber's payloads and changes go: both to the call's
// messages, or the payloads through a door.
type outlet struct {
	out  *connect.ServerStream[overlayv1.SubscribeResponse]
	door *door.Conn
	stop func() bool
}

// open tells the subscriber of the door, nil if there is none, and waits for him there.
func (o *outlet) open(ctx context.Context, d *door.Door) (err error) {
	if d == nil {
		return o.out.Send(&overlayv1.SubscribeResponse{Kind: &overlayv1.SubscribeResponse_Door{}})
	}
	if err := o.out.Send(&overlayv1.SubscribeResponse{Kind: &overlayv1.SubscribeResponse_Door{Door: d.Name()}}); err != nil {
		d.Close()
		return err
	}
	if o.door, err = comeIn(ctx, d); err == nil {
		o.stop = o.door.CloseWhen(ctx)
	}
	return err
}

func (o *outlet) close() {
	if o.door != nil {
		o.stop()
		o.door.Close()
	}
}

const payloadsAtOnce = 128 // in a message of Subscribe

func (o *outlet) payloads(ps []delivery.Packet) error {
	if o.door != nil {
		for i := range ps {
			if err := o.door.Put(door.Payload{Data: ps[i].Data, Flags: uint8(ps[i].Flags & (frame.Key | frame.Discardable))}); err != nil {
				return err
			}
		}
		return o.door.Flush()
	}
	for len(ps) > 0 {
		n := min(len(ps), payloadsAtOnce)
		m := &overlayv1.Payloads{}
		for i := range ps[:n] {
			m.Payloads = append(m.Payloads, payloadOf(&ps[i]))
		}
		if err := o.out.Send(&overlayv1.SubscribeResponse{Kind: &overlayv1.SubscribeResponse_Payloads{Payloads: m}}); err != nil {
			return err
		}
		ps = ps[n:]
	}
	return nil
}

// changed tells a change of the contract, and before which payloads.
func (o *outlet) changed(c *delivery.Change) error {
	m := &overlayv1.SubscribeResponse{Kind: &overlayv1.SubscribeResponse_Changed{Changed: changeOf(c)}}
	if o.door != nil {
		m.Records = o.door.Records()
	}
	return o.out.Send(m)
}
