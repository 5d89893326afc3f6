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
// longer than they may be, or says where a transport stream is damaged; and what
// the starter lets pass is the end of what it was fed.
func FuzzPayload(f *testing.F) {
	pat, video, key := packet(0, -1), packet(256, -1), packet(256, 0x40)
	f.Add(join(video, pat, key, video), uint8(7))
	f.Add(join(pat, video, video, video, video, video, video, video, key), uint8(1))
	f.Add([]byte("not a transport stream"), uint8(3))
	f.Add(append(join(pat, key), "damaged"...), uint8(2))
	f.Fuzz(func(t *testing.T, in []byte, per uint8) {
		k := NewCutter(t.Context(), bytes.NewReader(in), time.Hour)
		var all []byte
		for {
			var p [Max]byte
			n, err := k.Next(t.Context(), p[:])
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				if !k.TS() {
					t.Fatalf("no transport stream, but %v", err)
				}
				if !bytes.HasPrefix(in, all) {
					t.Fatal("the payloads before the damage are not what was sent")
				}
				all = nil
				break
			}
			if n == 0 || n > Max {
				t.Fatalf("a payload of %d bytes", n)
			}
			all = append(all, p[:n]...)
		}
		if all != nil && !bytes.Equal(all, in) {
			t.Fatal("the payloads are not what was sent")
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
		if !bytes.HasSuffix(fed, passed) {
			t.Fatal("the starter let something pass that is not the end of the stream")
		}
	})
}
