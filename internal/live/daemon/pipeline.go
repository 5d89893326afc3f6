// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sandstream/internal/fail"
	"sandstream/internal/live/engine"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay/wire"
	"sandstream/uls"
)

// spas runs the SPAs of all streams of this host. A host that no stream passes
// has no engine yet.
type spas struct {
	name, why string
	log       *slog.Logger
	begin     sync.Once
	engine    *engine.Portable
	running   atomic.Int64
	aborted   atomic.Uint64
	mu        sync.Mutex
	last      string // why the last was aborted
	warm      sync.WaitGroup
}

// usable are the SPAs of streams. multicast chooses among several outputs, which
// the core's trees do themselves; of split the path it writes counts, see parts.go.
var usable = []string{"filter", "transform", "merge", "monitor", splitSPA}

// degraders are the SPAs that make a stream smaller so that it is still of use.
var degraders = []string{"filter"}

func newSPAs(log *slog.Logger) *spas {
	s := &spas{log: log}
	s.name, s.why = choose()
	return s
}

// start makes the engine. The first instance of a module compiles it, which
// takes a while: that is done in the background as soon as there is a stream,
// before a packet waits.
func (s *spas) start() {
	s.begin.Do(func() {
		s.engine = engine.NewPortable(context.Background())
		s.warm.Go(func() {
			for _, name := range s.available() {
				if a, err := s.engine.Open(context.Background(), name, engine.Limits{}); err != nil {
					s.log.Warn("SPA", "name", name, "err", err)
				} else {
					a.Close()
				}
			}
		})
	})
}

// choose says which engine runs a stream's SPAs, and why.
func choose() (name, why string) {
	c, err := uls.New()
	if err != nil {
		return "portable", fmt.Sprintf("WebAssembly in this process, since %v", err)
	}
	c.Close()
	return "portable", "WebAssembly in this process: this kernel has user-level sandboxing, but peers seal their packets, " +
		"and what they hold is known only after this process opened them"
}

func (s *spas) close() {
	s.warm.Wait()
	if s.engine != nil {
		s.engine.Close()
	}
}

// available lists the SPAs that a stream can name.
func (s *spas) available() []string {
	var v []string
	for _, n := range engine.Shipped() {
		if slices.Contains(usable, n) {
			v = append(v, n)
		}
	}
	return v
}

// check says what is wrong with a pipeline, by starting its SPAs once.
func (s *spas) check(stages []wire.Stage) error {
	for _, st := range stages {
		a, err := s.open(st)
		if err != nil {
			return err
		}
		s.end(a)
	}
	return nil
}

// spasAtOnce bounds the SPA instances on a host: other hosts' streams name them.
const spasAtOnce = 128

// open starts an SPA, which counts as running until end.
func (s *spas) open(st wire.Stage) (engine.Agent, error) {
	if !slices.Contains(s.available(), st.SPA) {
		byName := slices.DeleteFunc(s.available(), func(n string) bool { return n == splitSPA }) // which infoOf refuses
		return nil, fail.Usagef("SPA %q: a stream can have %s", st.SPA, strings.Join(byName, ", "))
	}
	if s.running.Add(1) > spasAtOnce {
		s.running.Add(-1)
		return nil, fmt.Errorf("SPA %q: %d SPAs run on this host, and no more may: end a stream, or name fewer", st.SPA, spasAtOnce)
	}
	s.start()
	a, err := s.engine.Open(context.Background(), st.SPA, engine.Limits{})
	if err != nil {
		s.running.Add(-1)
		return nil, err
	}
	for _, k := range slices.Sorted(maps.Keys(st.Params)) {
		if err := a.Set(k, st.Params[k]); err != nil {
			s.end(a)
			switch {
			case errors.Is(err, engine.ErrUnknownParam):
				return nil, fail.Usagef("%w", err)
			case errors.Is(err, engine.ErrParamRange):
				return nil, fail.Usagef("SPA %s: %d is out of the range of %s", st.SPA, st.Params[k], k)
			}
			return nil, err
		}
	}
	return a, nil
}

func (s *spas) end(a engine.Agent) {
	a.Close()
	s.running.Add(-1)
}

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
// accepts that: of MPEG-TS video the key frames stay, and what the publisher
// marked as discardable goes.
func degrading(spa string) []wire.Stage {
	switch spa {
	case "":
		return nil
	case "filter":
		return []wire.Stage{{SPA: spa, Params: map[string]uint64{"keyframes": 1, "discardable": 1}}}
	}
	return []wire.Stage{{SPA: spa}}
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

func (s *spas) fail(name string, err error) {
	s.aborted.Add(1)
	s.mu.Lock()
	s.last = err.Error()
	s.mu.Unlock()
	s.log.Warn("SPA out of service", "spa", name, "err", err)
}

func (s *spas) lastAbort() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
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
