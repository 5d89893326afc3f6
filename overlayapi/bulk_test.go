// SPDX-License-Identifier: Apache-2.0

package overlayapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"sandstream/overlayapi/door"
	"sandstream/overlayapi/overlayv1"
	"sandstream/overlayapi/overlayv1/overlayv1connect"
)

// daemon is a made-up one, whose calls are the test's.
type daemon struct {
	overlayv1connect.UnimplementedOverlayHandler
	socket    string
	subscribe func(asked bool, out *connect.ServerStream[overlayv1.SubscribeResponse]) error
	publish   func(s *connect.BidiStream[overlayv1.PublishRequest, overlayv1.PublishResponse]) error
}

func (d *daemon) Subscribe(_ context.Context, r *connect.Request[overlayv1.SubscribeRequest], out *connect.ServerStream[overlayv1.SubscribeResponse]) error {
	return d.subscribe(r.Msg.Door, out)
}

func (d *daemon) Publish(_ context.Context, s *connect.BidiStream[overlayv1.PublishRequest, overlayv1.PublishResponse]) error {
	return d.publish(s)
}

func serveDaemon(t *testing.T, d *daemon) *Client {
	t.Helper()
	d.socket = filepath.Join(t.TempDir(), "api.sock")
	l, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(overlayv1connect.NewOverlayHandler(d, connect.WithCodec(Codec{})))
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: mux, Protocols: &p}
	go srv.Serve(l)
	c := Dial(d.socket)
	t.Cleanup(func() { c.Close(); srv.Close() })
	return c
}

func changed(state string, records uint64) *overlayv1.SubscribeResponse {
	return &overlayv1.SubscribeResponse{Records: records, Kind: &overlayv1.SubscribeResponse_Changed{Changed: &overlayv1.Subscription{State: state}}}
}

func message(text string) *overlayv1.SubscribeResponse {
	return &overlayv1.SubscribeResponse{Kind: &overlayv1.SubscribeResponse_Payloads{Payloads: &overlayv1.Payloads{
		Payloads: []*overlayv1.Payload{{Data: []byte(text), Key: true}},
	}}}
}

func doorMessage(name string) *overlayv1.SubscribeResponse {
	return &overlayv1.SubscribeResponse{Kind: &overlayv1.SubscribeResponse_Door{Door: name}}
}

// all reads a feed to its end: payloads as they are, changes in brackets.
func all(t *testing.T, c *Client) (got string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f := c.Feed(ctx, &overlayv1.SubscribeRequest{Stream: "x"})
	defer f.Close()
	for {
		ps, ch, err := f.Next(ctx)
		if err != nil {
			return got, err
		}
		for _, p := range ps {
			got += string(p.Data) + strings.Repeat("!", int(p.Flags))
		}
		if ch != nil {
			got += "[" + ch.State + "]"
		}
	}
}

// enter makes the daemon's side of a door, of which the caller is told by say.
func (d *daemon) enter(say func(name string) error) (*door.Conn, error) {
	w, err := door.Open(d.socket)
	if err != nil {
		return nil, err
	}
	if err := say(w.Name()); err != nil {
		return nil, err
	}
	return w.Accept(context.Background(), time.Minute)
}

// A change comes after the payloads that were delivered before it, though the two take
// different ways.
func TestFeedKeepsTheOrder(t *testing.T) {
	d := &daemon{}
	d.subscribe = func(_ bool, out *connect.ServerStream[overlayv1.SubscribeResponse]) error {
		in, err := d.enter(func(name string) error { return out.Send(doorMessage(name)) })
		if err != nil {
			return err
		}
		defer in.Close()
		put := func(text string) error {
			return errors.Join(in.Put(door.Payload{Data: []byte(text), Flags: door.Key}), in.Flush())
		}
		// The word of the second overtakes it.
		if err := errors.Join(out.Send(changed("first", 0)), put("a"), out.Send(changed("second", 2))); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
		for i := range 200 {
			if err := put(fmt.Sprint(i % 10)); err != nil {
				return err
			}
		}
		return out.Send(changed("last", in.Records()))
	}
	got, err := all(t, serveDaemon(t, d))
	if !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if at := strings.Index(got, "[second]"); at < strings.Index(got, "0!")+2 {
		t.Errorf("the second change came too early: %s", got)
	}
	if !strings.HasSuffix(got, "9![last]") {
		t.Errorf("the last change did not come last: %s", got)
	}
	want := "a!"
	for i := range 200 {
		want += fmt.Sprint(i%10) + "!"
	}
	if got = regexp.MustCompile(`\[[a-z]*\]`).ReplaceAllString(got, ""); got != want {
		t.Errorf("got\n%s want\n%s", got, want)
	}
}

func TestFeedWithoutADoor(t *testing.T) {
	for _, c := range []struct {
		name  string
		first []*overlayv1.SubscribeResponse // if a door was asked for
		asked []bool
	}{
		{"of a daemon that knows of none", nil, []bool{true}},
		{"of a daemon that cannot make one", []*overlayv1.SubscribeResponse{doorMessage("")}, []bool{true}},
		{"where it cannot be reached", []*overlayv1.SubscribeResponse{doorMessage("api.sock.0123456789abcdef")}, []bool{true, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []bool
			d := &daemon{subscribe: func(wanted bool, out *connect.ServerStream[overlayv1.SubscribeResponse]) error {
				asked = append(asked, wanted)
				if wanted {
					for _, m := range c.first {
						if err := out.Send(m); err != nil {
							return err
						}
					}
				}
				return errors.Join(out.Send(message("a")), out.Send(changed("b", 0)), out.Send(message("c")))
			}}
			got, err := all(t, serveDaemon(t, d))
			if got != "a![b]c!" || !errors.Is(err, io.EOF) {
				t.Errorf("got %s, %v", got, err)
			}
			if !slices.Equal(asked, c.asked) {
				t.Errorf("asked for a door: %v", asked)
			}
		})
	}
}

// What was sent before the daemon's end is read, then comes its reason.
func TestFeedEndsWithTheReason(t *testing.T) {
	d := &daemon{}
	d.subscribe = func(_ bool, out *connect.ServerStream[overlayv1.SubscribeResponse]) error {
		in, err := d.enter(func(name string) error { return out.Send(doorMessage(name)) })
		if err != nil {
			return err
		}
		defer in.Close()
		if err := errors.Join(in.Put(door.Payload{Data: []byte("a")}), in.Flush()); err != nil {
			return err
		}
		return connect.NewError(connect.CodeUnavailable, errors.New("stopping"))
	}
	got, err := all(t, serveDaemon(t, d))
	if got != "a" || connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFeedRefused(t *testing.T) {
	d := &daemon{subscribe: func(bool, *connect.ServerStream[overlayv1.SubscribeResponse]) error {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("no"))
	}}
	if got, err := all(t, serveDaemon(t, d)); got != "" || connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestPublication(t *testing.T) {
	for _, c := range []struct {
		name string
		door func(d *daemon) string // told to the caller who asks for one; "real" makes one
		want int                    // calls
	}{
		{"by a door", func(*daemon) string { return "real" }, 1},
		{"of a daemon that knows of none", func(*daemon) string { return "" }, 1},
		{"where it cannot be reached", func(*daemon) string { return "api.sock.0123456789abcdef" }, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got string
			calls := 0
			d := &daemon{}
			d.publish = func(s *connect.BidiStream[overlayv1.PublishRequest, overlayv1.PublishResponse]) error {
				calls++
				got = ""
				first, err := s.Receive()
				if err != nil {
					return err
				}
				take := func(ps []door.Payload) {
					for _, p := range ps {
						got += string(p.Data) + strings.Repeat("!", int(p.Flags))
					}
				}
				say := func(name string) error { return s.Send(&overlayv1.PublishResponse{Stream: "id", Door: name}) }
				name := ""
				if first.GetAnnounce().Door {
					name = c.door(d)
				}
				if name == "real" {
					in, err := d.enter(say)
					if err != nil {
						return err
					}
					defer in.Close()
					for {
						ps, err := in.Next()
						if errors.Is(err, io.EOF) {
							break
						}
						if err != nil {
							return err
						}
						take(ps)
					}
				} else if err := say(name); err != nil {
					return err
				}
				for {
					m, err := s.Receive()
					if errors.Is(err, io.EOF) {
						return s.Send(&overlayv1.PublishResponse{Packets: uint64(len(got))})
					}
					if err != nil {
						return err
					}
					take(unpack(m.GetPayloads().GetPayloads()))
				}
			}
			p, err := serveDaemon(t, d).Announced(context.Background(), &overlayv1.Announce{Name: "x"})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			err = errors.Join(
				p.Send([]door.Payload{{Data: []byte("a")}, {Data: []byte("b"), Flags: door.Key}}),
				p.Send([]door.Payload{{Data: []byte("c"), Flags: door.Key | door.Discardable}}),
				p.End(),
			)
			if err != nil {
				t.Fatal(err)
			}
			last, err := p.Wait()
			if err != nil || got != "ab!c!!!" || int(last.Packets) != len(got) || p.Stream != "id" || calls != c.want {
				t.Errorf("got %q in %d calls, %v, %v", got, calls, last, err)
			}
		})
	}
}
