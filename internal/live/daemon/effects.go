// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"sandstream/internal/fail"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
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
					d.counters.sendFails.Add(1)
					d.log.Debug("send", "to", e.To.String(), "message", wire.KindOf(e.Msg).String(), "err", err)
				}
			case overlay.Forward:
				d.streams.Forward(e.Stream, e.Entry)
			case overlay.SubChanged:
				d.streams.SubChanged(e)
			case overlay.Listed:
				if c := d.lists[e.List]; c != nil {
					delete(d.lists, e.List)
					c <- e
				}
			case overlay.KeyAsked:
				d.streams.KeyAsked(e)
			case overlay.KeyGranted:
				d.streams.KeyGranted(e)
			case overlay.EpochsChanged:
				d.streams.EpochsChanged(e)
			default:
				d.event(e)
			}
		}
	}
}

// event tells the log and those who watch, and takes note of what it means to the
// host.
func (d *Daemon) event(e overlay.Effect) {
	switch e := e.(type) {
	case overlay.Owned:
		d.log.Info("owns", "ids", e.Record.Zone.String(), "epoch", e.Record.Counter)
	case overlay.Released:
		d.log.Info("released", "ids", e.Record.Zone.String(), "epoch", e.Record.Counter)
	case overlay.Event:
		about := []any{}
		if !e.Host.ID.IsZero() {
			about = append(about, "peer", e.Host.String())
		}
		if e.Detail != "" {
			about = append(about, "detail", e.Detail)
		}
		d.log.Info(e.Kind, about...)
		if e.Kind == overlay.EventShutOut {
			d.membership.fail(fail.Usagef("join: %s", e.Detail))
		}
	case overlay.Joined:
		d.log.Info("joined")
		closeOnce(d.membership.joined)
		d.problems.clear()
	case overlay.Left:
		d.log.Info("left")
		closeOnce(d.membership.left)
	}
	d.control.Event(e)
}

// closeOnce closes a channel that only the loop closes.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}
