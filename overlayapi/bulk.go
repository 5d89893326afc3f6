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
	client  *Client
	request *overlayv1.SubscribeRequest
	cancel  context.CancelFunc

	records chan record
	done    chan struct{} // the caller has read the last record: its buffer may be filled again
	news    chan news
	held    *news  // until the records before it have come
	read    uint64 // records
	shut    bool   // the door: no more records
	busy    bool   // the caller has a record
}

type record struct {
	ps  []door.Payload
	err error
}

// news is a message of the API, or how the call ended, and comes after so many records.
type news struct {
	msg   *overlayv1.SubscribeResponse
	err   error
	after uint64
}

// Feed subscribes. What comes of it is read with Next, errors of the call among it. ctx
// ends it, and so does Close.
func (c *Client) Feed(ctx context.Context, r *overlayv1.SubscribeRequest) *Feed {
	ctx, cancel := context.WithCancel(ctx)
	f := &Feed{
		client: c, request: r, cancel: cancel,
		records: make(chan record), done: make(chan struct{}, 1), news: make(chan news),
	}
	go f.run(ctx)
	return f
}

// errNoWay: the daemon made a door, and this program does not get to it. It may see
// the API's socket alone, in a container for instance.
var errNoWay = errors.New("no way to the daemon's door")

func (f *Feed) run(ctx context.Context) {
	byDoor, err := f.call(ctx, true)
	if errors.Is(err, errNoWay) {
		byDoor, err = f.call(ctx, false)
	}
	end := news{err: err}
	if byDoor {
		end.after = math.MaxUint64 // all that is in the door
	}
	f.tell(ctx, end)
}

func (f *Feed) tell(ctx context.Context, n news) {
	select {
	case f.news <- n:
	case <-ctx.Done():
	}
}

// call makes the call and reads it to its end, which is io.EOF if it is a proper one. It
// says whether payloads came by a door.
func (f *Feed) call(ctx context.Context, wanted bool) (byDoor bool, err error) {
	asked := &overlayv1.SubscribeRequest{Stream: f.request.Stream, Contract: f.request.Contract, Door: wanted}
	s, err := f.client.Subscribe(ctx, connect.NewRequest(asked))
	if err != nil {
		return false, err
	}
	defer s.Close()
	for s.Receive() {
		// Receive fills its own message anew each time.
		m := &overlayv1.SubscribeResponse{Kind: s.Msg().Kind, Records: s.Msg().Records}
		if d, ok := m.Kind.(*overlayv1.SubscribeResponse_Door); !ok {
			f.tell(ctx, news{msg: m, after: m.Records})
		} else if d.Door != "" && !byDoor {
			conn, err := door.Dial(f.client.socket, d.Door)
			if err != nil {
				return false, errors.Join(errNoWay, err)
			}
			byDoor = true
			go f.readDoor(ctx, conn)
		}
	}
	if err := s.Err(); err != nil {
		return byDoor, err
	}
	return byDoor, io.EOF
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
// end of a call that the daemon has closed is io.EOF. Nothing is lost when ctx ends: the
// next call goes on.
func (f *Feed) Next(ctx context.Context) ([]door.Payload, *overlayv1.Subscription, error) {
	if f.busy {
		f.busy = false
		f.done <- struct{}{}
	}
	for {
		messages := f.news
		if n := f.held; n != nil {
			if f.shut || f.read >= n.after {
				if n.err != nil {
					return nil, nil, n.err // and again
				}
				f.held = nil
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
				f.shut = true // the call says why
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
func (f *Feed) Close() { f.cancel() }

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
