// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"reflect"
	"slices"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// beatDue is the publisher's heartbeat.
func (n *Streams) beatDue(t turn.Timer) {
	s := n.streams[wire.StreamID(t.Host)]
	if s == nil || s.gen != t.Key || !s.publisher {
		return
	}
	n.placeStages(s)
	s.seq++
	for i := range s.children {
		n.beatTo(s, &s.children[i])
	}
	n.measureChildren(s)
	n.After(n.Cfg.BeatInterval, t)
}

func (n *Streams) beatTo(s *stream, c *child) {
	c.beats++
	spa := s.thinsFor(c)
	b := s.beat(c)
	b.Seq, b.Todo, b.Degrade, b.SharePpm, b.Number = s.seq, s.todo, spa, s.sharePpm(spa), c.beats
	n.Send(c.Peer, b)
}

// placeStages decides which stages of the pipeline run here: those for the source at
// the publisher, those for anywhere at the first host that has capacity left.
func (n *Streams) placeStages(s *stream) {
	pipeline := s.todo
	if s.publisher {
		pipeline = s.info.Pipeline
	}
	var here, rest []wire.Stage
	busy := n.Cfg.CapacityBps > 0 && n.load() > 0.8*float64(n.Cfg.CapacityBps)
	sink := !slices.ContainsFunc(s.children, func(c child) bool { return !c.trial })
	idle := !s.publisher && sink && len(n.locals(s)) == 0 // nobody to run it for
	for _, st := range pipeline {
		switch {
		case st.Place == wire.AtSource && s.publisher,
			st.Place == wire.Anywhere && len(rest) == 0 && !idle && (!busy || sink):
			here = append(here, st)
		default:
			rest = append(rest, st)
		}
	}
	changed := !reflect.DeepEqual(here, s.ingress)
	s.ingress, s.todo = here, rest
	if changed {
		n.forward(s)
	}
}

func (n *Streams) onBeat(from wire.Peer, m *wire.Beat) {
	s := n.streams[m.Stream]
	if s == nil || s.publisher {
		n.Send(from, &wire.Detach{Stream: m.Stream})
		return
	}
	if from.ID == s.detour.next.ID && !n.detourBeat(s, m) {
		return
	}
	if s.parent.ID != from.ID {
		n.Send(from, &wire.Detach{Stream: m.Stream})
		return
	}
	if m.Info.ID != m.Stream {
		n.Count("beat-dropped")
		return
	}
	if m.End {
		n.endStream(s, m.Why)
		return
	}
	if m.Leave {
		n.lostParent(s, "the host above leaves")
		return
	}
	if len(m.Path) == 0 || len(m.Path) >= wire.MaxPath || m.Path[len(m.Path)-1].Host.ID != from.ID ||
		slices.ContainsFunc(m.Path, func(h wire.Hop) bool { return h.Host.ID == n.Self.ID }) {
		n.Count("stream-loop")
		s.parent = wire.Peer{}
		n.Send(from, &wire.Detach{Stream: m.Stream})
		n.lostParent(s, "the path above is a loop")
		return
	}
	p := n.links.Know(from)
	s.link.took(m.Number)
	hop := wire.Hop{Host: n.Self, Quality: p.Quality(), StayUs: s.stayUs}
	hop.LossPpm = max(hop.LossPpm, s.link.ppm())
	s.heard, s.broken = n.Now, false
	if len(m.Path) > 0 {
		hop.SPA = m.Degrade
	}
	same := len(s.path) == len(m.Path)+1
	for i := 0; same && i < len(m.Path); i++ {
		same = s.path[i].Host.ID == m.Path[i].Host.ID
	}
	s.path = append(slices.Clone(m.Path), hop)
	s.info, s.todo, s.seq, s.degraded, s.abovePpm = m.Info, m.Todo, m.Seq, m.Degrade, min(m.SharePpm, 1e6)
	n.heardEpochs(s, m.Epochs)
	n.placeStages(s)
	if !same {
		n.forward(s)
	}
	for i := range s.children {
		n.beatTo(s, &s.children[i])
	}
	n.measureChildren(s)
	if !p.Settled() {
		n.links.Ping(p)
	}
	n.pathKnown(s, false)
}

// streamDue watches one stream: the parent's beats, our lease there, and the
// children's leases here.
func (n *Streams) streamDue(t turn.Timer) {
	s := n.streams[wire.StreamID(t.Host)]
	if s == nil || s.gen != t.Key {
		return
	}
	n.After(n.Cfg.BeatTimeout/4, t)
	gone := len(s.children)
	s.children = slices.DeleteFunc(s.children, func(c child) bool { return c.until < n.Now })
	if gone != len(s.children) {
		n.forward(s)
	}
	if s.publisher {
		return
	}
	if len(s.children) == 0 && !n.subscribes(s.info.ID) && n.Now-s.since > n.Cfg.LeaseTime {
		n.drop(s)
		return
	}
	renew := uint64(n.Now/(n.Cfg.LeaseTime/4)) != uint64((n.Now-n.Cfg.BeatTimeout/4)/(n.Cfg.LeaseTime/4))
	n.tryOn(s, renew)
	switch {
	case s.parent.ID.IsZero() && !s.broken && n.Now-s.since > n.Cfg.BeatTimeout:
		n.lostParent(s, "no host above")
	case s.broken:
		n.repair(s)
	case n.Now-s.heard > n.Cfg.BeatTimeout:
		n.lostParent(s, "the host above is silent")
	case renew:
		n.attach(s, n.wantDegrade(s))
	}
}

// wantDegrade is the SPA that our parent runs for us, not one further up.
func (n *Streams) wantDegrade(s *stream) string {
	if len(s.path) >= 2 && s.path[len(s.path)-2].SPA == s.degraded {
		return ""
	}
	return s.degraded
}
