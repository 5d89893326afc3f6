// SPDX-License-Identifier: Apache-2.0

package overlayapi

import (
	"context"
	"errors"
	"io"
	"math"

	"connectrpc.com/connect"

	"sandstream/overlayapi/door"
	"sandstream/overlayapi/overlayv1"
)

// Feed is a subscription whose payloads come by a door (package door) where the daemon
// has one, else in messages of the API. One goroutine at a time may use it.
type Feed struct {
	call    *connect.ServerStreamForClient[overlayv1.SubscribeResponse]
	cancel  context.CancelFunc
	records chan record
	done    chan struct{} // the caller has read the last record: its buffer may be filled again
	news    chan news
	held    *news  // until the records before it have come
	read    uint64 // records
	busy    bool   // the caller has a record
}

type record struct {
	ps  []door.Payload
	err error
}

// news is a message of the API, or how the call ended.
type news struct {
	msg *overlayv1.SubscribeResponse
	err error
}

func (n *news) after() uint64 {
	if n.msg == nil {
		return math.MaxUint64 // the end comes after all that there is
	}
	return n.msg.Records
}

// Feed subscribes: the first payloads and changes are there to be read. ctx ends it, and
// so does Close.
func (c *Client) Feed(ctx context.Context, r *overlayv1.SubscribeRequest) (*Feed, error) {
	f, err := c.feed(ctx, r, true)
	if errors.Is(err, errNoWay) {
		return c.feed(ctx, r, false)
	}
	return f, err
}

// errNoWay: the daemon made a door, and this program does not get to it. It may see
// the API's socket alone, in a container for instance.
var errNoWay = errors.New("no way to the daemon's door")

func (c *Client) feed(ctx context.Context, r *overlayv1.SubscribeRequest, byDoor bool) (_ *Feed, err error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &Feed{cancel: cancel, news: make(chan news)}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	asked := &overlayv1.SubscribeRequest{Stream: r.Stream, Contract: r.Contract, Door: byDoor}
	if f.call, err = c.Subscribe(ctx, connect.NewRequest(asked)); err != nil {
		return nil, err
	}
	if byDoor {
		if !f.call.Receive() {
			return nil, f.callError()
		}
		first := f.call.Msg()
		d, told := first.Kind.(*overlayv1.SubscribeResponse_Door)
		switch {
		case !told: // a daemon that knows of no doors
			f.held = &news{msg: first}
		case d.Door != "":
			conn, err := door.Dial(c.socket, d.Door)
			if err != nil {
				return nil, errors.Join(errNoWay, err)
			}
			f.records, f.done = make(chan record), make(chan struct{}, 1)
			go f.readDoor(ctx, conn)
		}
	}
	go f.readCall(ctx)
	return f, nil
}

// callError is why the call gives nothing more: io.EOF at a proper end.
func (f *Feed) callError() error {
	if err := f.call.Err(); err != nil {
		return err
	}
	return io.EOF
}

func (f *Feed) readCall(ctx context.Context) {
	for {
		var n news
		if f.call.Receive() {
			n.msg = f.call.Msg()
		} else {
			n.err = f.callError()
		}
		select {
		case f.news <- n:
		case <-ctx.Done():
			return
		}
		if n.err != nil {
			return
		}
	}
}

func (f *Feed) readDoor(ctx context.Context, conn *door.Conn) {
	defer conn.Close()
	defer conn.CloseWhen(ctx)()
	for {
		ps, err := conn.Next()
		select {
		case f.records <- record{ps, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return
		}
	}
}

// Next waits for payloads, which are valid until it is called again, or for a change of
// the contract; each change comes after the payloads that were delivered before it. The
// end of a call that the daemon has closed is io.EOF.
func (f *Feed) Next(ctx context.Context) ([]door.Payload, *overlayv1.Subscription, error) {
	if f.busy {
		f.busy = false
		f.done <- struct{}{}
	}
	for {
		messages := f.news
		if f.held != nil {
			if f.records == nil || f.read >= f.held.after() {
				n := f.held
				f.held = nil
				if n.err != nil {
					return nil, nil, n.err
				}
				if ps := n.msg.GetPayloads(); ps != nil {
					return unpack(ps.Payloads), nil, nil
				}
				return nil, n.msg.GetChanged(), nil
			}
			messages = nil
		}
		select {
		case r := <-f.records:
			if r.err != nil {
				f.records = nil // the call says why
				continue
			}
			f.read++
			f.busy = true
			return r.ps, nil, nil
		case n := <-messages:
			f.held = &n
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// Close ends the subscription.
func (f *Feed) Close() {
	f.cancel()
	if f.call != nil {
		f.call.Close()
	}
}

func unpack(ps []*overlayv1.Payload) []door.Payload {
	out := make([]door.Payload, len(ps))
	for i, p := range ps {
		out[i].Data = p.Data
		if p.Key {
			out[i].Flags |= door.Key
		}
		if p.Discardable {
			out[i].Flags |= door.Discardable
		}
	}
	return out
}

// Publication is a stream that is being published, whose payloads go by a door (package
// door) where the daemon has one, else in messages of the API.
type Publication struct {
	Stream string // id, 32 hexadecimal digits

	call   *connect.BidiStreamForClient[overlayv1.PublishRequest, overlayv1.PublishResponse]
	cancel context.CancelFunc
	door   *door.Conn
	stop   func() bool
}

// Announced publishes a stream, which lives as long as the call: until End, or until ctx
// ends.
func (c *Client) Announced(ctx context.Context, a *overlayv1.Announce) (*Publication, error) {
	p, err := c.announced(ctx, a, true)
	if errors.Is(err, errNoWay) {
		return c.announced(ctx, a, false)
	}
	return p, err
}

func (c *Client) announced(ctx context.Context, a *overlayv1.Announce, byDoor bool) (_ *Publication, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	p := &Publication{call: c.Publish(ctx), cancel: cancel}
	a.Door = byDoor
	// An error of Send alone says nothing: the answer says why.
	if err := p.call.Send(&overlayv1.PublishRequest{Kind: &overlayv1.PublishRequest_Announce{Announce: a}}); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	first, err := p.call.Receive()
	if err != nil {
		return nil, err
	}
	p.Stream = first.Stream
	if first.Door != "" {
		if p.door, err = door.Dial(c.socket, first.Door); err != nil {
			return nil, errors.Join(errNoWay, err)
		}
		p.stop = p.door.CloseWhen(ctx)
	}
	return p, nil
}

// Send publishes payloads. When it fails, Wait says why.
func (p *Publication) Send(ps []door.Payload) error {
	if p.door != nil {
		if err := p.door.Put(ps...); err != nil {
			return err
		}
		return p.door.Flush()
	}
	m := &overlayv1.Payloads{}
	for i := range ps {
		m.Payloads = append(m.Payloads, &overlayv1.Payload{
			Data: ps[i].Data, Key: ps[i].Flags&door.Key != 0, Discardable: ps[i].Flags&door.Discardable != 0,
		})
	}
	return p.call.Send(&overlayv1.PublishRequest{Kind: &overlayv1.PublishRequest_Payloads{Payloads: m}})
}

// End says that nothing more comes. Wait gives the daemon's counts.
func (p *Publication) End() error {
	if p.door != nil {
		p.stop()
		p.door.Close() // first: what is in it comes before the end
	}
	return p.call.CloseRequest()
}

// Wait waits for the daemon's last word: after End, or when it ends the stream.
func (p *Publication) Wait() (*overlayv1.PublishResponse, error) { return p.call.Receive() }

// Close gives up what is under way.
func (p *Publication) Close() { p.cancel() }
