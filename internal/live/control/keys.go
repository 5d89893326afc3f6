// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/hex"
	"strings"

	"connectrpc.com/connect"

	"sandstream/internal/fail"
	"sandstream/internal/live/delivery"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
	"sandstream/overlayapi/overlayv1"
)

// publishedAs is the id of a stream of this host, by id or by name.
func publishedAs(s *overlay.Status, what string) (wire.StreamID, error) {
	if id, err := wire.ParseStreamID(what); err == nil {
		return id, nil
	}
	for i := range s.Streams {
		if st := &s.Streams[i]; st.Publisher && st.Info.Name == what {
			return st.Info.ID, nil
		}
	}
	return wire.StreamID{}, fail.Usagef("no stream %q is published on this host: ask the daemon of its publisher", what)
}

func (a api) Subscribers(ctx context.Context, r *connect.Request[overlayv1.SubscribersRequest]) (*connect.Response[overlayv1.SubscribersResponse], error) {
	m := &overlayv1.SubscribersResponse{}
	var err error
	inspected := a.inspect(ctx, func(s *overlay.Status, d *delivery.Streams) {
		var id wire.StreamID
		var holders []delivery.Holder
		if id, err = publishedAs(s, r.Msg.Stream); err == nil {
			holders, err = d.Holders(id)
		}
		for _, h := range holders {
			m.Holders = append(m.Holders, &overlayv1.KeyHolder{
				Host: h.Host.Hex(), Name: h.Name, SinceUnixNs: uint64(h.Since.UnixNano()), Epoch: h.Epoch, Seals: h.Seals,
			})
		}
	})
	if inspected != nil {
		return nil, inspected
	}
	return connect.NewResponse(m), failed(err)
}

func (a api) Evict(ctx context.Context, r *connect.Request[overlayv1.EvictRequest]) (*connect.Response[overlayv1.EvictResponse], error) {
	m := &overlayv1.EvictResponse{}
	var err error
	inspected := a.inspect(ctx, func(s *overlay.Status, d *delivery.Streams) {
		var id wire.StreamID
		var holders []delivery.Holder
		var host wire.HostID
		if id, err = publishedAs(s, r.Msg.Stream); err == nil {
			holders, err = d.Holders(id)
		}
		if err == nil {
			host, err = holderBy(holders, r.Msg.Host)
		}
		if err == nil {
			err = d.Evict(id, host)
		}
		m.Host = host.Hex()
	})
	if inspected != nil {
		return nil, inspected
	}
	return connect.NewResponse(m), failed(err)
}

// leastDigits of a host's id are asked of who names it by its beginning.
const leastDigits = 8

// holderBy finds a host by its whole id, or a holder by the beginning of its.
func holderBy(holders []delivery.Holder, what string) (wire.HostID, error) {
	what = strings.ToLower(what)
	if b, err := hex.DecodeString(what); err == nil && len(b) == len(wire.HostID{}) {
		return wire.HostID(b), nil
	}
	if len(what) < leastDigits {
		return wire.HostID{}, fail.Usagef("host %q: %d hexadecimal digits at least ('overlayd subscribers' lists them)", what, leastDigits)
	}
	var found []wire.HostID
	for _, h := range holders {
		if strings.HasPrefix(h.Host.Hex(), what) {
			found = append(found, h.Host)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return wire.HostID{}, fail.Usagef("no host whose id begins with %s has the stream's key ('overlayd subscribers' lists those that do); name one that has not by its whole id", what)
	}
	return wire.HostID{}, fail.Usagef("%d hosts' ids begin with %s: name more digits", len(found), what)
}
