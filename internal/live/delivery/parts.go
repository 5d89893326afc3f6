// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"math/bits"
	"slices"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// A split stream is several streams to the protocol, its parts, each with a tree of
// its own, and one stream to the transport: that of the first part, whose id all packets
// bear. The path in a packet's header is the number of its part, and the transport
// forwards by it. So a reader gets all parts, and one orderer makes them whole.

// SplitSPA chooses the path of a packet. Only Plan puts it into a pipeline.
const SplitSPA = "split"

// WholeOf gives the transport's stream and the path of one of the protocol's.
func WholeOf(id wire.StreamID, i *wire.StreamInfo) (wire.StreamID, uint16) {
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
	pipeline = append(pipeline, wire.Stage{SPA: SplitSPA, Params: params})
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

// partsWithin is how long a reader waits for all parts before it gets those that
// have come.
const partsWithin = 3 * time.Second

// subscribeParts asks for the other parts of the stream, over other hosts than those
// of f.
func (s *Streams) subscribeParts(id overlay.SubID, u *subscription, f *flow) {
	if len(u.info.Parts) == 0 || f.of != u.info.Parts[0].ID {
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
	u.parts = map[overlay.SubID]*overlay.SubStatus{}
	for _, p := range u.info.Parts {
		if p.ID == u.info.ID {
			continue
		}
		part, err := s.cfg.Protocol.SubscribeAvoiding(s.cfg.Now(), p.ID, "", u.contract, avoid)
		if err != nil {
			u.reader.finish(fmt.Errorf("part %s of the stream: %w", p.ID, err))
			return
		}
		u.parts[part] = &overlay.SubStatus{ID: part, Stream: p.ID}
		s.partOf[part] = id
	}
}

// settled says whether all parts have a path, or were waited for long enough.
func (u *subscription) settled() bool {
	if u.info == nil {
		return false
	}
	for _, p := range u.parts {
		if p.State == overlay.Resolving && time.Since(u.since) < partsWithin {
			return false
		}
	}
	return true
}

// badness orders states: a whole is as bad as its worst part.
func badness(st overlay.ContractState) int {
	return slices.Index([]overlay.ContractState{
		overlay.Admitted, overlay.AtRisk, overlay.Violated, overlay.Withdrawn, overlay.Interrupted, overlay.Resolving, overlay.Lost,
		overlay.Refused, overlay.Evicted, overlay.Expired, overlay.BrokenOff,
	}, st)
}

// whole is the status of a subscription with its parts; st is the protocol's, of the
// part that was subscribed to.
func (u *subscription) whole(st overlay.SubStatus) overlay.SubStatus {
	if len(u.parts) == 0 {
		return st
	}
	st.Contract = u.contract
	if st.State.Ended() {
		return st
	}
	for _, p := range u.parts {
		state := p.State
		if u.sink != nil && (state == overlay.Resolving || state == overlay.Lost) || state.Ended() {
			state = overlay.Interrupted // the other parts go on
		}
		if badness(state) > badness(st.State) {
			st.State, st.Reason = state, "part "+p.Stream.String()[:8]
			if p.Reason != "" {
				st.Reason += ": " + p.Reason
			}
		}
		if st.Degraded == "" {
			st.Degraded = p.Degraded
		}
		st.Predicted = st.Predicted.Worst(p.Predicted)
		st.Swaps += p.Swaps
		st.Repairs += p.Repairs
		st.Measured.Join(&p.Measured)
	}
	return st
}

// Wholes leaves subscriptions to parts out, which are in their whole's figures.
func (s *Streams) Wholes(subs []overlay.SubStatus) (out []overlay.SubStatus) {
	for i := range subs {
		st := &subs[i]
		if u := s.subs[s.partOf[st.ID]]; u != nil && u.parts[st.ID] != nil {
			u.parts[st.ID] = st
		}
	}
	for _, st := range subs {
		if _, part := s.partOf[st.ID]; part {
			continue
		}
		if u := s.subs[st.ID]; u != nil {
			st = u.whole(st)
		}
		out = append(out, st)
	}
	return out
}

// shareOf is what of a report is a part's: its packets come through one orderer.
func shareOf(r overlay.Report, share float64) overlay.Report {
	of := func(n uint64) uint64 { return uint64(float64(n)*share + 0.5) }
	r.Packets, r.Lost, r.Bytes, r.RateBps = of(r.Packets), of(r.Lost), of(r.Bytes), of(r.RateBps)
	return r
}

// measured tells the protocol what a subscription was delivered.
func (s *Streams) measured(id overlay.SubID, u *subscription, r overlay.Report) {
	now := s.cfg.Now()
	if len(u.parts) == 0 {
		s.cfg.Protocol.Measured(now, id, r)
		return
	}
	s.cfg.Protocol.Measured(now, id, shareOf(r, u.info.Share()))
	i := *u.info
	for part, st := range u.parts {
		i.ID = st.Stream
		s.cfg.Protocol.Measured(now, part, shareOf(r, i.Share()))
	}
}
