// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/replay"
)

var testStream = [16]byte{0xca, 0xfe}

// packet is a packet in the clear with room for a tag.
func packet(seq uint64, payload string) []byte {
	h := frame.Header{Stream: testStream, Seq: seq, SentNs: 7, BudgetUs: frame.NoBudget, Flags: frame.Key, Class: frame.Predicted}
	b := make([]byte, frame.HeaderSize, frame.MaxSize)
	h.Encode(b)
	return append(b, payload...)
}

func testKey(s Suite, epoch uint32) Key {
	k := Key{Suite: s, Epoch: epoch}
	for i := range k.Secret {
		k.Secret[i] = byte(i)
	}
	return k
}

func mustSeal(t testing.TB, s *Sealer, b []byte) []byte {
	t.Helper()
	out, err := s.Seal(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func open(o *Opener, b []byte) ([]byte, error) {
	var h frame.Header
	if _, err := h.Decode(b); err != nil {
		return nil, err
	}
	b = bytes.Clone(b)
	return o.Open(b, &h, b)
}

// What a sealer seals, who has the key opens, in place or not; others do not.
func TestSealOpen(t *testing.T) {
	for _, suite := range []Suite{AES128GCM, ChaCha20Poly1305} {
		s := NewSealer(testStream, [16]byte{1}, 0)
		if _, err := s.Seal(packet(1, "x")); !errors.Is(err, ErrNoKey) {
			t.Errorf("sealed without a key: %v", err)
		}
		if err := s.Use(testKey(suite, 5)); err != nil {
			t.Fatal(err)
		}
		plain := packet(9, "a picture")
		sealed := mustSeal(t, s, packet(9, "a picture"))
		if bytes.Contains(sealed, []byte("picture")) || len(sealed) != len(plain)+frame.TagSize {
			t.Fatalf("%d bytes: %q", len(sealed), sealed)
		}
		ring := NewRing(testStream)
		if _, err := open(ring.Opener(), sealed); !errors.Is(err, ErrNoKey) {
			t.Errorf("opened without a key: %v", err)
		}
		other := testKey(suite, 5)
		other.Secret[31] ^= 1
		ring.Add(other)
		if _, err := open(ring.Opener(), sealed); !errors.Is(err, ErrForged) {
			t.Errorf("opened with another key: %v", err)
		}
		ring = NewRing(testStream)
		if !ring.Add(testKey(suite, 5)) || ring.Add(testKey(suite, 5)) || ring.Newest() != 5 {
			t.Error("a key is new once")
		}
		got, err := open(ring.Opener(), sealed)
		if err != nil || string(got[frame.HeaderSize:]) != "a picture" {
			t.Errorf("%q, %v", got, err)
		}
		// What hops change is theirs to change.
		frame.Advance(sealed, 5)
		if _, err := open(ring.Opener(), sealed); err != nil {
			t.Errorf("after a hop: %v", err)
		}
		if _, err := s.Seal(packet(9, "another")); !errors.Is(err, ErrTwice) {
			t.Errorf("one number was sealed twice: %v", err)
		}
		if _, err := s.Seal(packet(10, "x")[: frame.HeaderSize+1 : frame.HeaderSize+1]); !errors.Is(err, ErrRoom) {
			t.Errorf("no room: %v", err)
		}
	}
}

// Known answers: the sealer's key by HKDF, and a sealed packet. (Computed a second time with
// another library, from doc.go.)
func TestKnownAnswer(t *testing.T) {
	for _, c := range []struct {
		suite Suite
		want  string
	}{{AES128GCM, "6ab9430fd0cc06d993844962fb7a12ebc547"}, {ChaCha20Poly1305, "bc4c187e6b1654401f58e7c5a85185624e54"}} {
		k := testKey(c.suite, 42)
		a, err := k.derive(testStream, 0x8877665544332211)
		if err != nil {
			t.Fatal(err)
		}
		b := packet(258, "")
		frame.PutSealer(b, 0x8877665544332211, 42)
		var n [12]byte
		if got := hex.EncodeToString(a.Seal(nil, nonce(&n, 258), []byte{0xca, 0xfe}, b[:frame.SealedHead])); got != c.want {
			t.Errorf("suite %d: %s, want %s", c.suite, got, c.want)
		}
	}
}

// Over restarts, epochs, stages, hosts, and numbers that jump and come twice: no nonce is
// used twice under one key. A key is told by the epoch's secret and the sealer's number.
func TestNoNonceTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type use struct {
			secret Secret
			sealer uint64
			seq    uint64
		}
		seen := map[use]bool{}
		keys := []Key{NewKey(AES128GCM, 1)}
		var sealers []*Sealer
		restart := func(i int) {
			s := NewSealer(testStream, [16]byte{byte(i % 2)}, uint16(i/2))
			if err := s.Use(keys[len(keys)-1]); err != nil {
				t.Fatal(err)
			}
			if i < len(sealers) {
				sealers[i] = s
			} else {
				sealers = append(sealers, s)
			}
		}
		for i := range 4 {
			restart(i)
		}
		base := uint64(1)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			i := rapid.IntRange(0, 3).Draw(t, "sealer")
			switch rapid.IntRange(0, 30).Draw(t, "event") {
			case 0:
				restart(i)
			case 1:
				keys = append(keys, NewKey(AES128GCM, uint32(len(keys)+1)))
			case 2:
				if err := sealers[i].Use(keys[len(keys)-1]); err != nil {
					t.Fatal(err)
				}
			case 3:
				base = rapid.Uint64Range(1, 100*replay.Size).Draw(t, "base")
			}
			b := packet(base+rapid.Uint64Range(0, 50).Draw(t, "seq"), "x")
			out, err := sealers[i].Seal(b)
			if errors.Is(err, ErrTwice) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			var h frame.Header
			if _, err := h.Decode(out); err != nil {
				t.Fatal(err)
			}
			u := use{keys[h.Epoch-1].Secret, h.Sealer, h.Seq}
			if seen[u] {
				t.Fatalf("sealer %x has used number %d twice in epoch %d", h.Sealer, h.Seq, h.Epoch)
			}
			seen[u] = true
		}
	})
}

var alterations = flag.Int("alterations", 20_000, "how many packets TestAlterations changes")

// Nothing that was changed opens, wherever and however it was.
func TestAlterations(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	ring := NewRing(testStream)
	var sealers []*Sealer
	for i, suite := range []Suite{AES128GCM, ChaCha20Poly1305} {
		k := NewKey(suite, uint32(i+1))
		ring.Add(k)
		s := NewSealer(testStream, [16]byte{byte(i)}, 0)
		if err := s.Use(k); err != nil {
			t.Fatal(err)
		}
		sealers = append(sealers, s)
	}
	o := ring.Opener()
	var other []byte
	opened := 0
	for n := range *alterations {
		payload := make([]byte, r.IntN(200))
		for i := range payload {
			payload[i] = byte(r.Uint32())
		}
		whole := mustSeal(t, sealers[n%2], packet(uint64(n+1), string(payload)))
		bad := bytes.Clone(whole)
		switch r.IntN(6) {
		case 0, 1, 2: // some bits
			for range 1 + r.IntN(4) {
				bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
			}
		case 3: // cut, or with more behind it
			if r.IntN(2) == 0 {
				bad = bad[:r.IntN(len(bad))]
			} else {
				bad = append(bad, byte(r.Uint32()))
			}
		case 4: // one packet's header, another's payload
			if other != nil {
				bad = append(bad[:frame.HeaderSize], other[frame.HeaderSize:]...)
			}
		case 5: // a run of noise
			from := r.IntN(len(bad))
			for i := from; i < min(len(bad), from+1+r.IntN(40)); i++ {
				bad[i] = byte(r.Uint32())
			}
		}
		other = whole
		same := len(bad) == len(whole) && bytes.Equal(bad[:frame.SealedHead], whole[:frame.SealedHead]) && bytes.Equal(bad[frame.HeaderSize:], whole[frame.HeaderSize:])
		var h frame.Header
		_, err := h.Decode(bad)
		if err != nil || same || h.Thinned {
			continue // refused before, or nothing of the sealer's was changed, or it bears nothing
		}
		if got, err := open(o, bad); err == nil {
			t.Fatalf("alteration %d opens as %x", n, got)
		}
		if got, err := open(o, whole); err != nil || !bytes.Equal(got[frame.HeaderSize:], payload) {
			t.Fatalf("packet %d does not open: %v", n, err)
		}
		opened++
	}
	if opened < *alterations/2 {
		t.Errorf("%d of %d alterations were tried at the seal", opened, *alterations)
	}
}

func TestNoAllocation(t *testing.T) {
	for _, suite := range []Suite{AES128GCM, ChaCha20Poly1305} {
		k := testKey(suite, 1)
		s, ring := NewSealer(testStream, [16]byte{1}, 0), NewRing(testStream)
		ring.Add(k)
		if err := s.Use(k); err != nil {
			t.Fatal(err)
		}
		o := ring.Opener()
		b, dst := packet(1, strings.Repeat("x", frame.MaxPayload)), make([]byte, frame.MaxSize)
		seq := uint64(0)
		if n := testing.AllocsPerRun(100, func() {
			seq++
			h := frame.Header{Stream: testStream, Seq: seq}
			h.Encode(b)
			out, err := s.Seal(b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.Decode(out); err != nil {
				t.Fatal(err)
			}
			if _, err := o.Open(dst, &h, out); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("suite %d: %v allocations a packet", suite, n)
		}
	}
}

// A ring keeps the last epochs, and the keys of sealers that were heard of.
func TestRingIsBounded(t *testing.T) {
	ring := NewRing(testStream)
	changed := ring.Changed()
	for epoch := range uint32(10) {
		k := NewKey(AES128GCM, epoch+1)
		ring.Add(k)
		for i := range 2 * keptSealers {
			s := NewSealer(testStream, [16]byte{}, uint16(i))
			if err := s.Use(k); err != nil {
				t.Fatal(err)
			}
			if _, err := open(ring.Opener(), mustSeal(t, s, packet(1, "x"))); err != nil {
				t.Fatal(err)
			}
		}
	}
	select {
	case <-changed:
	default:
		t.Error("nobody is told of a key")
	}
	if len(ring.keys) != keptKeys || len(ring.derived) > keptSealers {
		t.Errorf("%d keys, %d of sealers", len(ring.keys), len(ring.derived))
	}
	if _, have := ring.Key(10); !have {
		t.Error("the newest key is gone")
	}
	if _, have := ring.Key(7); have {
		t.Error("an old key stays")
	}
	for epoch, want := range map[uint32]bool{7: false, 10: false, 11: true, 12: true, 13: false, 1 << 31: false} {
		if ring.MayCome(epoch) != want {
			t.Errorf("epoch %d is waited for: %v", epoch, !want)
		}
	}
	if !NewRing(testStream).MayCome(99) {
		t.Error("the first key is not waited for")
	}
	// What a header claims alone leaves nothing.
	before := len(ring.derived)
	for i := range 100 {
		b := packet(uint64(i+1), "x")
		frame.PutSealer(b, uint64(i), 10)
		_, _ = open(ring.Opener(), append(b, make([]byte, frame.TagSize)...))
	}
	if len(ring.derived) != before {
		t.Error("forged headers take memory")
	}
}

// However a key is printed, its secret does not show.
func TestSecretDoesNotShow(t *testing.T) {
	k := testKey(AES128GCM, 3)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("key", "key", k, "secret", k.Secret, "at", &k)
	slog.New(slog.NewTextHandler(&log, nil)).Info("key", "key", k, "secret", k.Secret, "at", &k)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		fmt.Fprintf(&log, format+format+format, k, k.Secret, &k.Secret)
	}
	j, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	log.Write(j)
	for _, secret := range []string{"0102030405", "1 2 3 4 5", "1,2,3,4,5", "0x1, 0x2", "\\x01\\x02", string(k.Secret[1:6])} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q shows in %s", secret, log.String())
		}
	}
}

// FuzzOpen gives an opener any bytes: nothing opens that was not sealed.
func FuzzOpen(f *testing.F) {
	k := testKey(AES128GCM, 1)
	s := NewSealer(testStream, [16]byte{1}, 0)
	if err := s.Use(k); err != nil {
		f.Fatal(err)
	}
	out, err := s.Seal(packet(1, "payload"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(out)
	f.Add(packet(1, "payload"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ring := NewRing(testStream)
		other := testKey(AES128GCM, 1)
		other.Secret[0] = 99 // not the key of the seed
		ring.Add(other)
		var h frame.Header
		if _, err := h.Decode(b); err != nil {
			return
		}
		got, err := ring.Opener().Open(make([]byte, len(b)), &h, b)
		if err == nil && !h.Thinned {
			t.Fatalf("%x opens as %x", b, got)
		}
	})
}
