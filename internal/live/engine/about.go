// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"sandstream/internal/host/shm"
)

// about is what an ELF file's notes tell: the manifest and the names of
// parameters and counters.
type about struct {
	manifest shm.Manifest
	params   []string
	counters []string // by index, the library's first
}

func (a *about) param(name string) (int, bool) {
	i := slices.Index(a.params, name)
	return i, i >= 0
}

func (a *about) paramNames() string {
	if len(a.params) == 0 {
		return "none"
	}
	return strings.Join(a.params, ", ")
}

const (
	noteHeader = 16
	maxParams  = 256
)

// inspect asks the module where its notes are (struct about in
// sandboxlib/src/wasm32/arch.c) and reads them, trusting no number in it.
func (in *Instance) inspect(ctx context.Context, mod api.Module) error {
	fn := mod.ExportedFunction("about")
	if fn == nil || len(fn.Definition().ParamTypes()) != 0 || len(fn.Definition().ResultTypes()) != 1 {
		return errors.New("no SPA of this library: about is not exported; build it with `make -C sandboxlib wasm`")
	}
	in.fuel.Set(in.limits.Fuel)
	r, err := fn.Call(ctx)
	if err != nil {
		return in.verdict(err)
	}
	var t struct{ Manifest, Params, LibCounters, Counters, NParams, NLib, NCounters uint32 }
	if err := in.read(uint32(r[0]), &t); err != nil {
		return err
	}
	if t.NParams > maxParams || t.NLib > shm.CountersMax || t.NCounters > shm.CountersMax-t.NLib {
		return fmt.Errorf("%d parameters and %d + %d counters: more than there can be", t.NParams, t.NLib, t.NCounters)
	}
	if err := in.read(t.Manifest+noteHeader, &in.about.manifest); err != nil {
		return err
	}
	if abi := in.about.manifest.ABI; abi != shm.ABIVersion {
		return fmt.Errorf("the SPA is for ABI %d, this is %d: build it against this tree's sandboxlib", abi, shm.ABIVersion)
	}
	for i := range t.NParams {
		var p shm.NoteParam
		if err := in.read(t.Params+i*(noteHeader+144)+noteHeader, &p); err != nil {
			return err
		}
		in.about.params = append(in.about.params, text(p.Name[:]))
	}
	for i := range t.NLib + t.NCounters {
		at := t.LibCounters + i*(noteHeader+shm.NameMax)
		if i >= t.NLib {
			at = t.Counters + (i-t.NLib)*(noteHeader+shm.NameMax)
		}
		var c shm.NoteCounter
		if err := in.read(at+noteHeader, &c); err != nil {
			return err
		}
		in.about.counters = append(in.about.counters, text(c.Name[:]))
	}
	return nil
}

// read takes a structure of fixed size out of memory.
func (in *Instance) read(at uint32, v any) error {
	b, ok := in.mem.Read(at, uint32(binary.Size(v)))
	if !ok {
		return fmt.Errorf("the module's description points outside its memory (%#x)", at)
	}
	_, err := binary.Decode(b, binary.LittleEndian, v)
	return err
}

func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}
