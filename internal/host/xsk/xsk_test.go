// SPDX-License-Identifier: Apache-2.0

package xsk

import (
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

func newRing(entries int, start uint32) ring[uint64] {
	r := ring[uint64]{
		producer: new(atomic.Uint32), consumer: new(atomic.Uint32), flags: new(atomic.Uint32),
		desc: make([]uint64, entries), mask: uint32(entries - 1),
	}
	r.producer.Store(start)
	r.consumer.Store(start)
	return r
}

// The indices run freely through 2^32; order is kept and a full ring takes no
// more.
func TestRingWraps(t *testing.T) {
	r := newRing(8, 1<<32-5)
	var next, want uint64
	buf := make([]uint64, 8)
	for round := range 40 {
		v := make([]uint64, 1+round%11)
		for i := range v {
			v[i] = next + uint64(i)
		}
		n := r.put(v)
		if n != min(len(v), 8) {
			t.Fatalf("round %d: an empty ring of 8 took %d of %d", round, n, len(v))
		}
		next += uint64(n)
		if n == 8 && r.put([]uint64{99}) != 0 {
			t.Fatal("a full ring took one more")
		}
		for got := r.take(buf); got > 0; got = r.take(buf) {
			for _, g := range buf[:got] {
				if g != want {
					t.Fatalf("took %d, want %d", g, want)
				}
				want++
			}
		}
		if want != next {
			t.Fatalf("round %d: put %d, took %d", round, next, want)
		}
	}
	if r.producer.Load() > 1<<31 {
		t.Error("the test did not reach the wrap of the indices")
	}
}

// One producer, one consumer, no lock: run with -race.
func TestRingConcurrent(t *testing.T) {
	r := newRing(64, 1<<32-1000)
	const total = 20000
	go func() {
		for sent := 0; sent < total; {
			v := []uint64{uint64(sent), uint64(sent + 1), uint64(sent + 2)}
			n := r.put(v[:min(3, total-sent)])
			sent += n
			if n == 0 {
				runtime.Gosched()
			}
		}
	}()
	buf := make([]uint64, 10)
	for want := uint64(0); want < total; {
		n := r.take(buf)
		if n == 0 {
			runtime.Gosched()
		}
		for _, g := range buf[:n] {
			if g != want {
				t.Fatalf("took %d, want %d", g, want)
			}
			want++
		}
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []Config{
		{RX: 1000}, {TX: -1}, {ChunkSize: 1500}, {Headroom: 4090}, {Frames: -4},
	} {
		if _, err := New(c); err == nil || errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%+v: got %v, want it refused", c, err)
		}
	}
}

// A device without zero copy is refused, and the descriptor is closed: this
// kernel's loopback never has it.
func TestNoZeroCopy(t *testing.T) {
	before := openFiles(t)
	s, err := New(Config{Frames: 512, NoHugePages: true, RX: 64, TX: 64, FillRing: 64, CompletionRing: 64})
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, os.ErrPermission) {
		t.Skipf("AF_XDP sockets cannot be made here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(lo.Index, 0); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("bind to lo: %v, want EOPNOTSUPP", err)
	}
	if err := s.Bind(1<<30, 0); !errors.Is(err, unix.ENODEV) {
		t.Errorf("bind to an unknown device: %v, want ENODEV", err)
	}
	if s.Fill([]uint64{0, 4096}) != 2 || s.Receive(make([]unix.XDPDesc, 4)) != 0 {
		t.Error("the mapped rings do not work")
	}
	copy(s.Frame(4096, 5), "hello")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if after := openFiles(t); !slices.Equal(before, after) {
		t.Errorf("open files before %v, after %v", before, after)
	}
}

func openFiles(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if l, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			names = append(names, l)
		}
	}
	slices.Sort(names)
	return names
}
