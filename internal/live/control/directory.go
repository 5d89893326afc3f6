// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"fmt"
	"strconv"

	"connectrpc.com/connect"

	"sandstream/internal/overlay/wire"
	"sandstream/overlayapi/overlayv1"
)

// Bounds of a page of the directory.
const (
	zonesAtOnce   = 64
	entriesAtOnce = 256
)

func (a api) Directory(ctx context.Context, r *connect.Request[overlayv1.DirectoryRequest]) (*connect.Response[overlayv1.DirectoryResponse], error) {
	from := wire.Point(0)
	if p := r.Msg.Page; p != "" {
		v, err := strconv.ParseUint(p, 16, 64)
		if err != nil {
			return nil, invalid(fmt.Errorf("page %q is not the next of a page before", p))
		}
		from = wire.Point(v)
	}
	limit := int(r.Msg.Limit)
	if limit == 0 || limit > entriesAtOnce {
		limit = entriesAtOnce
	}
	m := &overlayv1.DirectoryResponse{}
	for {
		l, err := a.host.List(ctx, from)
		if err != nil {
			return nil, failed(err)
		}
		m.Zones++
		for i := range l.Infos {
			m.Entries = append(m.Entries, entryOf(&l.Infos[i]))
		}
		if l.Err != "" {
			m.Incomplete = l.Err
			return connect.NewResponse(m), nil
		}
		if from = l.Next; from == 0 {
			return connect.NewResponse(m), nil
		}
		if len(m.Entries) >= limit || m.Zones >= zonesAtOnce {
			m.Next = strconv.FormatUint(uint64(from), 16)
			return connect.NewResponse(m), nil
		}
	}
}

func entryOf(i *wire.StreamInfo) *overlayv1.Entry {
	return &overlayv1.Entry{Id: i.ID.String(), Name: i.Name, Publisher: hostOf(i.Publisher), RateBps: i.RateBps, Pipeline: stagesOf(i.Pipeline)}
}
