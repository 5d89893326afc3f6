// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// sample is written out by hand from the table in doc.go.
const sample = "01" + "05" + "0003" + "000186a0" + "00112233445566778899aabbccddeeff" +
	"0000000000000102" + "17a1b2c3d4e5f607" + "00000bb8" + "0007" + "0000" + "cafe"

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLayout(t *testing.T) {
	b := unhex(t, sample)
	var h Header
	payload, err := h.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	want := Header{
		Flags: Key | Compressed, Path: 3, BudgetUs: 100_000,
		Stream: [16]byte(unhex(t, "00112233445566778899aabbccddeeff")),
		Seq:    258, SentNs: 0x17a1b2c3d4e5f607, ElapsedUs: 3000, Hops: 7,
	}
	if h != want {
		t.Errorf("decoded %+v, want %+v", h, want)
	}
	if !bytes.Equal(payload, []byte{0xca, 0xfe}) {
		t.Errorf("payload %x", payload)
	}
	if Stream(b) != h.Stream || Path(b) != h.Path {
		t.Error("Stream and Path do not agree with Decode")
	}
	out := make([]byte, HeaderSize)
	h.Encode(out)
	if !bytes.Equal(out, b[:HeaderSize]) {
		t.Errorf("encoded %x, want %x", out, b[:HeaderSize])
	}
	if s := h.Flags.String(); s != "key|compressed" {
		t.Errorf("flags are written as %q", s)
	}
}

func TestRefused(t *testing.T) {
	change := func(at int, v byte) []byte {
		b := unhex(t, sample)
		b[at] = v
		return b
	}
	noSeq := unhex(t, sample)
	clear(noSeq[24:32])
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, ErrShort},
		{"cut", unhex(t, sample)[:47], ErrShort},
		{"too long", append(unhex(t, sample), make([]byte, MaxPayload-1)...), ErrLong},
		{"version", change(0, 2), ErrVersion},
		{"flag", change(1, 32), ErrFlags},
		{"reserved", change(47, 1), ErrReserved},
		{"seq", noSeq, ErrSeq},
		{"beat", change(1, byte(Beat)), ErrBeat},
	} {
		h := Header{Seq: 99}
		if _, err := h.Decode(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if (h != Header{Seq: 99}) {
			t.Errorf("%s: the header was changed by a packet that was refused", c.name)
		}
	}
	if _, err := new(Header).Decode(append(unhex(t, sample), make([]byte, MaxPayload-2)...)); err != nil {
		t.Errorf("a packet of the greatest size: %v", err)
	}
}

func TestAdvance(t *testing.T) {
	for _, c := range []struct {
		budget, elapsed         uint32
		hops                    uint16
		spent                   time.Duration
		wantBudget, wantElapsed uint32
		wantHops                uint16
	}{
		{1000, 10, 1, 250 * time.Microsecond, 750, 260, 2},
		{100, 10, 1, 250 * time.Microsecond, 0, 260, 2},
		{NoBudget, 0, 0, time.Hour, NoBudget, 3_600_000_000, 1},
		{5, math.MaxUint32 - 1, math.MaxUint16, time.Second, 0, math.MaxUint32, math.MaxUint16},
		{5, 7, 0, -time.Second, 5, 7, 1},
		{5, 7, 0, math.MaxInt64, 0, math.MaxUint32, 1},
	} {
		b := make([]byte, HeaderSize)
		in := Header{BudgetUs: c.budget, ElapsedUs: c.elapsed, Hops: c.hops, Seq: 1}
		in.Encode(b)
		Advance(b, c.spent)
		var h Header
		if _, err := h.Decode(b); err != nil {
			t.Fatal(err)
		}
		if h.BudgetUs != c.wantBudget || h.ElapsedUs != c.wantElapsed || h.Hops != c.wantHops {
			t.Errorf("%+v after %v: %+v", in, c.spent, h)
		}
	}
}

// Every header comes back as it was, whatever its fields.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := Header{
			Flags:     Flags(rapid.Uint8Range(0, uint8(known)).Draw(t, "flags")),
			Path:      rapid.Uint16().Draw(t, "path"),
			BudgetUs:  rapid.Uint32().Draw(t, "budget"),
			Stream:    [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "stream")),
			Seq:       rapid.Uint64Min(1).Draw(t, "seq"),
			SentNs:    rapid.Uint64().Draw(t, "sent"),
			ElapsedUs: rapid.Uint32().Draw(t, "elapsed"),
			Hops:      rapid.Uint16().Draw(t, "hops"),
		}
		longest := MaxPayload
		if h.Flags&Beat != 0 {
			longest = 0
		}
		payload := rapid.SliceOfN(rapid.Byte(), 0, longest).Draw(t, "payload")
		b := make([]byte, HeaderSize, MaxSize)
		h.Encode(b)
		b = append(b, payload...)
		var back Header
		got, err := back.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if back != h || !bytes.Equal(got, payload) {
			t.Fatalf("%+v came back as %+v", h, back)
		}
	})
}

func TestNoAllocation(t *testing.T) {
	b := unhex(t, sample)
	var h Header
	if n := testing.AllocsPerRun(100, func() {
		if _, err := h.Decode(b); err != nil {
			t.Fatal(err)
		}
		Advance(b, time.Millisecond)
		h.Encode(b)
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

// What Decode accepts, Encode gives back byte for byte; what it refuses breaks
// one of the rules, which are checked here a second time.
func FuzzDecode(f *testing.F) {
	f.Add(unhex(f, sample))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Header
		payload, err := h.Decode(b)
		lawful := len(b) >= 48 && len(b) <= 1364 && b[0] == 1 && b[1] < 32 && b[46] == 0 && b[47] == 0 &&
			!bytes.Equal(b[24:32], make([]byte, 8)) && (b[1]&16 == 0 || len(b) == 48)
		if lawful != (err == nil) {
			t.Fatalf("lawful is %v, but Decode gives %v", lawful, err)
		}
		if err != nil {
			return
		}
		out := make([]byte, HeaderSize)
		h.Encode(out)
		if out = append(out, payload...); !bytes.Equal(out, b) {
			t.Fatalf("%x came back as %x", b, out)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	p := unhex(b, sample)
	var h Header
	for b.Loop() {
		if _, err := h.Decode(p); err != nil {
			b.Fatal(err)
		}
	}
}
