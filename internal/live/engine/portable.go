// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// Portable runs SPAs as WebAssembly, on any system. Make one with NewPortable.
type Portable struct {
	cache wazero.CompilationCache
	// clock is CLOCK_MONOTONIC to SPAs: ns that never go back.
	clock func() uint64
	// interpreter instead of compiler, for tests.
	interpreter bool
}

var _ Engine = (*Portable)(nil)

// NewPortable makes an engine. Close frees what it has compiled; instances are
// closed one by one, before.
func NewPortable(context.Context) *Portable {
	start := time.Now().Add(-time.Second) // 0 is no time to the library
	return &Portable{
		cache: wazero.NewCompilationCache(),
		clock: func() uint64 { return uint64(time.Since(start)) },
	}
}

// Name is "portable".
func (p *Portable) Name() string { return "portable" }

// Close frees compiled code.
func (p *Portable) Close() error { return p.cache.Close(context.Background()) }

// Open starts a shipped SPA.
func (p *Portable) Open(ctx context.Context, name string, l Limits) (Agent, error) {
	in, err := p.Load(ctx, name, nil, l)
	if err != nil {
		return nil, err
	}
	return in, nil
}

// Load starts an SPA from a module made by `make -C sandboxlib wasm`; with nil,
// the one shipped under that name. It runs the SPA's spa_init. A module that is
// malformed, needs more memory than the limit or is of another version of the ABI is an
// error, as is an spa_init that fails.
func (p *Portable) Load(ctx context.Context, name string, module []byte, l Limits) (*Instance, error) {
	l, err := l.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("load SPA %s: %w", name, err)
	}
	if module == nil {
		if module, err = Module(name); err != nil {
			return nil, err
		}
	}
	metered, err := meter(module, l.Fuel)
	if err != nil {
		return nil, fmt.Errorf("load SPA %s: module refused: %w", name, err)
	}
	in := &Instance{name: name, limits: l, clock: p.clock}
	if err := in.start(ctx, p, metered); err != nil {
		in.free()
		return nil, fmt.Errorf("load SPA %s: %w", name, err)
	}
	return in, nil
}

func (p *Portable) config(l Limits) wazero.RuntimeConfig {
	c := wazero.NewRuntimeConfig() // compiler where there is one, else interpreter
	if p.interpreter {
		c = wazero.NewRuntimeConfigInterpreter()
	}
	return c.WithCompilationCache(p.cache).WithMemoryLimitPages(l.Pages)
}

// start makes runtime and module, lays out memory and runs spa_init.
func (in *Instance) start(ctx context.Context, p *Portable, module []byte) error {
	in.rt = wazero.NewRuntimeWithConfig(ctx, p.config(in.limits))
	if err := in.services(ctx); err != nil {
		return err
	}
	code, err := in.rt.CompileModule(ctx, module)
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	for _, f := range code.ImportedFunctions() {
		if mod, fn, _ := f.Import(); mod != "uls" {
			return fmt.Errorf("the module wants %s.%s, which is no service of the sandbox", mod, fn)
		}
	}
	mod, err := in.rt.InstantiateModule(ctx, code, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return fmt.Errorf("instantiate: %w", err)
	}
	in.upcallFn = mod.ExportedFunction("upcall")
	in.mem = mod.Memory()
	fuel, _ := mod.ExportedGlobal(fuelExport).(api.MutableGlobal)
	if in.upcallFn == nil || in.mem == nil || fuel == nil {
		return errors.New("no SPA of this library: upcall or memory is not exported; build it with `make -C sandboxlib wasm`")
	}
	if d := in.upcallFn.Definition(); len(d.ParamTypes()) != 3 || len(d.ResultTypes()) != 1 {
		return errors.New("upcall takes other arguments than those of this ABI")
	}
	in.fuel = fuel
	if err := in.inspect(ctx, mod); err != nil {
		return err
	}
	if err := in.layOut(mod); err != nil {
		return err
	}
	return in.init()
}

// services are what an SPA may ask for: module "uls" (src/wasm32/arch.c).
func (in *Instance) services(ctx context.Context) error {
	i64 := []api.ValueType{api.ValueTypeI64}
	b := in.rt.NewHostModuleBuilder("uls")
	export := func(name string, f api.GoFunc, params, results []api.ValueType) {
		b.NewFunctionBuilder().WithGoFunction(f, params, results).Export(name)
	}
	export("clock", func(_ context.Context, s []uint64) { s[0] = in.clock() }, nil, i64)
	// One unit of fuel stands for a nanosecond: near enough to divide work by.
	export("budget", func(_ context.Context, s []uint64) { s[0] = in.fuel.Get() }, nil, i64)
	export("cpu", func(_ context.Context, s []uint64) { s[0] = 0 }, nil, i64)
	// It returns: the compiler put a trap behind the call, and a module that has none is
	// found out when its upcall is over.
	export("abort", func(_ context.Context, s []uint64) {
		if !in.gaveUp {
			in.gaveUp, in.code = true, s[0]
		}
	}, i64, nil)
	_, err := b.Instantiate(ctx)
	return err
}
