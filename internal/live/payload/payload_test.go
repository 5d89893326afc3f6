// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// packet is one MPEG-TS packet; flags are those of the adaptation field, -1: none.
// With the flag of random access a PES of video begins in it.
func packet(pid int, flags int) []byte {
	p := make([]byte, tsPacket)
	p[0], p[1], p[2], p[3] = tsSync, byte(pid>>8), byte(pid), 0x10
	if flags >= 0 {
		p[3], p[4], p[5] = 0x30, 1, byte(flags)
	}
	if flags > 0 && flags&0x40 != 0 {
		p[1] |= 0x40
		copy(p[6:], []byte{0, 0, 1, 0xe0})
	}
	return p
}

func join(p ...[]byte) []byte { return bytes.Join(p, nil) }

func TestRandomAccess(t *testing.T) {
	audio := packet(257, 0x40)
	audio[9] = 0xc0
	long := packet(256, 0x40)
	long[4] = 183 // the field fills the packet
	empty := packet(256, 0x40)
	empty[4] = 0 // a field of length 0 has no flags: what looks like them is payload
	for name, c := range map[string]struct {
		p    []byte
		want bool
	}{
		"first":    {join(packet(256, 0x40), packet(256, -1)), true},
		"last":     {join(packet(256, -1), packet(256, 0), packet(257, 0x50)), true},
		"none":     {join(packet(256, -1), packet(256, 0xbf)), false},
		"audio":    {audio, false},
		"no room":  {long, false},
		"no field": {empty, false},
		"cut":      {packet(256, 0x40)[:187], false},
		"not TS":   {join(packet(256, 0x40), make([]byte, tsPacket)), false},
		"nothing":  {nil, false},
	} {
		if got := RandomAccess(c.p); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if !Null(join(packet(0x1fff, -1), packet(0x1fff, -1))) || Null(join(packet(0x1fff, -1), packet(256, -1))) || Null(nil) {
		t.Error("Null")
	}
}

func TestCutter(t *testing.T) {
	ts := bytes.Repeat(packet(256, -1), 17)
	other := bytes.Repeat([]byte("overlay "), 400)
	for name, c := range map[string]struct {
		in   []byte
		ts   bool
		want []int
	}{
		"TS":         {ts, true, []int{1316, 1316, 3 * 188}},
		"one packet": {packet(1, -1), true, []int{188}},
		"other":      {other, false, []int{1316, 1316, 568}},
		"short":      {[]byte("x"), false, []int{1}},
		"empty":      {nil, false, nil},
		"a G":        {bytes.Repeat([]byte("G"), 188), true, []int{188}}, // one block of G is taken for TS: harmless
	} {
		k := NewCutter(t.Context(), iotest.OneByteReader(bytes.NewReader(c.in)), time.Hour)
		var p [Max]byte
		var got []byte
		var sizes []int
		for {
			n, err := k.Next(t.Context(), p[:])
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, sizes = append(got, p[:n]...), append(sizes, n)
		}
		if !bytes.Equal(got, c.in) || k.TS() != c.ts || len(sizes) != len(c.want) {
			t.Errorf("%s: sizes %v, TS %v, same %v", name, sizes, k.TS(), bytes.Equal(got, c.in))
		}
		for i := range c.want {
			if i < len(sizes) && sizes[i] != c.want[i] {
				t.Errorf("%s: sizes %v", name, sizes)
			}
		}
	}
	bad := join(packet(1, -1), packet(1, -1), make([]byte, 188))
	if _, err := NewCutter(t.Context(), bytes.NewReader(bad), time.Hour).Next(t.Context(), make([]byte, Max)); err == nil {
		t.Error("a damaged transport stream is taken")
	}
}

// Who sends little is not kept waiting, but no packet of a transport stream is cut.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := func(k *Cutter) int {
			t.Helper()
			var p [Max]byte
			n, err := k.Next(t.Context(), p[:])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		r, w := io.Pipe()
		k := NewCutter(t.Context(), r, 50*time.Millisecond)
		go func() {
			io.WriteString(w, "a line\n")
			time.Sleep(time.Second)
			io.WriteString(w, "and a half")
			time.Sleep(40 * time.Millisecond)
			io.WriteString(w, " line\n")
			w.Close()
		}()
		start := time.Now()
		if n, d := read(k), time.Since(start); n != 7 || d != 50*time.Millisecond {
			t.Errorf("%d bytes after %v", n, d)
		}
		if n := read(k); n != 16 {
			t.Errorf("%d bytes", n)
		}

		r, w = io.Pipe()
		k = NewCutter(t.Context(), r, 50*time.Millisecond)
		go func() {
			w.Write(packet(1, -1)[:100])
			time.Sleep(time.Second)
			w.Write(packet(1, -1)[100:])
			w.Write(packet(1, -1))
			w.Write(packet(1, -1)[:50])
			time.Sleep(time.Second)
			w.Write(packet(1, -1)[50:])
			w.Close()
		}()
		if n := read(k); n != 2*188 {
			t.Errorf("%d bytes", n)
		}
		if n := read(k); n != 188 || !k.TS() {
			t.Errorf("%d bytes, TS %v", n, k.TS())
		}
	})
}

// What ffmpeg marks as key frames is found: one a second, and the first packet of video.
func TestFFmpeg(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is missing: apt-get install ffmpeg")
	}
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=128x96:rate=10:duration=3",
		"-f", "lavfi", "-i", "sine=duration=3", "-c:a", "aac", "-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-f", "mpegts", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	k := NewCutter(t.Context(), bytes.NewReader(out), time.Hour)
	var p [Max]byte
	keys := 0
	for {
		n, err := k.Next(t.Context(), p[:])
		if err != nil {
			break
		}
		if RandomAccess(p[:n]) {
			keys++
		}
	}
	if !k.TS() || keys != 3 {
		t.Errorf("TS %v, %d payloads with a key frame, want 3", k.TS(), keys)
	}
}

func TestStarter(t *testing.T) {
	now := time.Now()
	pat, video, key := packet(0, -1), packet(256, -1), packet(256, 0x40)
	for name, c := range map[string]struct {
		in   [][]byte
		want []byte
	}{
		"tables in the same payload": {[][]byte{video, join(video, pat, key, video), video}, join(pat, key, video, video)},
		"tables before":              {[][]byte{join(pat, video), join(video, pat), join(video, key)}, join(pat, video, key)},
		"no tables":                  {[][]byte{video, join(video, key)}, key},
		"tables long ago":            {append(append([][]byte{pat}, bytes.SplitAfterN(bytes.Repeat(video, 20), video, 20)...), key), key},
		"not TS":                     {[][]byte{[]byte("a"), []byte("b")}, []byte("ab")},
		"never a key":                {[][]byte{pat, video}, nil},
	} {
		s := Starter{Patience: time.Minute}
		var got []byte
		for _, p := range c.in {
			got = append(got, join(s.Feed(p, now)...)...)
		}
		if !bytes.Equal(got, c.want) {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(c.want))
		}
	}
	unit := packet(256, 0x40)
	unit[5] = 0 // video, but no point to start at
	s := Starter{Patience: time.Second}
	s.Feed(unit, now)
	if got := s.Feed(video, now.Add(time.Second/2)); len(got) != 0 {
		t.Errorf("patient: %d payloads", len(got))
	}
	if got := s.Feed(video, now.Add(2*time.Second)); len(got) != 1 {
		t.Errorf("out of patience: %d payloads", len(got))
	}
	s = Starter{Patience: time.Second}
	s.Feed(video, now)
	if got := s.Feed(video, now.Add(time.Second/2)); len(got) != 1 {
		t.Errorf("no video: %d payloads", len(got))
	}
}
