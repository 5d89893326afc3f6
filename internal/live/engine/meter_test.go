// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// assemble makes the least module that loads: a description at 1024, 16 pages of
// memory, and `body` as upcall(reason, arg, info i64) i64, whose result is 0 if it comes to
// its end.
func assemble(body ...byte) []byte {
	m := []byte("\x00asm\x01\x00\x00\x00")
	sec := func(id byte, b ...byte) { m = appendBytes(append(m, id), b) }
	sec(secType, 2, 0x60, 0, 1, 0x7f, 0x60, 3, 0x7e, 0x7e, 0x7e, 1, 0x7e)
	sec(secFunc, 2, 0, 1)
	sec(5, 1, 0, 16) // memory
	sec(secGlobal, 1, 0x7f, 0, 0x41, 0x80, 0x20, opEnd)
	exports := []byte{4}
	for _, e := range []struct {
		name        string
		kind, index byte
	}{{"memory", 2, 0}, {"__heap_base", 3, 0}, {"about", 0, 0}, {"upcall", 0, 1}} {
		exports = append(appendBytes(exports, []byte(e.name)), e.kind, e.index)
	}
	sec(secExport, exports...)
	about := []byte{0, 0x41, 0x80, 8, opEnd}
	upcall := append(append([]byte{1, 1, 0x7f}, body...), 0x42, 0, opEnd)
	sec(secCode, appendBytes(appendBytes([]byte{2}, about), upcall)...)
	// 1024: where the manifest's note is (2048), and zeros. 2064: the ABI's number.
	sec(secData, 2, 0, 0x41, 0x80, 8, opEnd, 2, 0, 8, 0, 0x41, 0x90, 0x10, opEnd, 1, 1)
	return m
}

const opBr, opCall, opLocalGet = 0x0c, 0x10, 0x20

// atRX runs body only in the upcall for received frames (reason 1).
func atRX(body ...byte) []byte {
	b := append([]byte{opLocalGet, 0, 0x42, 1, 0x51, opIf, 0x40}, body...)
	return append(b, opEnd)
}

func TestHostile(t *testing.T) {
	storeTX := func(value ...byte) []byte { // *(u32 *)info->tx.addr = value
		b := []byte{opLocalGet, 2, 0xa7, 0x29, 3, 104, 0xa7}
		return append(append(b, value...), 0x36, 2, 0)
	}
	for name, c := range map[string]struct {
		body   []byte
		cause  Cause
		detail string
	}{
		"loop":           {[]byte{opLoop, 0x40, opBr, 0, opEnd}, Budget, "units of fuel"},
		"nested loops":   {[]byte{opLoop, 0x40, opLoop, 0x40, opBr, 1, opEnd, opEnd}, Budget, "units of fuel"},
		"loop of fills":  {[]byte{opLoop, 0x40, 0x41, 0, 0x41, 0, 0x41, 0x80, 0x80, 0x3c, opPrefix, 11, 0, opBr, 0, opEnd}, Budget, "units of fuel"},
		"loop of copies": {[]byte{opLoop, 0x40, 0x41, 0, 0x41, 1, 0x41, 0x80, 0x80, 0x3c, opPrefix, 10, 0, 0, opBr, 0, opEnd}, Budget, "units of fuel"},
		"recursion":      {[]byte{0x42, 1, 0x42, 0, 0x42, 0, opCall, 1, 0x1a}, 0, ""},
		"unreachable":    {[]byte{opUnreachable}, Fault, "unreachable"},
		"division":       {[]byte{0x41, 1, 0x41, 0, 0x6d, 0x1a}, Fault, "divide by zero"},
		"far store":      {[]byte{0x41, 0x7f, 0x41, 0, 0x36, 2, 0}, Fault, "out of bounds"},
		"far fill":       {[]byte{0x41, 0, 0x41, 0, 0x41, 0x7f, opPrefix, 11, 0}, 0, ""},
		"ring index":     {storeTX(0x41, 0x7f), Fault, "transmit ring"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, p *Portable) {
				in := load(t, p, name, assemble(atRX(c.body...)...), Limits{Fuel: 1e6})
				err := in.Batch([][]byte{datagram(1, 0, nil), datagram(2, 0, nil)}, nil)
				var a *AbortError
				if !errors.As(err, &a) || c.cause != 0 && a.Cause != c.cause || !strings.Contains(a.Detail, c.detail) {
					t.Fatalf("got %v", err)
				}
			})
		})
	}
}

// An SPA that enters frames it made up into the transmit ring: what lies outside of
// the UMEM is counted, not sent.
func TestMadeUpDescriptors(t *testing.T) {
	p := NewPortable(t.Context())
	defer p.Close()
	// tx.producer = 4; the descriptors are what memory holds.
	body := []byte{opLocalGet, 2, 0xa7, 0x29, 3, 104, 0xa7, 0x41, 4, 0x36, 2, 0}
	in := load(t, p, "made-up", assemble(atRX(body...)...), Limits{})
	s := &in.slice
	for i, d := range [][2]uint64{
		{1 << 40, 60}, {chunkSize - 10, 60}, {uint64(s.umemLen) - 1, 1 << 32}, {100, 20},
	} {
		put64(s.view[s.tx.at+ringDesc+uint32(i)*16:], d[0])
		put64(s.view[s.tx.at+ringDesc+uint32(i)*16+8:], d[1])
	}
	n := 0
	if err := in.Batch([][]byte{datagram(1, 0, nil)}, func(int, []byte) { n++ }); err != nil {
		t.Fatal(err)
	}
	if n != 0 || in.Counters()["engine_bad_tx"] != 4 {
		t.Errorf("%d sent, %v", n, in.Counters())
	}
}

// Whatever stands in the memory it shares with an SPA, the engine returns.
func TestScribble(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p := NewPortable(t.Context())
	defer p.Close()
	batch := make([][]byte, 20)
	for i := range batch {
		batch[i] = datagram(uint64(i+1), 0, make([]byte, 188))
	}
	ended, rounds := 0, 200
	for range rounds {
		name := Shipped()[r.IntN(len(Shipped()))]
		in, err := p.Load(t.Context(), name, nil, Limits{Fuel: 1e6})
		if err != nil {
			t.Fatal(err)
		}
		_ = in.AddOutput(1)
		for range 10 {
			s := &in.slice
			for range 1 + r.IntN(4) {
				// Rings and their entries, the pool, counters, log, the mailbox; seldom anywhere.
				at := s.info + uint32(r.IntN(int(s.umem-s.info)))
				if r.IntN(2) == 0 {
					rings := [...]uint32{s.rx.at, s.tx.at, s.fill.at, s.comp.at}
					at = rings[r.IntN(4)] + uint32([...]int{0, ringCons, ringDesc + r.IntN(200)}[r.IntN(3)])
				}
				if r.IntN(4) == 0 {
					put32(s.view[at:], uint32(r.IntN(200)))
				} else {
					put64(s.view[at:], r.Uint64()>>r.IntN(64))
				}
			}
			if err = in.Batch(batch, func(int, []byte) {}); err == nil {
				err = in.Tick(nil)
			}
			_ = in.Log()
			_ = in.Counters()
			if err != nil {
				break
			}
		}
		if err != nil {
			ended++
			if !errors.Is(err, ErrAborted) {
				t.Fatal(err)
			}
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if ended < rounds/20 || ended == rounds {
		t.Errorf("%d of %d ended: the scribbling is not what it should be", ended, rounds)
	}
}

// The same work takes the same fuel in the compiler and the interpreter, and more work more.
func TestFuelIsExact(t *testing.T) {
	var used [2][3]uint64
	for i, interpreter := range []bool{false, true} {
		p := NewPortable(t.Context())
		p.interpreter = interpreter
		in := load(t, p, "transform", nil, Limits{})
		for j, n := range []int{0, 700, 1300} {
			if err := in.Batch([][]byte{datagram(uint64(j+1), 0, []byte(strings.Repeat("a stitch in time ", 90)[:n]))}, nil); err != nil {
				t.Fatal(err)
			}
			used[i][j] = in.limits.Fuel - in.fuel.Get()
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("fuel for payloads of 0, 700 and 1300 bytes: %v", used[0])
	if used[0] != used[1] {
		t.Errorf("compiler %v, interpreter %v", used[0], used[1])
	}
	if used[0][0] >= used[0][1] || used[0][1] >= used[0][2] {
		t.Errorf("more work took no more: %v", used[0])
	}
}

func TestMeterRefuses(t *testing.T) {
	good := assemble()
	if _, err := meter(good, 1); err != nil {
		t.Fatal(err)
	}
	start := append(append([]byte{}, good[:8]...), 8, 1, 0)
	for what, c := range map[string]struct {
		module []byte
		text   string
	}{
		"memory.grow":     {assemble(0x41, 1, 0x40, 0, 0x1a), "memory.grow"},
		"table.grow":      {assemble(0xd0, 0x70, 0x41, 1, opPrefix, 15, 0, 0x1a), "table.grow"},
		"SIMD":            {assemble(0xfd, 0x0c), "0xfd"},
		"threads":         {assemble(0xfe, 0x03, 0), "0xfe"},
		"start function":  {start, "start function"},
		"memory imported": {append(append([]byte{}, good[:8]...), secImport, 8, 1, 1, 'e', 1, 'm', 2, 0, 1), "imported"},
		"twice":           {append(append([]byte{}, good...), secType, 1, 0), "twice"},
		"unclosed":        {assemble(opLoop, 0x40), "in the middle"},
		"long number":     {assemble(0x41, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80), "longer"},
	} {
		if _, err := meter(c.module, 1); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q in it", what, err, c.text)
		}
	}
}

// What is valid stays valid, what is not must not become so, and nothing makes
// the rewriting fail in another way than by an error.
func FuzzMeter(f *testing.F) {
	// Small ones: the shipped modules are tried by every other test, and slow to mutate.
	f.Add(assemble())
	f.Add(assemble(0x44, 1, 2, 3, 4, 5, 6, 7, 8, 0xfc, 6, 0x1a, 0x43, 1, 2, 3, 4, 0x1a, 0xd0, 0x70, 0xd1, 0x1a))
	f.Add(assemble(0x3f, 0, opIf, 0x7f, 0x41, 1, opElse, 0x41, 2, opEnd, 0x41, 3, 0x41, 1, 0x1b, 0x1a))
	f.Add(assemble(atRX(opLoop, 0x40, opBr, 0, opEnd)...))
	f.Add(assemble(0x41, 0, 0x0e, 2, 0, 0, 0))
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(64))
	f.Cleanup(func() { _ = rt.Close(ctx) })
	compiles := func(m []byte) bool {
		c, err := rt.CompileModule(ctx, m)
		if err != nil {
			return false
		}
		return c.Close(ctx) == nil
	}
	f.Fuzz(func(t *testing.T, module []byte) {
		out, err := meter(module, 1000)
		if err != nil {
			return
		}
		if was, is := compiles(module), compiles(out); was != is {
			t.Errorf("compiled before: %v, after: %v", was, is)
		}
	})
}

func TestAppendNumbers(t *testing.T) {
	for _, v := range []uint32{0, 1, 127, 128, 300, 1 << 20, 1<<32 - 1} {
		r := reader{b: appendU32(nil, v)}
		if got := r.u32(); got != v || r.left() || r.err != nil {
			t.Errorf("%d became %d: %v", v, got, r.err)
		}
	}
	for v, want := range map[int64]string{0: "\x00", -1: "\x7f", 63: "\x3f", 64: "\xc0\x00", -65: "\xbf\x7f", 1 << 62: "\x80\x80\x80\x80\x80\x80\x80\x80\xc0\x00"} {
		if got := appendS64(nil, v); string(got) != want {
			t.Errorf("%d is % x, want % x", v, got, want)
		}
	}
	// Put and read front headers: lengths and a checksum that verifies.
	for _, n := range []int{48, 49, 1000, MaxDatagram} {
		var b [frontLen]byte
		putFront(b[:], n)
		sum := uint32(0)
		for i := 14; i < 34; i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		if sum = sum&0xffff + sum>>16; sum != 0xffff || int(binary.BigEndian.Uint16(b[38:])) != n+8 {
			t.Errorf("%d bytes: header % x", n, b)
		}
	}
}
