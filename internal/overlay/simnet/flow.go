// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// Flow is the data plane of one stream: what each host would do with a packet.
type Flow struct {
	w       *Net
	stream  wire.StreamID
	entries map[int]*overlay.ForwardEntry
}

// Watch follows the forwarding entries of a stream from now on.
func (w *Net) Watch(id wire.StreamID) *Flow {
	f := &Flow{w: w, stream: id, entries: map[int]*overlay.ForwardEntry{}}
	old := w.OnEffect
	w.OnEffect = func(h *Host, e overlay.Effect) {
		if old != nil {
			old(h, e)
		}
		if e, ok := e.(overlay.Forward); ok && e.Stream == id {
			if e.Entry == nil {
				delete(f.entries, h.Index)
			} else {
				f.entries[h.Index] = e.Entry
			}
		}
	}
	return f
}

// Packet sends one packet down the tree as it now stands, in no time: for each
// host that delivers it to a local subscription, how often, and how long the
// links of its way take.
func (f *Flow) Packet() (copies map[int]int, delay map[int]Time) {
	copies, delay = map[int]int{}, map[int]Time{}
	type at struct {
		host int
		from wire.HostID
		d    Time
		hops int
	}
	var q []at
	for i, e := range f.entries {
		if e.Publisher && f.w.hosts[i].Up {
			q = append(q, at{host: i})
		}
	}
	for len(q) > 0 {
		a := q[0]
		q = q[1:]
		h, e := f.w.hosts[a.host], f.entries[a.host]
		if !h.Up || e == nil || a.hops > wire.MaxPath || !e.Publisher && e.Upstream.ID != a.from {
			continue // a host takes a stream from its parent only
		}
		if len(e.Local) > 0 {
			copies[a.host]++
			delay[a.host] = a.d
		}
		for _, c := range e.Children {
			to := f.w.HostAt(c.Host.Addr)
			if to.Group == h.Group {
				q = append(q, at{to.Index, h.Peer.ID, a.d + f.w.Delay(h, to), a.hops + 1})
			}
		}
	}
	return copies, delay
}
