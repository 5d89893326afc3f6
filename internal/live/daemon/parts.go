// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"math/bits"
	"slices"
	"time"

	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// A split stream is several streams to the core, its parts, each with a tree of
// its own, and one stream to the transport: that of the first part, whose id all packets
// bear. The path in a packet's header is the number of its part, and the transport
// forwards by it. So a reader gets all parts, and one orderer makes them whole.

// splitSPA chooses the path of a packet. Only publish puts it into a pipeline.
const splitSPA = "split"

// wholeOf gives the transport's stream and the path of one of the core's.
func wholeOf(id wire.StreamID, i *wire.StreamInfo) (wire.StreamID, uint16) {
	for path, p := range i.Parts {
		if p.ID == id {
			return i.Parts[0].ID, uint16(path)
		}
	}
	return id, 0
}

// split makes of a stream its parts; ids are theirs, info's first. Stages for
// anywhere run at the source: behind it there is no host that sees all packets.
func split(info wire.StreamInfo, weights []uint32, ids []wire.StreamID) []wire.StreamInfo {
	var sum uint64
	var parts []wire.Part
	for i, w := range weights {
		sum += uint64(w)
		parts = append(parts, wire.Part{ID: ids[i], Weight: uint16(w)})
	}
	pipeline, params := slices.Clone(info.Pipeline), map[string]uint64{}
	for i := range pipeline {
		if pipeline[i].Place == wire.Anywhere {
			pipeline[i].Place = wire.AtSource
		}
	}
	sinks := atSink(pipeline)
	for i, w := range weights {
		params[fmt.Sprint("weight", i)] = uint64(w)
	}
	pipeline = append(pipeline, wire.Stage{SPA: splitSPA, Params: params})
	var out []wire.StreamInfo
	for i, w := range weights {
		p := info
		p.ID, p.Parts = ids[i], parts
		hi, lo := bits.Mul64(info.RateBps, uint64(w))
		p.RateBps, _ = bits.Div64(hi, lo, sum)
		if i == 0 {
			p.Pipeline = pipeline
		} else {
			p.Pipeline, p.Public = sinks, false
			if p.Name != "" {
				p.Name = fmt.Sprintf("%s#%d", info.Name, i)
			}
			if len(p.Name) > wire.MaxName {
				p.Name = ""
			}
		}
		out = append(out, p)
	}
	return out
}

// here lists the flows that the transport's stream of consists of on this host.
// parts are those of one of them. A stream does not become a part of another by its own
// word: what the first part says counts, or what a reader here was told of it.
func (d *Daemon) here(of wire.StreamID, parts []wire.Part) (flows []*flow) {
	ids := []wire.StreamID{of}
	for _, p := range parts {
		if p.ID != of {
			ids = append(ids, p.ID)
		}
	}
	var ref *wire.StreamInfo
	for _, s := range d.subs {
		if s.of == of && s.info != nil {
			ref = s.info
		}
	}
	for _, id := range ids {
		f := d.flows[id]
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
func (d *Daemon) rebuild(of wire.StreamID, parts []wire.Part) {
	flows := d.here(of, parts)
	if len(flows) == 0 {
		d.tr.DelForward(of)
		return
	}
	var t transport.Entry
	publisher := false
	for _, f := range flows {
		e := &f.entry
		publisher = publisher || e.Publisher
		if f.path == 0 {
			t.Process = f.ingress.process()
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
	if publisher {
		t.Upstream = nil
	} else if len(t.Upstream) == 0 {
		// No host above for now: nothing may come, but what is here stays.
		t.Upstream = []transport.Leg{{Host: d.Self()}}
	}
	if err := d.tr.SetForward(of, t); err != nil {
		d.log.Warn("forward", "stream", of.String(), "err", err)
	}
}

// partsWithin is how long a reader waits for all parts before it gets those that
// have come.
const partsWithin = 3 * time.Second

// local gives a flow to a local subscription: to its reader, who waits until
// all parts have a path.
func (d *Daemon) local(sub overlay.SubID, f *flow, moved bool) {
	if whole, ok := d.partOf[sub]; ok {
		sub = whole
	}
	s := d.subs[sub]
	if s == nil {
		return
	}
	if moved {
		s.order.above()
	}
	if s.info == nil {
		i := f.entry.Info
		s.info, s.of, s.since = &i, f.of, time.Now()
		d.subscribeParts(sub, s, f)
		d.stateOf(sub, s, false)
	}
	s.attach(d)
}

// subscribeParts asks for the other parts of the stream, over other hosts than those
// of f.
func (d *Daemon) subscribeParts(id overlay.SubID, s *subscription, f *flow) {
	if len(s.info.Parts) == 0 || f.of != s.info.Parts[0].ID {
		return
	}
	var avoid []wire.HostID
	if p := f.entry.Path; len(p) > 2 {
		for _, h := range p[1 : len(p)-1] {
			if len(avoid) < 8 {
				avoid = append(avoid, h.Host.ID)
			}
		}
	}
	s.parts = map[overlay.SubID]*overlay.SubStatus{}
	for _, p := range s.info.Parts {
		if p.ID == s.info.ID {
			continue
		}
		part, err := d.node.SubscribeAvoiding(d.now(), p.ID, "", s.contract, avoid)
		if err != nil {
			s.finish(fmt.Errorf("part %s of the stream: %w", p.ID, err))
			return
		}
		s.parts[part] = &overlay.SubStatus{ID: part, Stream: p.ID}
		d.partOf[part] = id
	}
}

// settled says whether all parts have a path, or were waited for long enough.
func (s *subscription) settled() bool {
	if s.info == nil {
		return false
	}
	for _, u := range s.parts {
		if u.State == overlay.Resolving && time.Since(s.since) < partsWithin {
			return false
		}
	}
	return true
}

// badness orders states: a whole is as bad as its worst part.
func badness(st overlay.ContractState) int {
	return slices.Index([]overlay.ContractState{
		overlay.Admitted, overlay.AtRisk, overlay.Violated, overlay.Withdrawn, overlay.Interrupted, overlay.Resolving, overlay.Refused,
	}, st)
}

// whole is the status of a subscription with its parts; u is the core's, of the
// part that was subscribed to.
func (s *subscription) whole(u overlay.SubStatus) overlay.SubStatus {
	if len(s.parts) == 0 {
		return u
	}
	u.Contract = s.contract
	if u.State == overlay.Withdrawn {
		return u
	}
	for _, p := range s.parts {
		st := p.State
		if s.sink != nil && st == overlay.Resolving || st == overlay.Withdrawn {
			st = overlay.Interrupted // the other parts go on
		}
		if badness(st) > badness(u.State) {
			u.State, u.Reason = st, "part "+p.Stream.String()[:8]
			if p.Reason != "" {
				u.Reason += ": " + p.Reason
			}
		}
		if u.Degraded == "" {
			u.Degraded = p.Degraded
		}
		u.PredictedUs, u.PredictedPpm = max(u.PredictedUs, p.PredictedUs), max(u.PredictedPpm, p.PredictedPpm)
		u.Swaps += p.Swaps
		u.Repairs += p.Repairs
		m := &u.Measured
		m.Packets += p.Measured.Packets
		m.Lost += p.Measured.Lost
		m.Bytes += p.Measured.Bytes
		m.RateBps += p.Measured.RateBps
		m.P99Us, m.MeanUs = max(m.P99Us, p.Measured.P99Us), max(m.MeanUs, p.Measured.MeanUs)
	}
	return u
}

// wholes leaves subscriptions to parts out, which are in their whole's figures.
func (d *Daemon) wholes(subs []overlay.SubStatus) (out []overlay.SubStatus) {
	for i := range subs {
		u := &subs[i]
		if s := d.subs[d.partOf[u.ID]]; s != nil && s.parts[u.ID] != nil {
			s.parts[u.ID] = u
		}
	}
	for _, u := range subs {
		if _, part := d.partOf[u.ID]; part {
			continue
		}
		if s := d.subs[u.ID]; s != nil {
			u = s.whole(u)
		}
		out = append(out, u)
	}
	return out
}

// shareOf is what of a report is a part's: its packets come through one orderer.
func shareOf(r overlay.Report, share float64) overlay.Report {
	of := func(n uint64) uint64 { return uint64(float64(n)*share + 0.5) }
	r.Packets, r.Lost, r.Bytes, r.RateBps = of(r.Packets), of(r.Lost), of(r.Bytes), of(r.RateBps)
	return r
}

// measured tells the core what a subscription was delivered.
func (d *Daemon) measured(id overlay.SubID, s *subscription, r overlay.Report) {
	now := d.now()
	if len(s.parts) == 0 {
		d.node.Measured(now, id, r)
		return
	}
	d.node.Measured(now, id, shareOf(r, s.info.Share()))
	i := *s.info
	for part, u := range s.parts {
		i.ID = u.Stream
		d.node.Measured(now, part, shareOf(r, i.Share()))
	}
}
