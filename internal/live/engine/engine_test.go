// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// each runs a test with the compiler and with the interpreter.
func each(t *testing.T, f func(t *testing.T, p *Portable)) {
	t.Helper()
	for name, interpreter := range map[string]bool{"compiler": false, "interpreter": true} {
		t.Run(name, func(t *testing.T) {
			p := NewPortable(t.Context())
			p.interpreter = interpreter
			t.Cleanup(func() {
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
			f(t, p)
		})
	}
}

func load(t testing.TB, p *Portable, name string, module []byte, l Limits) *Instance {
	t.Helper()
	in, err := p.Load(t.Context(), name, module, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	return in
}

// fault is a module of sandboxlib/spas/tests; testdata is made by `make wasm-modules`.
func fault(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type sent struct {
	out int
	pkt []byte
}

type sink []sent

func (s *sink) emit(out int, pkt []byte) { *s = append(*s, sent{out, bytes.Clone(pkt)}) }

// datagram is a data header with stream id 1, a number and a payload.
func datagram(seq uint64, flags byte, payload []byte) []byte {
	b := make([]byte, HeaderLen, HeaderLen+len(payload))
	b[0], b[1], b[23] = 2, flags, 1
	binary.BigEndian.PutUint32(b[56:], 0xffffffff)
	binary.BigEndian.PutUint64(b[24:], seq)
	return append(b, payload...)
}

func TestForward(t *testing.T) {
	each(t, func(t *testing.T, p *Portable) {
		in := load(t, p, "forward", nil, Limits{})
		var got sink
		d := datagram(1, 0, []byte("payload"))
		if err := in.Batch([][]byte{d}, got.emit); err != nil || len(got) != 0 {
			t.Fatalf("without a flow: %v, %d sent", err, len(got))
		}
		if err := in.AddOutput(70000); err != nil {
			t.Fatal(err)
		}
		if err := in.Batch([][]byte{d, d}, got.emit); err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || got[1].out != 70000 || !bytes.Equal(got[1].pkt, d) {
			t.Fatalf("got %v", got)
		}
		c := in.Counters()
		if c["forwarded"] != 2 || c["no_flow"] != 1 || c["rx_frames"] != 3 || c["engine_upcalls"] != 2 {
			t.Errorf("counters: %v", c)
		}
		if err := in.DelOutput(70000); err != nil {
			t.Error(err)
		}
		if err := in.DelOutput(70000); err == nil || !strings.Contains(err.Error(), "ENOENT") {
			t.Errorf("deleting it twice: %v", err)
		}
		if err := in.Set("nothing", 1); !errors.Is(err, ErrUnknownParam) || !strings.Contains(err.Error(), "ttl_decrement") {
			t.Errorf("unknown parameter: %v", err)
		}
		if err := in.Set("ttl_decrement", 2); !errors.Is(err, ErrParamRange) || !strings.Contains(err.Error(), "ERANGE") {
			t.Errorf("a BOOL of 2: %v", err)
		}
	})
}

// More batches than frames: every frame must come back, or they run out.
func TestFramesComeBack(t *testing.T) {
	each(t, func(t *testing.T, p *Portable) {
		in := load(t, p, "forward", nil, Limits{Frames: 128})
		if err := in.AddOutput(1); err != nil {
			t.Fatal(err)
		}
		batch := make([][]byte, 150)
		for i := range batch {
			batch[i] = datagram(uint64(i+1), 0, make([]byte, i*9))
		}
		n := 0
		for range 100 {
			err := in.Batch(batch, func(_ int, pkt []byte) {
				if !bytes.Equal(pkt, batch[n%len(batch)]) {
					t.Fatalf("datagram %d differs", n)
				}
				n++
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if n != 15000 {
			t.Errorf("%d of 15000 sent; counters %v", n, in.Counters())
		}
	})
}

func TestRefusedDatagrams(t *testing.T) {
	each(t, func(t *testing.T, p *Portable) {
		in := load(t, p, "filter", nil, Limits{})
		var got sink
		batch := [][]byte{nil, make([]byte, HeaderLen-1), make([]byte, MaxDatagram+1), datagram(1, 0, make([]byte, MaxDatagram-HeaderLen))}
		if err := in.Batch(batch, got.emit); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || len(got[0].pkt) != MaxDatagram || in.Counters()["engine_too_long"] != 3 {
			t.Errorf("%d sent, counters %v", len(got), in.Counters())
		}
	})
}

func TestAborts(t *testing.T) {
	for _, c := range []struct {
		spa    string
		cause  Cause
		detail string
	}{
		{"spin", Budget, "units of fuel"},
		{"neighbour-write", Fault, "out of bounds"},
		{"neighbour-read", Fault, "out of bounds"},
		{"stack-overflow", Fault, ""},
		{"self-abort", Self, "0x1234"},
	} {
		t.Run(c.spa, func(t *testing.T) {
			each(t, func(t *testing.T, p *Portable) {
				good := load(t, p, "forward", nil, Limits{})
				in := load(t, p, c.spa, fault(t, c.spa), Limits{Fuel: 1e6})
				d := [][]byte{datagram(1, 0, nil)}
				err := in.Batch(d, nil)
				var a *AbortError
				if !errors.As(err, &a) || !errors.Is(err, ErrAborted) || a.Cause != c.cause || !strings.Contains(a.Detail, c.detail) {
					t.Fatalf("got %v", err)
				}
				if n := in.Counters()["survived"]; n != 0 {
					t.Errorf("survived %d times", n)
				}
				for what, again := range map[string]error{
					"batch": in.Batch(d, nil), "tick": in.Tick(nil), "set": in.Set("arg", 1), "err": in.Err(),
				} {
					if !errors.Is(again, ErrAborted) {
						t.Errorf("%s afterwards: %v", what, again)
					}
				}
				// The one beside it goes on.
				if err := good.Batch(d, nil); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestLoadErrors(t *testing.T) {
	each(t, func(t *testing.T, p *Portable) {
		for what, c := range map[string]struct {
			module []byte
			limits Limits
			text   string
		}{
			"init fails":       {fault(t, "init-fails"), Limits{}, "ENOSPC); its log: init-fails: as it should"},
			"garbage":          {[]byte("garbage"), Limits{}, "no WebAssembly module"},
			"cut":              {fault(t, "spin")[:3000], Limits{}, "ends in the middle"},
			"memory":           {fault(t, "spin"), Limits{Pages: 5}, "the limit is 5"},
			"frames":           {fault(t, "spin"), Limits{Frames: 100}, "power of two"},
			"no module":        {nil, Limits{}, "there are:"},
			"another's module": {[]byte("\x00asm\x01\x00\x00\x00\x0a\x01\x00"), Limits{}, "not exported"},
		} {
			in, err := p.Load(t.Context(), "nobody", c.module, c.limits)
			if err == nil {
				t.Errorf("%s: loaded", what)
				_ = in.Close()
			} else if !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %v, want %q in it", what, err, c.text)
			}
		}
		if _, err := p.Open(t.Context(), "nobody", Limits{}); !errors.Is(err, ErrUnknownSPA) {
			t.Error(err)
		}
	})
}

func TestTicks(t *testing.T) {
	each(t, func(t *testing.T, p *Portable) {
		in := load(t, p, "idle", fault(t, "idle"), Limits{})
		if in.TickEvery().Microseconds() != 1000 {
			t.Errorf("ticks every %v", in.TickEvery())
		}
		for range 3 {
			if err := in.Tick(nil); err != nil {
				t.Fatal(err)
			}
		}
		if c := in.Counters(); c["ticks"] != 3 || c["clock_backwards"] != 0 {
			t.Errorf("counters %v", c)
		}
		if l := in.Log(); !strings.Contains(l, "idle: port 1 queue 0") || in.Log() != "" {
			t.Errorf("log %q", l)
		}
		bad := load(t, p, "no-tick", fault(t, "no-tick"), Limits{})
		if err := bad.Tick(nil); err == nil || !strings.Contains(err.Error(), "nobody to take them") {
			t.Error(err)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if err := in.Tick(nil); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}
