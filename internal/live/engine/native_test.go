// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sandstream/internal/host/shm"
)

// script is what happens to an SPA, as commands of sandboxlib/tests/spapipe.c.
type script struct {
	bytes.Buffer
	now uint64
}

func (s *script) put(v ...any) {
	for _, x := range v {
		if b, ok := x.([]byte); ok {
			s.put(uint32(len(b)))
			s.Write(b)
			continue
		}
		_ = binary.Write(s, binary.LittleEndian, x) // into memory, fixed size
	}
}

func (s *script) frame(b []byte)   { s.put(byte('F'), b) }
func (s *script) receive()         { s.put(byte('R')) }
func (s *script) message(m []byte) { s.put(byte('M'), m) }

func (s *script) wait(ns uint64) {
	s.now += ns
	s.put(byte('N'), s.now)
}

func (s *script) tick() { s.put(byte('T')) }

func (s *script) set(index int, v uint64) {
	s.message(encode(shm.MsgParam{Hdr: shm.Msg{Type: shm.MsgTypeParam, Len: 24}, Index: uint32(index), Value: v}))
}

// portable runs a script on an instance and gives what spapipe would print.
func portable(t *testing.T, p *Portable, name string, s []byte) []byte {
	t.Helper()
	now := uint64(1000000) // as tests/linked.c begins
	p.clock = func() uint64 { return now }
	in := load(t, p, name, nil, Limits{})
	var out bytes.Buffer
	le := binary.LittleEndian
	tell := func(r int64, err error) {
		if err == nil {
			err = in.drain(func(f []byte) {
				out.WriteByte('O')
				out.Write(le.AppendUint32(nil, uint32(len(f))))
				out.Write(f)
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		out.WriteByte('E')
		out.Write(le.AppendUint64(nil, uint64(r)))
	}
	tell(0, nil) // init, by load
	arg := func() []byte {
		n := le.Uint32(s)
		b := s[4 : 4+n]
		s = s[4+n:]
		return b
	}
	for len(s) > 0 {
		c := s[0]
		s = s[1:]
		switch c {
		case 'N':
			now, s = le.Uint64(s), s[8:]
		case 'F':
			b := arg()
			if f := in.takeFrame(len(b)); f != nil {
				copy(f, b)
			}
		case 'R':
			tell(in.upcall(shm.UpRX, uint64(in.slice.received())))
		case 'T':
			tell(in.upcall(shm.UpTick, now))
		case 'M':
			b := arg()
			mbox := in.slice.bytes(in.slice.mbox, shm.MboxSize)
			clear(mbox)
			copy(mbox, b)
			tell(in.upcall(shm.UpControl, uint64(len(b))))
		}
	}
	out.WriteByte('C')
	out.Write(in.slice.bytes(in.slice.counters, shm.CountersMax*8))
	return out.Bytes()
}

// pipes builds the native programs, or skips.
func pipes(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"gcc", "make"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no native build to compare with: %s is not installed", tool)
		}
	}
	dir, err := filepath.Abs(sandboxlib + "/build")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "make", "-s", "-C", sandboxlib, "O="+dir, "pipes").CombinedOutput()
	if err != nil {
		t.Fatalf("make pipes: %v\n%s", err, out)
	}
	return filepath.Join(dir, "test")
}

// Native and WebAssembly builds of the same source, on the same frames, messages
// and times: the same bytes sent, results and counters.
func TestNativeAndPortableAgree(t *testing.T) {
	dir := pipes(t)
	for _, name := range Shipped() {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				compare(t, dir, name, seed)
			}
		})
	}
}

func compare(t *testing.T, dir, name string, seed uint64) {
	t.Helper()
	s := randomScript(rand.New(rand.NewPCG(seed, 4)), name)
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "pipe-"+name))
	// Frames of the pool and room behind a frame are used by these.
	if !strings.Contains("multicast transform", name) {
		cmd.Args = append(cmd.Args, "-p")
	}
	cmd.Stdin = bytes.NewReader(s)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	native, err := cmd.Output()
	if err != nil {
		t.Fatalf("seed %d, native: %v\n%s", seed, err, stderr.String())
	}
	p := NewPortable(t.Context())
	defer p.Close()
	wasm := portable(t, p, name, s)
	if !bytes.Equal(native, wasm) {
		t.Fatalf("seed %d: %s", seed, difference(native, wasm))
	}
	if n := bytes.Count(native, []byte("O")); n < 100 {
		t.Errorf("seed %d: hardly anything was sent", seed)
	}
}

func difference(a, b []byte) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return fmt.Sprintf("they differ from byte %d on (of %d and %d)\nnative:\n%sportable:\n%s", i, len(a), len(b),
		hex.Dump(a[max(0, i-32):min(len(a), i+64)]), hex.Dump(b[max(0, i-32):min(len(b), i+64)]))
}

// randomScript is some hundred batches, parameters, ticks and messages.
func randomScript(r *rand.Rand, name string) []byte {
	s := &script{now: 1000000}
	g := &streams{r: r, seq: [5]uint64{}}
	ticks := name == "merge" || name == "monitor"
	next, most := 0, maxBatch+1
	if name == "multicast" {
		most = 20 // up to 18 children: which copies would miss a frame depends on the card, too
	}
	for i := range 300 {
		if i%40 == 20 {
			s.set(r.IntN(14), uint64(r.IntN(4)*r.IntN(100)))
		}
		if i%10 == 0 && (name == "multicast" || name == "forward") {
			next++
			typ := uint16(shm.MsgTypeFlowAdd)
			if r.IntN(4) == 0 {
				typ = shm.MsgTypeFlowDel
			}
			m := shm.MsgFlow{
				Hdr: shm.Msg{Type: typ, Len: 40}, NewDstIP: addr4(r.IntN(9)),
				NewDstPort: [2]byte{0, byte(r.IntN(2))}, NewDstMAC: [6]byte{2, byte(next)}, NewSrcIP: addr4(r.IntN(2) * 77),
			}
			if r.IntN(2) == 0 {
				m.MatchDstIP = addr4(0)
			}
			s.message(encode(m))
		}
		if r.IntN(50) == 0 {
			s.message(noise(r, 8+r.IntN(60)))
		}
		for range r.IntN(most) {
			s.frame(g.frame())
		}
		s.receive()
		s.wait(uint64(r.IntN(30)) * 1000000)
		if r.IntN(200) == 0 {
			s.wait(11e9)
		}
		if ticks && r.IntN(2) == 0 {
			s.tick()
		}
	}
	return s.Bytes()
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// streams makes frames of a few streams, good and bad.
type streams struct {
	r   *rand.Rand
	seq [5]uint64
}

func (g *streams) frame() []byte {
	r := g.r
	i := r.IntN(len(g.seq))
	if g.seq[i]++; r.IntN(3000) == 0 {
		g.seq[i] += uint64(r.IntN(1 << 22))
	}
	seq := g.seq[i]
	switch r.IntN(12) {
	case 0:
		seq -= min(seq-1, uint64(r.IntN(20)))
	case 1:
		seq += uint64(r.IntN(200))
	}
	p := g.payload()
	d := datagram(seq, byte(r.Uint32()&r.Uint32())&31, p)
	d[8] = byte(i)
	d[2] = byte(r.IntN(5))
	binary.BigEndian.PutUint32(d[56:], r.Uint32()>>r.IntN(32))
	binary.BigEndian.PutUint32(d[60:], r.Uint32()>>r.IntN(32))
	binary.BigEndian.PutUint64(d[32:], r.Uint64()>>20)
	f := make([]byte, frontLen, frontLen+len(d))
	putFront(f, len(d))
	f = append(f, d...)
	if r.IntN(2) == 0 {
		udpChecksum(f)
	}
	switch r.IntN(20) {
	case 0:
		f[r.IntN(len(f))] ^= 1 << r.IntN(8)
	case 1:
		f = f[:r.IntN(len(f)+1)]
		if len(f) == 0 {
			f = []byte{0}
		}
	case 2:
		f = append(f, noise(r, r.IntN(30))...)
	case 3:
		return noise(r, 1+r.IntN(1500))
	}
	return f
}

// udpChecksum fills it in.
func udpChecksum(f []byte) {
	pseudo := append(append([]byte{}, f[26:34]...), 0, 17, f[38], f[39])
	sum := uint32(0)
	for _, b := range [][]byte{pseudo, f[34:]} {
		for i := 0; i < len(b); i += 2 {
			sum += uint32(b[i]) << 8
			if i+1 < len(b) {
				sum += uint32(b[i+1])
			}
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	if sum = ^sum & 0xffff; sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(f[40:], uint16(sum))
}

// payload is MPEG-TS with tables, video and null packets, text, noise, or nothing.
func (g *streams) payload() []byte {
	r := g.r
	switch r.IntN(8) {
	case 0:
		return noise(r, r.IntN(1424))
	case 1:
		return bytes.Repeat([]byte("what goes around "), r.IntN(84))
	case 2:
		// Noise that says it is a block of 1000 bytes.
		return append([]byte{3, 232}, noise(r, r.IntN(800))...)
	case 3:
		return nil
	}
	var b []byte
	for range 1 + r.IntN(7) {
		b = append(b, g.ts()...)
	}
	return b
}

func (g *streams) ts() []byte {
	r := g.r
	t := make([]byte, 188)
	copy(t[4:], noise(r, 184))
	t[0] = 0x47
	pid := [...]int{0, 0x100, 0x1000, 0x1fff, 0x101, 0x11}[r.IntN(6)]
	t[1] = byte(pid >> 8)
	t[2] = byte(pid)
	t[3] = 0x10 | byte(r.IntN(16))
	switch pid {
	case 0:
		t[1] |= 0x40
		copy(t[4:], []byte{0, 0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0x00, 1, 2, 3, 4})
	case 0x1000:
		t[1] |= 0x40
		copy(t[4:], []byte{
			0, 2, 0xb0, 23, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0,
			0x0f, 0xe1, 1, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0, 1, 2, 3, 4,
		})
	case 0x100:
		if r.IntN(4) == 0 {
			t[1] |= 0x40
		}
		if r.IntN(2) == 0 {
			t[3] |= 0x20
			t[4] = byte(r.IntN(200))
			t[5] = byte(r.Uint32())
		}
	}
	if r.IntN(40) == 0 {
		t[r.IntN(40)] = byte(r.Uint32())
	}
	return t
}
