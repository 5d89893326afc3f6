// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"sandstream/internal/live/frame"
)

func FuzzHello(f *testing.F) {
	whole := (&hello{aes: true, dataPort: 7001, index: 0xdeadbeef, proof: [32]byte{1, 2, 3}}).encode()
	f.Add(whole)
	f.Fuzz(func(t *testing.T, b []byte) {
		h := hello{index: 99}
		err := h.decode(b)
		lawful := len(b) == 48 && string(b[:4]) == "SNDS" && b[4] == 1 && b[5] < 4 && (b[6]|b[7]) != 0 && bytes.Equal(b[12:16], make([]byte, 4))
		if lawful != (err == nil) {
			t.Fatalf("lawful is %v, but decode gives %v", lawful, err)
		}
		if err != nil && (h != hello{index: 99}) {
			t.Fatal("a refused hello was taken in part")
		}
		if err == nil && !bytes.Equal(h.encode(), b) {
			t.Fatalf("%x came back as %x", b, h.encode())
		}
	})
}

func TestHelloOfOtherVersion(t *testing.T) {
	b := (&hello{dataPort: 1}).encode()
	b[4]++
	if err := new(hello).decode(b); !errors.Is(err, ErrVersion) {
		t.Errorf("version 2: %v", err)
	}
}

func FuzzOuter(f *testing.F) {
	b := make([]byte, overhead+frame.HeaderSize)
	(&outer{typ: typeData, index: 7, counter: 1 << 40}).encode(b)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var o outer
		ok := o.decode(b)
		lawful := len(b) >= 32 && len(b) <= 1472 && (b[0] == 1 || b[0] == 4 && len(b) >= 96) && b[1]|b[2]|b[3] == 0
		if ok != lawful {
			t.Fatalf("lawful is %v, decode gives %v", lawful, ok)
		}
		if !ok {
			return
		}
		out := make([]byte, outerSize)
		o.encode(out)
		if !bytes.Equal(out, b[:outerSize]) {
			t.Fatalf("%x came back as %x", b[:outerSize], out)
		}
	})
}

func groMessage(size int32) []byte {
	b := putGSO(make([]byte, 64), 0)[:unix.CmsgSpace(4)]
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(4)))
	binary.NativeEndian.PutUint32(b[8:], unix.SOL_UDP)
	binary.NativeEndian.PutUint32(b[12:], unix.UDP_GRO)
	binary.NativeEndian.PutUint32(b[16:], uint32(size))
	return b
}

func FuzzGRO(f *testing.F) {
	f.Add(groMessage(1396))
	f.Add(groMessage(-1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := parseGRO(b); n < 0 || n > rxBuffer {
			t.Fatalf("segments of %d bytes", n)
		}
	})
}

func TestGRO(t *testing.T) {
	other := groMessage(1)
	binary.NativeEndian.PutUint32(other[12:], 999)
	for _, c := range []struct {
		name string
		b    []byte
		want int
	}{
		{"nothing", nil, 0},
		{"one", groMessage(1396), 1396},
		{"after another", append(bytes.Clone(other), groMessage(1200)...), 1200},
		{"negative", groMessage(-5), 0},
		{"too large", groMessage(1 << 20), 0},
		{"cut", groMessage(1396)[:18], 0},
	} {
		if got := parseGRO(c.b); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// What one side seals the other opens, with either cipher, and nobody else.
func TestSealOpen(t *testing.T) {
	for _, useAES := range []bool{true, false} {
		a := &session{remote: 5, useAES: useAES, sendKey: [32]byte{1}, recvKey: [32]byte{2}}
		b := &session{local: 5, useAES: useAES, sendKey: [32]byte{2}, recvKey: [32]byte{1}}
		for i := range 3 {
			d := make([]byte, maxDatagram)
			n := a.seal(typeControl, d, outerSize+copy(d[outerSize:], "some text"))
			if n != overhead+len("some text") {
				t.Fatalf("sealed size %d", n)
			}
			var o outer
			if !o.decode(d[:n]) || o != (outer{typ: typeControl, index: 5, counter: uint64(i)}) {
				t.Fatalf("header %+v", o)
			}
			again := bytes.Clone(d[:n])
			if plain, err := b.open(&o, d[:n]); err != nil || string(plain) != "some text" {
				t.Fatalf("opened %q, %v", plain, err)
			}
			b.quiet(1 << 30) // the keys are expanded again
			if b.opener.Load() != nil {
				t.Fatal("a quiet session keeps its expanded keys")
			}
			if _, err := a.open(&o, again); err == nil {
				t.Fatal("the sender can open its own datagrams: both directions have one key")
			}
		}
		a.sent.Store(rejectPackets)
		if n := a.seal(typeControl, make([]byte, maxDatagram), outerSize); n != 0 {
			t.Error("sealed with keys that are used up")
		}
	}
}

func TestSealingAllocatesNothing(t *testing.T) {
	for _, aes := range []bool{true, false} {
		a := &session{useAES: aes, sendKey: [32]byte{1}}
		b := &session{useAES: aes, recvKey: [32]byte{1}}
		d := make([]byte, maxDatagram)
		if n := testing.AllocsPerRun(100, func() {
			n := a.seal(typeData, d, room(typeData)+1000)
			var o outer
			if !o.decode(d[:n]) {
				t.Fatal("not decoded")
			}
			if _, err := b.open(&o, d[:n]); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("AES %v: %v allocations a packet", aes, n)
		}
	}
}

// A hop's word is for the headers: none of their bytes can be changed, with either MAC;
// the payload is its sealer's.
func TestHeadersAreAuthentic(t *testing.T) {
	for _, useAES := range []bool{true, false} {
		a := &session{remote: 5, useAES: useAES, sendKey: [32]byte{1}}
		b := &session{local: 5, useAES: useAES, recvKey: [32]byte{1}}
		d := make([]byte, maxDatagram)
		at := room(typeData)
		h := frame.Header{Seq: 9, Stream: [16]byte{7}}
		h.Encode(d[at:])
		sealed := bytes.Repeat([]byte("sealed"), 5)
		n := a.seal(typeData, d, at+frame.HeaderSize+copy(d[at+frame.HeaderSize:], sealed))
		if n != overhead+frame.HeaderSize+len(sealed) {
			t.Fatalf("%d bytes", n)
		}
		whole := bytes.Clone(d[:n])
		var o outer
		if !o.decode(d[:n]) || o.typ != typeData {
			t.Fatalf("header %+v", o)
		}
		packet, err := b.open(&o, d[:n])
		if err != nil {
			t.Fatal(err)
		}
		var back frame.Header
		if payload, err := back.Decode(packet); err != nil || back != h || !bytes.Equal(payload, sealed) {
			t.Fatalf("%+v %q, %v", back, payload, err)
		}
		for at := range overhead + frame.HeaderSize {
			bad := bytes.Clone(whole)
			bad[at] ^= 1
			if o := (outer{}); o.decode(bad) {
				if _, err := b.open(&o, bad); err == nil {
					t.Errorf("byte %d of the headers can be changed", at)
				}
			}
		}
	}
	// Data of version 1 is known as such.
	for _, typ := range []byte{2, 3} {
		b := make([]byte, maxDatagram)
		b[0] = typ
		var o outer
		if o.decode(b) || o.typ != typeSealed1 && o.typ != typeClear1 {
			t.Errorf("type %d: %+v", typ, o)
		}
	}
	if n := overhead + frame.HeaderSize - 1; (&outer{}).decode(append([]byte{4}, make([]byte, n-1)...)) {
		t.Error("a datagram without room for the packet's header is taken")
	}
}

// Known answers of both MACs: the sandbox's twin must give the same.
func TestMACKnownAnswer(t *testing.T) {
	for _, c := range []struct {
		aes  bool
		want string
	}{{true, "58ca6430c3663aa371a8de1840949ea1"}, {false, "7151d9b6750ca342c6dfa8aaf481993f"}} {
		s := &session{remote: 0x01020304, useAES: c.aes}
		for i := range s.sendKey {
			s.sendKey[i] = byte(i)
		}
		s.sent.Store(5)
		d := make([]byte, maxDatagram)
		for i := range frame.HeaderSize {
			d[overhead+i] = byte(0x80 + i)
		}
		s.seal(typeData, d, overhead+frame.HeaderSize+20)
		if got := hex.EncodeToString(d[outerSize:overhead]); got != c.want {
			t.Errorf("AES %v: %s, want %s", c.aes, got, c.want)
		}
	}
}
