// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"sandstream/internal/host/shm"
)

// Instance is a running SPA with memory of its own.
type Instance struct {
	name   string
	limits Limits
	clock  func() uint64

	mu       sync.Mutex
	rt       wazero.Runtime
	upcallFn api.Function
	mem      api.Memory
	fuel     api.MutableGlobal
	stack    [3]uint64 // of a call: no allocation
	gaveUp   bool      // spa_abort was called, with code
	code     uint64
	dead     error
	about    about
	slice    slice
	own      struct{ batches, noFrame, badTX, tooLong uint64 }
}

var _ Agent = (*Instance)(nil)

// Name is what it was loaded as.
func (in *Instance) Name() string { return in.name }

// TickEvery is the manifest's tick_us.
func (in *Instance) TickEvery() time.Duration {
	return time.Duration(in.about.manifest.TickUS) * time.Microsecond
}

// upcall is one call into the SPA, with a full budget.
func (in *Instance) upcall(reason, arg uint64) (int64, error) {
	if in.dead != nil {
		return 0, in.dead
	}
	in.fuel.Set(in.limits.Fuel)
	in.stack = [3]uint64{reason, arg, uint64(in.slice.info)}
	err := in.upcallFn.CallWithStack(context.Background(), in.stack[:])
	if err == nil && !in.gaveUp {
		return int64(in.stack[0]), nil
	}
	in.dead = in.verdict(err)
	return 0, in.dead
}

// verdict makes of a trap the reason an operator can use.
func (in *Instance) verdict(trap error) *AbortError {
	e := &AbortError{SPA: in.name, Cause: Fault}
	switch {
	case in.gaveUp:
		e.Cause, e.Code = Self, in.code
		e.Detail = fmt.Sprintf("it gave up with code %#x%s", in.code, abortMeaning(in.code))
	case int64(in.fuel.Get()) < 0:
		e.Cause = Budget
		e.Detail = fmt.Sprintf("one upcall used more than %d units of fuel", in.limits.Fuel)
	default:
		// The first line says what; a stack of nameless functions follows.
		e.Detail, _, _ = strings.Cut(trap.Error(), "\n")
	}
	return e
}

// abortMeaning explains the library's own codes (enum spa_abort_code).
func abortMeaning(code uint64) string {
	m := [...]string{
		1: "another ABI version", 2: "an unknown upcall", 3: "ticks, but nobody to take them",
		4: "ring indices that cannot be", 5: "free of no block", 6: "free of no frame",
	}
	if code == 0 || code >= uint64(len(m)) {
		return ""
	}
	return " (" + m[code] + ")"
}

func (in *Instance) init() error {
	r, err := in.upcall(shm.UpInit, 0)
	if err == nil && r != 0 {
		err = fmt.Errorf("spa_init returned %d%s", r, errnoText(r))
	}
	if err == nil {
		return nil
	}
	if text := in.takeLog(); text != "" {
		err = fmt.Errorf("%w; its log: %s", err, strings.TrimSpace(text))
	}
	return err
}

// answer is a result of an SPA other than 0.
type answer int64

func (a answer) Error() string {
	return fmt.Sprintf("the SPA answered %d%s", int64(a), errnoText(int64(a)))
}

// errnoText names the errors of spa/base.h.
func errnoText(r int64) string {
	names := map[int64]string{
		-2: "ENOENT", -12: "ENOMEM", -16: "EBUSY", -17: "EEXIST", -22: "EINVAL",
		-28: "ENOSPC", -34: "ERANGE", -71: "EPROTO", -95: "EOPNOTSUPP",
	}
	if n, ok := names[r]; ok {
		return " (-" + n + ")"
	}
	return ""
}

// Batch gives datagrams to the SPA, at most Limits.Batch in one upcall, and
// hands what it sends to emit. Datagrams shorter than the data header or longer than
// MaxDatagram, and those for which the SPA holds all frames, are dropped and
// counted (engine_too_long, engine_no_frame), as a card would. emit may be nil.
func (in *Instance) Batch(pkts [][]byte, emit Emit) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(pkts) > 0 {
		n := min(len(pkts), in.limits.Batch)
		// Frames sent before come back in an upcall: have one if they are needed.
		if in.dead == nil && in.slice.short(uint32(n)) {
			if err := in.receiveUpcall(emit); err != nil {
				return err
			}
		}
		for _, p := range pkts[:n] {
			in.receive(p)
		}
		pkts = pkts[n:]
		if err := in.receiveUpcall(emit); err != nil {
			return err
		}
	}
	return in.dead
}

// receiveUpcall runs the SPA on what is in the receive ring.
func (in *Instance) receiveUpcall(emit Emit) error {
	in.own.batches++
	if _, err := in.upcall(shm.UpRX, uint64(in.slice.received())); err != nil {
		return err
	}
	return in.transmit(emit)
}

// Tick runs due timers and spa_tick. Time is the engine's monotonic clock. It
// does nothing for an SPA whose manifest asks for no ticks: the library takes one
// that nobody waits for as a mistake.
func (in *Instance) Tick(emit Emit) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.dead == nil && in.about.manifest.TickUS == 0 {
		return nil
	}
	if _, err := in.upcall(shm.UpTick, in.clock()); err != nil {
		return err
	}
	return in.transmit(emit)
}

// Set changes a parameter. The error is ErrUnknownParam, or ErrParamRange if the
// value is out of the type's range.
func (in *Instance) Set(param string, value uint64) error {
	i, ok := in.about.param(param)
	if !ok {
		return fmt.Errorf("set %s of SPA %s: %w; it has: %s", param, in.name, ErrUnknownParam, in.about.paramNames())
	}
	m := shm.MsgParam{Hdr: shm.Msg{Type: shm.MsgTypeParam}, Index: uint32(i), Value: value}
	m.Hdr.Len = uint16(binary.Size(m))
	if err := in.Control(encode(m), nil); err != nil {
		if errors.Is(err, answer(-34)) || errors.Is(err, answer(-22)) { // ERANGE, EINVAL
			err = fmt.Errorf("%w: %w", ErrParamRange, err)
		}
		return fmt.Errorf("set %s of SPA %s to %d: %w", param, in.name, value, err)
	}
	return nil
}

// AddOutput adds an output to the table of an SPA that has one (multicast).
func (in *Instance) AddOutput(out int) error { return in.flow("add", shm.MsgTypeFlowAdd, out) }

// DelOutput takes an output out of that table.
func (in *Instance) DelOutput(out int) error { return in.flow("delete", shm.MsgTypeFlowDel, out) }

func (in *Instance) flow(verb string, typ uint16, out int) error {
	if out < 0 || out > MaxOutput {
		return fmt.Errorf("%s output %d of SPA %s: outputs are 0 to %d", verb, out, in.name, MaxOutput)
	}
	m := shm.MsgFlow{Hdr: shm.Msg{Type: typ}, NewDstIP: addr4(out), NewDstMAC: [6]byte{2}}
	m.Hdr.Len = uint16(binary.Size(m))
	if err := in.Control(encode(m), nil); err != nil {
		return fmt.Errorf("%s output %d of SPA %s: %w", verb, out, in.name, err)
	}
	return nil
}

// Control sends a message (struct uls_msg and what belongs to its type); what
// the SPA sends meanwhile goes to emit, which may be nil.
func (in *Instance) Control(msg []byte, emit Emit) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(msg) > shm.MboxSize {
		return fmt.Errorf("message of %d bytes: more than %d", len(msg), shm.MboxSize)
	}
	if in.dead == nil {
		copy(in.slice.bytes(in.slice.mbox, shm.MboxSize), msg)
	}
	r, err := in.upcall(shm.UpControl, uint64(len(msg)))
	if err != nil {
		return err
	}
	if err := in.transmit(emit); err != nil {
		return err
	}
	if r != 0 {
		return answer(r)
	}
	return nil
}

// Counters are all zero-or-more counts since load. Those of an aborted SPA stand as it left them.
func (in *Instance) Counters() map[string]uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	m := map[string]uint64{
		"engine_upcalls":  in.own.batches,
		"engine_no_frame": in.own.noFrame,
		"engine_too_long": in.own.tooLong,
		"engine_bad_tx":   in.own.badTX,
	}
	for i, name := range in.about.counters {
		m[name] = in.slice.counter(i)
	}
	return m
}

// Err is nil while the SPA runs, then why it ended.
func (in *Instance) Err() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.dead
}

// Log is what the SPA has logged since Log was last called, at most some 60 KB.
func (in *Instance) Log() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.takeLog()
}

func (in *Instance) takeLog() string {
	if in.slice.view == nil {
		return ""
	}
	return in.slice.takeLog()
}

// Close runs spa_fini and frees the instance. What the SPA kept is lost.
func (in *Instance) Close() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.dead == nil {
		_, _ = in.upcall(shm.UpFini, 0) // it may fail; it is over either way
		in.dead = fmt.Errorf("SPA %s: %w", in.name, ErrClosed)
	}
	in.about.counters = nil
	return in.free()
}

// free releases memory and code; views into the memory end with it.
func (in *Instance) free() error {
	if in.rt == nil {
		return nil
	}
	rt := in.rt
	in.rt, in.slice.view = nil, nil
	return rt.Close(context.Background())
}
