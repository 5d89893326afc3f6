// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"fmt"
	"strconv"

	"connectrpc.com/connect"

	"sandstream/internal/overlay/wire"
	"sandstream/overlayapi"
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
	m, err := a.walk(ctx, from, zonesAtOnce, limit)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(m), nil
}

// walk goes over the zones from an id on, until there are so many zones or entries.
func (a api) walk(ctx context.Context, from wire.Point, zones, entries int) (*overlayv1.DirectoryResponse, error) {
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
			return m, nil
		}
		if n := len(m.Map); n == 0 || m.Map[n-1].Digits != l.Zone.Zone.String() { // else a zone in several parts
			m.Map = append(m.Map, zoneOf(&l.Zone))
		}
		if from = l.Next; from == 0 {
			return m, nil
		}
		if len(m.Entries) >= entries || int(m.Zones) >= zones {
			m.Next = strconv.FormatUint(uint64(from), 16)
			return m, nil
		}
	}
}

// Bounds of what the web page shows of the whole overlay.
const (
	zonesOfPage   = 4096
	entriesOfPage = 1024
)

// overlay is the whole overlay for the web page, as far as the bounds go.
func (a api) overlay(ctx context.Context) ([]byte, error) {
	m, err := a.walk(ctx, 0, zonesOfPage, entriesOfPage)
	if err != nil {
		return nil, err
	}
	return overlayapi.MarshalJSON(m)
}

func entryOf(i *wire.StreamInfo) *overlayv1.Entry {
	return &overlayv1.Entry{Id: i.ID.String(), Name: i.Name, Publisher: hostOf(i.Publisher), RateBps: i.RateBps, Pipeline: stagesOf(i.Pipeline)}
}
