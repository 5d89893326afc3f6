// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"math"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
	"sandstream/overlayapi/overlayv1"
)

// carryOut does what the core wants done. It runs in the loop.
func (d *Daemon) carryOut() {
	var buf []byte
	// An effect may lead to another input of the core, whose effects follow.
	for more := true; more; {
		more = false
		var fx []overlay.Effect
		d.node.Effects(func(e overlay.Effect) { fx = append(fx, e) })
		for _, e := range fx {
			more = true
			switch e := e.(type) {
			case overlay.Send:
				buf = wire.Encode(buf[:0], e.Msg)
				if err := d.tr.SendControl(e.To, buf); err != nil {
					// The core sends again what matters.
					d.sendFails.Add(1)
					d.log.Debug("send", "to", e.To.String(), "message", wire.KindOf(e.Msg).String(), "err", err)
				}
			case overlay.Forward:
				d.forward(e.Stream, e.Entry)
			case overlay.SubChanged:
				d.subChanged(e)
			default:
				d.event(e)
			}
		}
	}
}

// event tells the log and those who watch.
func (d *Daemon) event(e overlay.Effect) {
	w := &overlayv1.WatchResponse{}
	switch e := e.(type) {
	case overlay.Owned:
		w.Kind, w.Zone = "owned", zoneOf(&e.Record)
		d.log.Info("owns", "ids", e.Record.Zone.String(), "epoch", e.Record.Counter)
	case overlay.Released:
		w.Kind, w.Zone = "released", zoneOf(&e.Record)
		d.log.Info("released", "ids", e.Record.Zone.String(), "epoch", e.Record.Counter)
	case overlay.Event:
		w.Kind, w.Host, w.Detail = e.Kind, hostOf(e.Host), e.Detail
		d.log.Info(e.Kind, "peer", e.Host.String(), "detail", e.Detail)
	case overlay.Joined:
		w.Kind = "joined"
		d.log.Info("joined")
		closeOnce(d.joined)
	case overlay.Left:
		w.Kind = "left"
		d.log.Info("left")
		closeOnce(d.left)
	}
	d.tell(w)
}

// closeOnce closes a channel that only the loop closes.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// tell gives an event to all who watch; who is slow misses it.
func (d *Daemon) tell(w *overlayv1.WatchResponse) {
	w.TimeUs = uint64(time.Now().UnixMicro())
	d.watchMu.Lock()
	defer d.watchMu.Unlock()
	for c := range d.watchers {
		select {
		case c <- w:
		default:
		}
	}
}

// watch adds one who watches; cancel takes it away.
func (d *Daemon) watch() (events <-chan *overlayv1.WatchResponse, cancel func()) {
	c := make(chan *overlayv1.WatchResponse, 256)
	d.watchMu.Lock()
	d.watchers[c] = struct{}{}
	d.watchMu.Unlock()
	return c, func() {
		d.watchMu.Lock()
		delete(d.watchers, c)
		d.watchMu.Unlock()
	}
}

// measure tells the core what was delivered since it was last told, and brings
// aborted SPAs back.
func (d *Daemon) measure() {
	now := d.now()
	for id, s := range d.subs {
		r := s.order.measure()
		s.sinks.revive()
		s.attach(d) // if its parts were waited for long enough
		if s.sink != nil {
			d.measured(id, s, r)
			d.tellOverrun(s)
		}
	}
	for id, f := range d.flows {
		f.revive()
		for _, c := range f.entry.Children {
			if p := f.branches[c.Host.ID]; p != nil {
				in, out := p.passed()
				d.node.Thinned(now, id, c.SPA, in, out)
			}
		}
	}
	if len(d.flows) == 0 {
		return
	}
	d.ticks.stale = true // an SPA may have gone out of service or come back
	type leg struct {
		of   wire.StreamID
		path uint16
	}
	stays := map[leg]time.Duration{}
	for _, s := range d.tr.Streams() {
		for _, c := range s.Children {
			l := leg{s.ID, c.Path}
			stays[l] = max(stays[l], c.Stay)
		}
	}
	for id, f := range d.flows {
		if stay := stays[leg{f.of, f.path}]; stay > 0 {
			d.node.Residence(now, id, uint32(min(stay.Microseconds(), math.MaxUint32)))
		}
	}
}
