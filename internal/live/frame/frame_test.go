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

// sample is written out by hand from the table in doc.go; behind the header are two
// bytes of payload. sandboxlib/tests/t_stream.c has the same.
const sample = "02" + "05" + "03" + "00" + "02" + "07" + "0000" + "00112233445566778899aabbccddeeff" +
	"0000000000000102" + "17a1b2c3d4e5f607" + "8877665544332211" + "0000002a" +
	"0003" + "07" + "00" + "000186a0" + "00000bb8" + "cafe"

// tag stands for one: what Decode takes has 16 bytes behind the payload.
const tag = "000102030405060708090a0b0c0d0e0f"

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKnownAnswer(t *testing.T) {
	b := unhex(t, sample+tag)
	var h, plain Header
	sealed, err := h.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	want := Header{
		Flags: Key | Compressed, Class: Disposable, Part: 2, LastPart: 7,
		Stream: [16]byte(unhex(t, "00112233445566778899aabbccddeeff")),
		Seq:    258, SentNs: 0x17a1b2c3d4e5f607, Sealer: 0x8877665544332211, Epoch: 42,
		Path: 3, Hops: 7, BudgetUs: 100_000, ElapsedUs: 3000,
	}
	if h != want {
		t.Errorf("decoded %+v, want %+v", h, want)
	}
	if !bytes.Equal(sealed, b[HeaderSize:]) {
		t.Errorf("sealed payload %x", sealed)
	}
	payload, err := plain.DecodePlain(b[:HeaderSize+2])
	if err != nil || plain != want || !bytes.Equal(payload, []byte{0xca, 0xfe}) {
		t.Errorf("in the clear: %+v, payload %x, %v", plain, payload, err)
	}
	if Stream(b) != h.Stream || Path(b) != h.Path || Seq(b) != h.Seq || IsThinned(b) {
		t.Error("Stream, Path, Seq and IsThinned do not agree with Decode")
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
		b := unhex(t, sample+tag)
		b[at] = v
		return b
	}
	noSeq := unhex(t, sample+tag)
	clear(noSeq[24:32])
	long := make([]byte, MaxSize)
	copy(long, unhex(t, sample))
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, ErrShort},
		{"cut", unhex(t, sample)[:63], ErrShort},
		{"too long", append(long, 0), ErrLong},
		{"version 1", change(0, 1), ErrVersion},
		{"flag", change(1, 64), ErrFlags},
		{"mark", change(55, 2), ErrFlags},
		{"reserved", change(3, 1), ErrReserved},
		{"reserved word", change(7, 1), ErrReserved},
		{"part", change(4, 8), ErrPart},
		{"seq", noSeq, ErrSeq},
		{"beat", change(1, byte(Beat)), ErrBeat},
		{"thinned", change(55, 1), ErrBeat},
		{"no tag", unhex(t, sample), ErrUnsealed},
	} {
		h := Header{Seq: 99}
		if _, err := h.Decode(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if (h != Header{Seq: 99}) {
			t.Errorf("%s: the header was changed by a packet that was refused", c.name)
		}
	}
	if _, err := new(Header).Decode(long); err != nil {
		t.Errorf("a packet of the greatest size: %v", err)
	}
	if _, err := new(Header).DecodePlain(long); !errors.Is(err, ErrLong) {
		t.Errorf("a packet in the clear that leaves no room for a tag: %v", err)
	}
	if _, err := new(Header).Decode(change(55, 1)[:HeaderSize]); err != nil {
		t.Errorf("a thinned packet: %v", err)
	}
}

func TestAdvance(t *testing.T) {
	for _, c := range []struct {
		budget, elapsed         uint32
		hops                    uint8
		spent                   time.Duration
		wantBudget, wantElapsed uint32
		wantHops                uint8
	}{
		{1000, 10, 1, 250 * time.Microsecond, 750, 260, 2},
		{100, 10, 1, 250 * time.Microsecond, 0, 260, 2},
		{NoBudget, 0, 0, time.Hour, NoBudget, 3_600_000_000, 1},
		{5, math.MaxUint32 - 1, math.MaxUint8, time.Second, 0, math.MaxUint32, math.MaxUint8},
		{5, 7, 0, -time.Second, 5, 7, 1},
		{5, 7, 0, math.MaxInt64, 0, math.MaxUint32, 1},
	} {
		b := make([]byte, HeaderSize)
		in := Header{BudgetUs: c.budget, ElapsedUs: c.elapsed, Hops: c.hops, Seq: 1}
		in.Encode(b)
		before := bytes.Clone(b)
		Advance(b, c.spent)
		var h Header
		if _, err := h.DecodePlain(b); err != nil {
			t.Fatal(err)
		}
		if h.BudgetUs != c.wantBudget || h.ElapsedUs != c.wantElapsed || h.Hops != c.wantHops {
			t.Errorf("%+v after %v: %+v", in, c.spent, h)
		}
		if !bytes.Equal(b[:SealedHead], before[:SealedHead]) {
			t.Errorf("a hop changes what is the sealer's: %x, %x before", b[:SealedHead], before[:SealedHead])
		}
	}
}

// Every header comes back as it was, whatever its fields, sealed or not.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last := rapid.Uint8().Draw(t, "last")
		h := Header{
			Flags:     Flags(rapid.Uint8Range(0, uint8(known)).Draw(t, "flags")),
			Class:     Class(rapid.Uint8().Draw(t, "class")),
			Part:      rapid.Uint8Max(last).Draw(t, "part"),
			LastPart:  last,
			Stream:    [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "stream")),
			Seq:       rapid.Uint64Min(1).Draw(t, "seq"),
			SentNs:    rapid.Uint64().Draw(t, "sent"),
			Sealer:    rapid.Uint64().Draw(t, "sealer"),
			Epoch:     rapid.Uint32().Draw(t, "epoch"),
			Path:      rapid.Uint16().Draw(t, "path"),
			Hops:      rapid.Uint8().Draw(t, "hops"),
			Thinned:   rapid.Bool().Draw(t, "thinned"),
			BudgetUs:  rapid.Uint32().Draw(t, "budget"),
			ElapsedUs: rapid.Uint32().Draw(t, "elapsed"),
		}
		tag, decode := 0, (*Header).DecodePlain
		if rapid.Bool().Draw(t, "sealed") {
			tag, decode = TagSize, (*Header).Decode
		}
		longest := MaxPlain - HeaderSize
		if h.Flags&Beat != 0 || h.Thinned {
			longest = 0
		}
		if h.Thinned {
			tag = 0
		}
		payload := append(rapid.SliceOfN(rapid.Byte(), 0, longest).Draw(t, "payload"), make([]byte, tag)...)
		b := make([]byte, HeaderSize, MaxSize)
		h.Encode(b)
		b = append(b, payload...)
		var back Header
		got, err := decode(&back, b)
		if err != nil {
			t.Fatal(err)
		}
		if back != h || !bytes.Equal(got, payload) {
			t.Fatalf("%+v came back as %+v", h, back)
		}
	})
}

func TestNoAllocation(t *testing.T) {
	b := unhex(t, sample+tag)
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
	f.Add(unhex(f, sample+tag))
	f.Add(unhex(f, sample))
	f.Fuzz(func(t *testing.T, b []byte) {
		lawful := func(tag int) bool {
			if len(b) < 64 || len(b) > 1424+tag || b[0] != 2 || b[1] >= 64 || b[3]|b[6]|b[7] != 0 || b[4] > b[5] || b[55] > 1 ||
				bytes.Equal(b[24:32], make([]byte, 8)) {
				return false
			}
			if b[55] == 1 {
				return len(b) == 64
			}
			return len(b) >= 64+tag && (b[1]&16 == 0 || len(b) == 64+tag)
		}
		for tag, decode := range map[int]func(*Header, []byte) ([]byte, error){0: (*Header).DecodePlain, 16: (*Header).Decode} {
			var h Header
			payload, err := decode(&h, b)
			if lawful(tag) != (err == nil) {
				t.Fatalf("tag of %d: lawful is %v, but Decode gives %v", tag, lawful(tag), err)
			}
			if err != nil {
				continue
			}
			out := make([]byte, HeaderSize)
			h.Encode(out)
			if out = append(out, payload...); !bytes.Equal(out, b) {
				t.Fatalf("%x came back as %x", b, out)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	p := unhex(b, sample+tag)
	var h Header
	for b.Loop() {
		if _, err := h.Decode(p); err != nil {
			b.Fatal(err)
		}
	}
}
