// SPDX-License-Identifier: Apache-2.0

package control

import (
	"sync"
	"time"

	"sandstream/internal/live/delivery"
	"sandstream/internal/overlay"
	"sandstream/overlayapi/overlayv1"
)

// watchers are those who want to hear of events.
type watchers struct {
	mu  sync.Mutex
	all map[chan *overlayv1.WatchResponse]struct{}
}

// add adds one who watches; remove takes it away.
func (w *watchers) add() (events <-chan *overlayv1.WatchResponse, remove func()) {
	c := make(chan *overlayv1.WatchResponse, 256)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[chan *overlayv1.WatchResponse]struct{}{}
	}
	w.all[c] = struct{}{}
	return c, func() {
		w.mu.Lock()
		delete(w.all, c)
		w.mu.Unlock()
	}
}

// tell gives an event to all who watch; who is slow misses it.
func (w *watchers) tell(m *overlayv1.WatchResponse) {
	m.TimeUs = uint64(time.Now().UnixMicro())
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.all {
		select {
		case c <- m:
		default:
		}
	}
}

// Event tells those who watch of an effect of the protocol.
func (s *Server) Event(e overlay.Effect) {
	m := &overlayv1.WatchResponse{}
	switch e := e.(type) {
	case overlay.Owned:
		m.Kind, m.Zone = "owned", zoneOf(&e.Record)
	case overlay.Released:
		m.Kind, m.Zone = "released", zoneOf(&e.Record)
	case overlay.Event:
		m.Kind, m.Host, m.Detail = e.Kind, hostOf(e.Host), e.Detail
	case overlay.Joined:
		m.Kind = "joined"
	case overlay.Left:
		m.Kind = "left"
	}
	s.watchers.tell(m)
}

// Changed tells those who watch of a subscription.
func (s *Server) Changed(c *delivery.Change) {
	s.watchers.tell(&overlayv1.WatchResponse{Kind: "subscription", Subscription: changeOf(c)})
}
