// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"sandstream/internal/fail"
	"sandstream/internal/live/engine"
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
// the protocol's trees do themselves; of split the path it writes counts, see parts.go.
var usable = []string{"filter", "transform", "merge", "monitor", SplitSPA}

// Degraders are the SPAs that make a stream smaller so that it is still of use.
func Degraders() []string { return []string{"filter"} }

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
		byName := slices.DeleteFunc(s.available(), func(n string) bool { return n == SplitSPA }) // which users cannot name
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

func (s *spas) fail(name string, err error) {
	s.aborted.Add(1)
	s.mu.Lock()
	s.last = err.Error()
	s.mu.Unlock()
	s.log.Warn("SPA out of service", "spa", name, "err", err)
}

// Engine is what runs the SPAs of a host's streams, and how they do.
type Engine struct {
	Name, Why string   // which engine it is, and why this one
	SPAs      []string // that a stream can name
	Running   int
	Aborted   uint64
	LastAbort string // why
}

func (s *spas) status() Engine {
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	return Engine{
		Name: s.name, Why: s.why, SPAs: s.available(), Running: int(s.running.Load()), Aborted: s.aborted.Load(), LastAbort: last,
	}
}
