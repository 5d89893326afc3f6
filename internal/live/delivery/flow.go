// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"slices"
	"time"

	"sandstream/internal/live/seal"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// flow is what the data plane does with a stream here.
type flow struct {
	entry    overlay.ForwardEntry
	of       wire.StreamID // the transport's stream, see parts.go
	path     uint16        // in its packets' headers
	ingress  *pipeline
	branches map[wire.HostID]*pipeline // by child
	sealer   *seal.Sealer              // of what SPAs make here that look into packets of another host's stream; else nil
}

// Forward puts an entry of the protocol into the transport's table, with its SPAs;
// nil takes the stream out.
func (s *Streams) Forward(id wire.StreamID, e *overlay.ForwardEntry) {
	s.ticks.stale = true
	f := s.flows[id]
	if e == nil {
		if f != nil {
			delete(s.flows, id)
			s.rebuild(f.of, f.entry.Info.Parts)
			f.close()
		}
		return
	}
	of, path := WholeOf(id, &e.Info)
	if f == nil {
		s.spas.start()
		f = &flow{of: of, branches: map[wire.HostID]*pipeline{}}
		s.flows[id] = f
	}
	moved := f.entry.Upstream.ID != e.Upstream.ID
	was, parts := f.of, f.entry.Info.Parts
	f.entry, f.of, f.path = *e, of, path
	old, gone := f.refit(s.spas)
	if f.needsKey() {
		if f.sealer == nil || old != f.ingress {
			f.sealer = seal.NewSealer(of, s.cfg.Self.ID, stageOf(&e.Info, e.Ingress))
		}
		k := s.keysOf(of, e.Info.Publisher.ID)
		k.seals = true
		defer s.seekKey(of, k)
	} else {
		f.sealer = nil
	}
	s.rebuild(of, e.Info.Parts)
	if was != of {
		s.rebuild(was, parts)
	}
	if old != f.ingress {
		old.close()
	}
	for _, p := range gone {
		p.close()
	}
	for _, sub := range e.Local {
		s.local(sub, f, moved)
	}
}

// refit makes the pipelines that the flow's entry asks for. SPAs keep state: those
// that stay keep running. It gives the ingress before, and the branches that are
// gone, to be closed when no packet enters them any more.
func (f *flow) refit(s *spas) (old *pipeline, gone map[wire.HostID]*pipeline) {
	old = f.ingress
	f.ingress = s.keep(old, f.entry.Ingress)
	branches := map[wire.HostID]*pipeline{}
	for _, c := range f.entry.Children {
		p := s.keep(f.branches[c.Host.ID], degrading(c.SPA))
		if p == f.branches[c.Host.ID] {
			delete(f.branches, c.Host.ID)
		}
		if p != nil {
			branches[c.Host.ID] = p
		}
	}
	gone, f.branches = f.branches, branches
	return old, gone
}

// needsKey says whether SPAs here look into packets of another host's stream.
func (f *flow) needsKey() bool {
	return !f.entry.Publisher && f.path == 0 && content(f.entry.Ingress)
}

// content says whether any of these SPAs looks at more than headers: such run where the
// stream's key is.
func content(stages []wire.Stage) bool { return slices.ContainsFunc(stages, looksInside) }

// stageOf numbers a host's part of a pipeline, from 1: by its first stage.
func stageOf(i *wire.StreamInfo, here []wire.Stage) uint16 {
	for n, st := range i.Pipeline {
		if len(here) > 0 && st.SPA == here[0].SPA {
			return uint16(n + 1)
		}
	}
	return 1
}

func (f *flow) close() {
	f.ingress.close()
	for _, p := range f.branches {
		p.close()
	}
}

func (f *flow) revive() {
	f.ingress.revive()
	for _, p := range f.branches {
		p.revive()
	}
}

// here lists the flows that the transport's stream of consists of on this host.
// parts are those of one of them. A stream does not become a part of another by its own
// word: what the first part says counts, or what a reader here was told of it.
func (s *Streams) here(of wire.StreamID, parts []wire.Part) (flows []*flow) {
	ids := []wire.StreamID{of}
	for _, p := range parts {
		if p.ID != of {
			ids = append(ids, p.ID)
		}
	}
	var ref *wire.StreamInfo
	for _, u := range s.subs {
		if u.of == of && u.info != nil {
			ref = u.info
		}
	}
	for _, id := range ids {
		f := s.flows[id]
		if f == nil || f.of != of {
			continue
		}
		i := &f.entry.Info
		if id == of || ref == nil {
			ref = i
		}
		if id == of || slices.Equal(i.Parts, ref.Parts) && i.Publisher.ID == ref.Publisher.ID {
			flows = append(flows, f)
		}
	}
	return flows
}

// rebuild puts what there is of a stream into the transport's table.
func (s *Streams) rebuild(of wire.StreamID, parts []wire.Part) {
	flows := s.here(of, parts)
	if len(flows) == 0 {
		s.cfg.Transport.DelForward(of)
		return
	}
	var t transport.Entry
	if p := s.pubs[of]; p != nil {
		t.Seal = p.book.sealer
	}
	publisher := false
	for _, f := range flows {
		publisher = publisher || f.entry.Publisher
		f.legs(&t, s.ringOf(of))
	}
	if publisher {
		t.Upstream = nil
	} else if len(t.Upstream) == 0 {
		// No host above for now: nothing may come, but what is here stays.
		t.Upstream = []transport.Leg{{Host: s.cfg.Self}}
	}
	if err := s.cfg.Transport.SetForward(of, t); err != nil {
		s.cfg.Log.Warn("forward", "stream", of.String(), "err", err)
	}
}

// legs adds the flow to its stream's entry in the transport's table.
func (f *flow) legs(t *transport.Entry, ring *seal.Ring) {
	e := &f.entry
	if f.path == 0 {
		t.Process = f.ingress.process()
		if f.sealer != nil {
			t.Seal, t.Keys = f.sealer, ring
		}
	}
	if !e.Publisher && !e.Upstream.ID.IsZero() {
		t.Upstream = append(t.Upstream, transport.Leg{Host: e.Upstream, Path: f.path})
	}
	for _, c := range e.Children {
		t.Children = append(t.Children, transport.Leg{
			Host: c.Host, Path: f.path, Cost: time.Duration(c.OutUs) * time.Microsecond, Process: f.branches[c.Host.ID].process(),
		})
	}
}
