// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"slices"
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
		"TS":           {ts, true, []int{1316, 1316, 3 * 188}},
		"one packet":   {packet(1, -1), true, []int{188}},
		"other":        {other, false, []int{1316, 1316, 568}},
		"short":        {[]byte("x"), false, []int{1}},
		"empty":        {nil, false, nil},
		"a block of G": {bytes.Repeat([]byte("G"), 188), false, []int{188}},
		"blocks of G":  {bytes.Repeat([]byte("G"), 20*188), false, []int{1316, 1316, 1128}},
		"lines of G":   {bytes.Repeat(append([]byte("G"), bytes.Repeat([]byte("t"), 187)...), 9), false, []int{1316, 376}},
		"cut TS":       {ts[:17*188-77], true, []int{1316, 1316, 2 * 188, 111}},
		"GIF":          {append([]byte("GIF89a"), make([]byte, 2000)...), false, []int{1316, 690}},
	} {
		k := NewCutter(t.Context(), iotest.OneByteReader(bytes.NewReader(c.in)), Guess, time.Hour)
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
		if !bytes.Equal(got, c.in) || (k.Format() == TS) != c.ts || len(sizes) != len(c.want) {
			t.Errorf("%s: sizes %v, %s, same %v", name, sizes, k.Format(), bytes.Equal(got, c.in))
		}
		for i := range c.want {
			if i < len(sizes) && sizes[i] != c.want[i] {
				t.Errorf("%s: sizes %v", name, sizes)
			}
		}
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
		k := NewCutter(t.Context(), r, Guess, 50*time.Millisecond)
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
		k = NewCutter(t.Context(), r, Guess, 50*time.Millisecond)
		go func() {
			w.Write(packet(1, -1)[:100])
			time.Sleep(time.Second)
			w.Write(packet(1, -1)[100:])
			w.Write(packet(1, -1))
			w.Write(packet(1, -1))
			w.Write(packet(1, -1)[:50])
			time.Sleep(3 * time.Second)
			w.Write(packet(1, -1)[50:])
			w.Close()
		}()
		if n := read(k); n != 3*188 {
			t.Errorf("%d bytes", n)
		}
		if n := read(k); n != 188 || k.Format() != TS {
			t.Errorf("%d bytes, %s", n, k.Format())
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
	k := NewCutter(t.Context(), bytes.NewReader(out), Guess, time.Hour)
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
	if k.Format() != TS || keys != 3 {
		t.Errorf("%s, %d payloads with a key frame, want 3", k.Format(), keys)
	}
}

func TestStarter(t *testing.T) {
	now := time.Now()
	pat, video, key := packet(0, -1), packet(256, -1), packet(256, 0x40)
	for name, c := range map[string]struct {
		in   [][]byte
		want []byte // before the end
		end  []byte // with it
	}{
		"tables in the same payload": {[][]byte{video, join(video, pat, key, video), video}, join(pat, key, video, video), nil},
		"tables before":              {[][]byte{join(pat, video), join(video, pat), join(video, key)}, join(pat, video, key), nil},
		"no tables":                  {[][]byte{video, join(video, key)}, key, nil},
		"tables long ago":            {append(append([][]byte{pat}, slices.Repeat([][]byte{video}, 20)...), key), key, nil},
		"tables twice":               {[][]byte{pat, video, join(video, pat, pat, video), key}, join(pat, video, key), nil},
		"damage on the way":          {[][]byte{pat, []byte("damage"), key}, join(pat, []byte("damage"), key), nil},
		"not TS":                     {[][]byte{[]byte("a"), []byte("b")}, []byte("ab"), nil},
		"a text of G":                {[][]byte{bytes.Repeat([]byte("G"), 188)}, bytes.Repeat([]byte("G"), 188), nil},
		"never a key":                {[][]byte{video, join(video, pat), video}, nil, join(video, video, pat, video)},
		"neither a key nor tables":   {[][]byte{video, video}, nil, join(video, video)},
		"nothing":                    {nil, nil, nil},
	} {
		s := Starter{Patience: time.Minute}
		var got []byte
		fed := 0
		for _, p := range c.in {
			got = append(got, join(s.Feed(p, now)...)...)
			fed += len(p)
		}
		if !bytes.Equal(got, c.want) {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(c.want))
		}
		if end := join(s.End()...); !bytes.Equal(end, c.end) || s.Waiting() {
			t.Errorf("%s: at the end %d bytes, want %d", name, len(end), len(c.end))
		}
		if want := uint64(fed - len(c.want) - len(c.end)); s.Dropped() != want {
			t.Errorf("%s: %d bytes dropped, %d did not pass", name, s.Dropped(), want)
		}
	}
}

// A start condition that does not come is waited for as long as was said, whether more
// comes or not, and then the stream begins at its last tables.
func TestStarterGivesUp(t *testing.T) {
	now := time.Now()
	pat, video, unit := packet(0, -1), packet(256, -1), packet(256, 0x40)
	unit[5] = 0 // video, but no point to start at
	s := Starter{Patience: time.Second}
	if s.Waiting() || s.Due(now.Add(time.Hour)) != nil {
		t.Error("nothing came, and it is waited for something")
	}
	s.Feed(join(pat, unit), now)
	s.Feed(join(video, pat, video), now)
	if got := s.Feed(video, now.Add(time.Second/2)); len(got) != 0 || !s.Waiting() {
		t.Errorf("patient: %d payloads", len(got))
	}
	if got := join(s.Due(now.Add(2 * time.Second))...); !bytes.Equal(got, join(pat, video, video)) || !s.GaveUp() || s.Waiting() {
		t.Errorf("out of patience: %d bytes", len(got))
	}
	if got := s.Feed(video, now.Add(2*time.Second)); len(got) != 1 || s.Dropped() != 3*tsPacket {
		t.Errorf("after it: %d payloads, %d dropped", len(got), s.Dropped())
	}
	s = Starter{Patience: time.Second}
	s.Feed(video, now)
	if got := s.Feed(video, now.Add(time.Second/2)); len(got) != 2 || s.GaveUp() {
		t.Errorf("no video: %d payloads", len(got))
	}
	s = Starter{Patience: time.Hour}
	s.Feed(join(pat, unit), now)
	fed := 2 * tsPacket
	for range HeldAtMost / Max * 2 {
		p := bytes.Repeat(video, 7)
		s.Feed(p, now)
		fed += len(p)
	}
	if got := join(s.End()...); len(got) > HeldAtMost || len(got) < HeldAtMost-Max || len(got)+int(s.Dropped()) != fed {
		t.Errorf("%d bytes were held, %d dropped, of %d", len(got), s.Dropped(), fed)
	}
}

// slowly reads a few bytes at a time, which are no part of a packet.
type slowly struct{ r io.Reader }

func (s *slowly) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), 97)]) }

// Damage costs the packets that it is in, and nothing else.
func TestDamage(t *testing.T) {
	var in []byte
	for i := range 60 {
		p := packet(256, -1)
		p[3] |= byte(i) & 15
		for j := 4; j < tsPacket; j++ { // with many bytes that look like the beginning of a packet
			p[j] = byte(i + j*7)
			if j%5 == i%5 {
				p[j] = tsSync
			}
		}
		in = append(in, p...)
	}
	at := func(i int) int { return i * tsPacket }
	bad := func(in []byte, packets ...int) []byte {
		in = bytes.Clone(in)
		for _, i := range packets {
			in[at(i)] = 0xb8
		}
		return in
	}
	without := func(packets ...int) []byte {
		var out []byte
		for i := range 60 {
			if !slices.Contains(packets, i) {
				out = append(out, in[at(i):at(i+1)]...)
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		in     []byte
		want   []byte
		places uint64
	}{
		"none":            {in, in, 0},
		"one":             {bad(in, 20), without(20), 1},
		"two in a row":    {bad(in, 20, 21), without(20, 21), 1},
		"every other":     {bad(in, 20, 22, 24), without(20, 22, 24), 3},
		"at the ends":     {bad(in, 0, 59), without(0, 59), 2},
		"bytes were lost": {join(in[:at(20)+50], in[at(20)+150:]), join(in[:at(20)+50], in[at(20)+150:at(21)+100], in[at(22):]), 1},
		"bytes too many":  {join(in[:at(20)], make([]byte, 1000), in[at(20):]), in, 1},
		"begins within":   {in[90:], in[at(1):], 1},
		"ends within":     {in[:len(in)-77], in[:len(in)-77], 0},
		"no TS at all":    {[]byte("not a transport stream"), nil, 1},
	} {
		for _, r := range []io.Reader{bytes.NewReader(c.in), &slowly{bytes.NewReader(c.in)}} {
			k := NewCutter(t.Context(), r, TS, time.Hour)
			var got []byte
			var p [Max]byte
			for {
				n, err := k.Next(t.Context(), p[:])
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, p[:n]...)
			}
			d := k.Damage()
			if !bytes.Equal(got, c.want) || d.Places != c.places || int(d.Bytes) != len(c.in)-len(got) {
				t.Errorf("%s: %d of %d bytes, want %d; %+v", name, len(got), len(c.in), len(c.want), d)
			}
		}
	}
}

// A text that begins with G is given as it is typed.
func TestTextIsNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		k := NewCutter(t.Context(), r, Guess, 20*time.Millisecond)
		go func() {
			io.WriteString(w, "Good morning\n")
			time.Sleep(time.Minute)
			w.Close()
		}()
		var p [Max]byte
		start := time.Now()
		if n, err := k.Next(t.Context(), p[:]); n != 13 || err != nil || time.Since(start) != 20*time.Millisecond {
			t.Errorf("%d bytes after %v, %v", n, time.Since(start), err)
		}
		_, _ = k.Next(t.Context(), p[:])

		// What could be TS is held, for a while.
		r, w = io.Pipe()
		k = NewCutter(t.Context(), r, Guess, 20*time.Millisecond)
		go func() {
			w.Write([]byte("G\x00\x00\x10\x00"))
			time.Sleep(time.Minute)
			w.Close()
		}()
		start = time.Now()
		if n, err := k.Next(t.Context(), p[:]); n != 5 || err != nil || time.Since(start) > 3*time.Second || k.Format() != Raw {
			t.Errorf("%d bytes after %v, %v", n, time.Since(start), err)
		}
		_, _ = k.Next(t.Context(), p[:])
	})
}

func TestFormats(t *testing.T) {
	for f := Guess; f <= TS; f++ {
		if got, err := ParseFormat(f.String()); got != f || err != nil {
			t.Errorf("%s: %s, %v", f, got, err)
		}
	}
	if _, err := ParseFormat("avi"); err == nil {
		t.Error("avi is a format")
	}
}
