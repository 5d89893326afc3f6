// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Engine runs SPAs by the name they are shipped under.
type Engine interface {
	// Name is "portable" or "kernel".
	Name() string
	// Open starts an instance of a shipped SPA. The error is ErrUnknownSPA for a
	// name that is not there.
	Open(ctx context.Context, name string, l Limits) (Agent, error)
}

// Agent is a running SPA. Methods may be called from any goroutine; they wait
// for one another. Once the SPA is aborted, each returns its *AbortError.
type Agent interface {
	Name() string
	// Batch gives datagrams (data header and payload) to the SPA and hands what
	// it sends to emit, in order. See Instance.Batch.
	Batch(in [][]byte, emit Emit) error
	// Tick lets time pass: what the SPA kept and now sends goes to emit.
	Tick(emit Emit) error
	// TickEvery is how often the SPA wants Tick; 0: never.
	TickEvery() time.Duration
	// Set changes a parameter.
	Set(param string, value uint64) error
	// AddOutput and DelOutput tell an SPA that has a table of destinations
	// (multicast, forward) of one.
	AddOutput(out int) error
	DelOutput(out int) error
	// Counters are the SPA's, by name, and the engine's, which begin with "engine_".
	Counters() map[string]uint64
	Close() error
}

// Emit takes a datagram that an SPA sends: the number of its output and its
// bytes, which are the SPA's memory and hold until Emit returns. It must not
// call the Agent.
type Emit func(out int, pkt []byte)

// MaxOutput is the highest number of an output.
const MaxOutput = 1<<24 - 1

// Limits bound what one instance may use. Zero values mean the defaults.
type Limits struct {
	Pages  uint32 // of 64 KiB: all linear memory; default 4 MiB and 2 KiB for each of Frames
	Fuel   uint64 // per upcall, about one per instruction; default 20 million (tens of ms)
	Frames uint32 // datagrams in the SPA at once, a power of two, 2 KiB each; default 512
	Batch  int    // datagrams per upcall, 1 to 64; default 64
}

func (l Limits) withDefaults() (Limits, error) {
	if l.Fuel == 0 {
		l.Fuel = 20e6
	}
	if l.Frames == 0 {
		l.Frames = 512
	}
	if l.Pages == 0 {
		l.Pages = 64 + l.Frames/(wasmPage/chunkSize)
	}
	if l.Batch == 0 {
		l.Batch = maxBatch
	}
	switch {
	case l.Pages > 16384:
		return l, fmt.Errorf("limit of %d pages of memory: more than 16384 (1 GiB)", l.Pages)
	case l.Fuel > 1<<62:
		return l, fmt.Errorf("limit of %d fuel: more than 2^62", l.Fuel)
	case l.Frames&(l.Frames-1) != 0 || l.Frames < 2*maxBatch || l.Frames > 1<<16:
		return l, fmt.Errorf("%d frames: must be a power of two from %d to 65536", l.Frames, 2*maxBatch)
	case l.Batch < 1 || l.Batch > maxBatch:
		return l, fmt.Errorf("batches of %d datagrams: must be 1 to %d", l.Batch, maxBatch)
	}
	return l, nil
}

// Sentinels of this package, for errors.Is.
var (
	ErrUnknownSPA   = errors.New("no such SPA")
	ErrUnknownParam = errors.New("no such parameter")
	ErrParamRange   = errors.New("out of the parameter's range")
	ErrAborted      = errors.New("SPA aborted")
	ErrClosed       = errors.New("SPA closed")
)

// Cause says why an SPA was aborted.
type Cause int

// Causes, as in the kernel's sandbox (enum uls_cause).
const (
	Fault  Cause = 1 // a trap: memory, division, unreachable code, stack
	Budget Cause = 2 // more fuel than an upcall may use
	Self   Cause = 4 // spa_abort
)

func (c Cause) String() string {
	switch c {
	case Fault:
		return "fault"
	case Budget:
		return "budget"
	case Self:
		return "self"
	}
	return fmt.Sprintf("cause %d", int(c))
}

// AbortError is how an SPA ended. It is ErrAborted to errors.Is.
type AbortError struct {
	SPA    string
	Cause  Cause
	Code   uint64 // of spa_abort, if Cause is Self
	Detail string // the trap, or what the limit was
}

func (e *AbortError) Error() string {
	s := fmt.Sprintf("SPA %s aborted (%v): %s", e.SPA, e.Cause, e.Detail)
	if e.Cause == Budget {
		s += "; raise the limit or send smaller batches"
	}
	return s
}

// Is makes errors.Is(err, ErrAborted) true.
func (e *AbortError) Is(target error) bool { return target == ErrAborted }
