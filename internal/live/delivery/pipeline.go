// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sandstream/internal/live/engine"
	"sandstream/internal/live/frame"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay/wire"
)

// pipeline runs packets through SPAs, one after the other.
type pipeline struct {
	s      *spas
	stages []wire.Stage
	slots  []*slot

	in, out atomic.Uint64 // bytes of packets since passed was last called
}

// slot is one SPA. One that was aborted is out of service: packets pass it as
// they are, until revive starts it anew.
type slot struct {
	mu      sync.Mutex
	agent   engine.Agent // nil: out of service
	again   time.Time    // when it is started anew
	backoff time.Duration
	out     [][]byte // packets that left, into buf
	buf     []byte
	ticked  time.Time
}

const (
	firstBackoff   = time.Second
	longestBackoff = time.Minute
)

// keep makes a pipeline of these stages: p itself if it is one. No stages make
// none (nil), whose methods do nothing.
func (s *spas) keep(p *pipeline, stages []wire.Stage) *pipeline {
	if p != nil && reflect.DeepEqual(p.stages, stages) {
		return p
	}
	if len(stages) == 0 {
		return nil
	}
	n := &pipeline{s: s, stages: slices.Clone(stages)}
	for _, st := range stages {
		sl := &slot{backoff: firstBackoff}
		a, err := s.open(st)
		if err != nil {
			// A peer's word may name what is not here: the stream goes on without.
			s.fail(st.SPA, err)
			sl.again = time.Now().Add(longestBackoff)
		} else {
			sl.agent = a
		}
		n.slots = append(n.slots, sl)
	}
	return n
}

// degrading are the stages that make a stream smaller for a subscriber who
// accepts that: by the drop class in the packets' headers, since a host on the way has
// not the key. Of MPEG-TS video the key frames stay, and what the publisher marked as
// discardable goes.
func degrading(spa string) []wire.Stage {
	switch spa {
	case "":
		return nil
	case "filter":
		return []wire.Stage{{SPA: spa, Params: map[string]uint64{"class": uint64(frame.Predicted), "discardable": 1, "null_packets": 0}}}
	}
	return []wire.Stage{{SPA: spa}}
}

// looksInside says whether an SPA looks at more than packets' headers. One that is not
// known here is taken to.
func looksInside(st wire.Stage) bool {
	switch st.SPA {
	case "monitor", "merge", SplitSPA:
		return false
	case "filter":
		nulls, said := st.Params["null_packets"] // on by default
		return !said || nulls != 0 || st.Params["keyframes"] != 0
	}
	return true
}

// atSink are the stages that a subscriber's host runs. What transform has
// compressed on the way is expanded there, said or not.
func atSink(pipeline []wire.Stage) (out []wire.Stage) {
	compressed := false
	for _, st := range pipeline {
		if st.SPA == "transform" {
			compressed = st.Params["expand"] == 0
		}
		if st.Place == wire.AtSink {
			out = append(out, st)
		}
	}
	if compressed {
		out = append(out, wire.Stage{SPA: "transform", Params: map[string]uint64{"expand": 1}, Place: wire.AtSink})
	}
	return out
}

// process is the transport's hook; nil if there is nothing to run.
func (p *pipeline) process() transport.Process {
	if p == nil {
		return nil
	}
	return func(in [][]byte, emit func([]byte)) {
		var from, to uint64
		for _, b := range in {
			from += uint64(len(b))
		}
		for i, sl := range p.slots {
			in = p.run(sl, p.stages[i].SPA, in)
		}
		for _, b := range in {
			to += uint64(len(b))
			emit(b)
		}
		p.in.Add(from)
		p.out.Add(to)
	}
}

// passed is what came in and what left since the last call, in bytes.
func (p *pipeline) passed() (in, out uint64) { return p.in.Swap(0), p.out.Swap(0) }

// run is one SPA's turn. What it returns holds until its next turn. Without
// packets it is for the time that has passed.
func (p *pipeline) run(sl *slot, name string, in [][]byte) [][]byte {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if sl.agent == nil {
		return in
	}
	sl.out, sl.buf = sl.out[:0], sl.buf[:0]
	emit := func(_ int, pkt []byte) {
		at := len(sl.buf)
		sl.buf = append(sl.buf, pkt...)
		sl.out = append(sl.out, sl.buf[at:len(sl.buf):len(sl.buf)])
	}
	var err error
	if every := sl.agent.TickEvery(); every > 0 && time.Since(sl.ticked) >= every {
		sl.ticked = time.Now()
		err = sl.agent.Tick(emit)
	}
	if err == nil && len(in) > 0 {
		err = sl.agent.Batch(in, emit)
	}
	if err != nil {
		p.s.fail(name, err)
		sl.retire(p.s)
		return in
	}
	return sl.out
}

// every is how often the pipeline wants to be called when no packets come; 0:
// never.
func (p *pipeline) every() (d time.Duration) {
	if p == nil {
		return 0
	}
	for _, sl := range p.slots {
		sl.mu.Lock()
		if sl.agent != nil {
			d = oftener(d, sl.agent.TickEvery())
		}
		sl.mu.Unlock()
	}
	return d
}

// oftener is the shorter of two intervals, of which 0 is the longest.
func oftener(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

func (sl *slot) retire(s *spas) {
	s.end(sl.agent)
	sl.agent = nil
	sl.again = time.Now().Add(sl.backoff)
	sl.backoff = min(2*sl.backoff, longestBackoff)
}

// revive starts aborted SPAs anew when their time has come.
func (p *pipeline) revive() {
	if p == nil {
		return
	}
	for i, sl := range p.slots {
		sl.mu.Lock()
		due := sl.agent == nil && time.Now().After(sl.again)
		sl.mu.Unlock()
		if !due {
			continue
		}
		a, err := p.s.open(p.stages[i])
		sl.mu.Lock()
		if err != nil {
			sl.again = time.Now().Add(longestBackoff)
		} else {
			sl.agent = a
		}
		sl.mu.Unlock()
	}
}

func (p *pipeline) close() {
	if p == nil {
		return
	}
	for _, sl := range p.slots {
		sl.mu.Lock()
		if sl.agent != nil {
			p.s.end(sl.agent)
			sl.agent = nil
		}
		sl.mu.Unlock()
	}
}

// counters adds the SPAs' counters to m as "prefix.spa.counter".
func (p *pipeline) counters(prefix string, m map[string]uint64) {
	if p == nil {
		return
	}
	for i, sl := range p.slots {
		sl.mu.Lock()
		if sl.agent != nil {
			for k, v := range sl.agent.Counters() {
				m[prefix+p.stages[i].SPA+"."+k] += v
			}
		}
		sl.mu.Unlock()
	}
}
