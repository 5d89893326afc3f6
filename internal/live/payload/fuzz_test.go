// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"
)

// Whatever the bytes: the cutter gives them all back in payloads that are not
// longer than they may be, or of a transport stream counts what it passed over; and
// what the starter lets pass is the end of what it was fed.
func FuzzPayload(f *testing.F) {
	pat, video, key := packet(0, -1), packet(256, -1), packet(256, 0x40)
	f.Add(join(video, pat, key, video), uint8(7))
	f.Add(join(pat, video, video, video, video, video, video, video, key), uint8(1))
	f.Add([]byte("not a transport stream"), uint8(3))
	f.Add(append(join(pat, key), "damaged"...), uint8(2))
	f.Fuzz(func(t *testing.T, in []byte, per uint8) {
		for f := Guess; f <= TS; f++ {
			k := NewCutter(t.Context(), bytes.NewReader(in), f, time.Hour)
			rest, all := in, 0
			for {
				var p [Max]byte
				n, err := k.Next(t.Context(), p[:])
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 || n > Max {
					t.Fatalf("a payload of %d bytes", n)
				}
				if all += n; k.Format() != TS && !bytes.HasPrefix(rest, p[:n]) {
					t.Fatal("the payloads are not what was sent")
				}
				i := bytes.Index(rest, p[:n])
				if i < 0 {
					t.Fatal("a payload is not a part of what was sent, in its order")
				}
				if k.Format() != TS {
					rest = rest[n:]
				}
			}
			d := k.Damage()
			if all+int(d.Bytes) != len(in) || k.Format() != TS && d.Bytes > 0 || d.Places > d.Bytes {
				t.Fatalf("%s: %d bytes in payloads and %d passed over at %d places, of %d", k.Format(), all, d.Bytes, d.Places, len(in))
			}
		}

		s := Starter{Patience: time.Hour}
		size := (int(per)%7 + 1) * tsPacket
		var fed, passed []byte
		now := time.Now()
		for len(in) > 0 {
			p := in[:min(size, len(in))]
			in = in[len(p):]
			fed = append(fed, p...)
			_, _ = RandomAccess(p), Null(p)
			for _, q := range s.Feed(p, now) {
				passed = append(passed, q...)
			}
		}
		for _, q := range s.End() {
			passed = append(passed, q...)
		}
		if uint64(len(passed))+s.Dropped() != uint64(len(fed)) {
			t.Fatalf("%d bytes passed and %d dropped, of %d", len(passed), s.Dropped(), len(fed))
		}
		if !bytes.HasSuffix(fed, passed) {
			t.Fatal("the starter let something pass that is not the end of the stream")
		}
	})
}
