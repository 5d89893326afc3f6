// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"sandstream/internal/live/frame"
)

func aHello() *hello {
	return &hello{
		Min: 2, Max: 2, Build: "test", Features: featureAES, Index: 0xdeadbeef, Proof: make([]byte, 32),
		Run: run{Name: [16]byte{1}, Start: 2}, Sealed: make([]byte, 64),
	}
}

// What is read of a hello can be written and read again, and means the same.
func FuzzHello(f *testing.F) {
	f.Add(aHello().encode())
	more := aHello()
	more.ToCome, more.Features = "something new", 1<<63
	f.Add(more.encode())
	f.Add((&hello{Min: 3, Max: 4}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHello(bytes.NewReader(b))
		if err != nil {
			return
		}
		if h.versions().common(versions{min: wireMin, max: wireMax}) != 0 && (len(h.Proof) != 32 || len(h.Sealed) != 64) {
			t.Fatalf("a hello without its proofs was taken: %+v", h)
		}
		if len(h.Build) > maxBuild || len(b) > helloHead+maxHello && len(h.encode()) > len(b) {
			t.Fatalf("more was read than there may be: %+v", h)
		}
		again, err := readHello(bytes.NewReader(h.encode()))
		if err != nil || !reflect.DeepEqual(h, again) {
			t.Fatalf("%+v came back as %+v, %v", h, again, err)
		}
	})
}

// What a host to come says beside what this one knows does not matter, whatever its
// version.
func TestHelloToCome(t *testing.T) {
	type toCome struct {
		hello
		More []string `cbor:"77,keyasint"`
	}
	h := toCome{hello: *aHello(), More: []string{"a", "b"}}
	h.Features |= 1 << 50
	body, err := helloEnc.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var got hello
	if err := got.decode(body); err != nil || got.Index != 0xdeadbeef || got.Features != featureAES|1<<50 {
		t.Errorf("with more features and fields: %+v, %v", got, err)
	}
	head := aHello().encode()[:helloHead]
	head[5] = 99 // reserved
	if _, err := helloSize(head); err != nil {
		t.Errorf("with a reserved byte in use: %v", err)
	}
	if err := got.decode(must(helloEnc.Marshal(&hello{Min: 7, Max: 9}))); err != nil {
		t.Errorf("of other versions, without any proofs: %v", err)
	}
	for name, h := range map[string]*hello{"no version": {}, "versions from 3 to 2": {Min: 3, Max: 2}, "no proof": {Min: 2, Max: 2}} {
		if err := got.decode(must(helloEnc.Marshal(h))); !errors.Is(err, errHello) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVersionsInCommon(t *testing.T) {
	for _, c := range []struct {
		a, b versions
		want uint16
	}{
		{versions{min: 2, max: 2}, versions{min: 2, max: 2, minor: 7}, 2},
		{versions{min: 2, max: 3}, versions{min: 1, max: 2}, 2},
		{versions{min: 2, max: 5}, versions{min: 3, max: 4}, 4},
		{versions{min: 2, max: 2}, versions{min: 3, max: 3}, 0},
		{versions{min: 2, max: 2}, versions{min: 1, max: 1}, 0},
	} {
		if got, back := c.a.common(c.b), c.b.common(c.a); got != c.want || back != c.want {
			t.Errorf("%v and %v: %d and %d, want %d", c.a, c.b, got, back, c.want)
		}
	}
	older := versions{min: 2, max: 2, build: "old"}.refuse("H", versions{min: 3, max: 4, build: "new"}).Error()
	if want := "host H speaks versions 3 to 4 of the wire (overlayd new), this one version 2 of the wire (overlayd old): upgrade overlayd here"; !strings.HasSuffix(older, want) {
		t.Errorf("%q, want %q", older, want)
	}
}

func TestVersionsOfARefusal(t *testing.T) {
	for text, want := range map[string]versions{
		versions{min: 2, max: 3, build: "a b"}.encode(): {min: 2, max: 3, build: "a b"},
		"":            {min: 1, max: 1},
		"4-3 x":       {min: 1, max: 1},
		"2-3 a\x1b\n": {min: 2, max: 3, build: "a"},
	} {
		if got := decodeVersions(text); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	if got := words("a\x1b[31mb\nc\xffd\u009b"); got != "a[31mbcd" {
		t.Errorf("%q", got)
	}
	if got := words(strings.Repeat("é", 1000)); len(got) > 310 || !utf8.ValidString(got) {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

func FuzzOuter(f *testing.F) {
	b := make([]byte, overhead+frame.HeaderSize)
	(&outer{typ: typeData, index: 7, counter: 1 << 40}).encode(b)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var o outer
		ok := o.decode(b)
		lawful := len(b) >= 32 && len(b) <= 65507 && (b[0] == 1 || b[0] == 4 && len(b) >= 96)
		if ok != lawful {
			t.Fatalf("lawful is %v, decode gives %v", lawful, ok)
		}
		if !ok {
			return
		}
		out := make([]byte, outerSize)
		o.encode(out)
		b[1], b[2], b[3] = 0, 0, 0 // reserved
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
