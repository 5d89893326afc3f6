// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"fmt"
	"testing"
)

// tsp is one packet: PES of a stream begins in it if id is not 0, key with the random access
// indicator.
func tsp(pid uint16, id byte, key bool) []byte {
	p := make([]byte, tsPacket)
	p[0], p[1], p[2], p[3] = tsSync, byte(pid>>8), byte(pid), 0x10
	if id == 0 {
		return p
	}
	p[1] |= 0x40
	p[3] = 0x30
	p[4] = 1
	if key {
		p[5] = 0x40
	}
	copy(p[6:], []byte{0, 0, 1, id})
	return p
}

// pat names program 1 with its table on pid.
func pat(pid uint16) []byte {
	p := make([]byte, tsPacket)
	copy(p, []byte{tsSync, 0x40, 0, 0x10, 0, 0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xe0 | byte(pid>>8), byte(pid)})
	return p
}

func runs(c *Classifier, ps ...[]byte) (s string) {
	var b []byte
	for _, p := range ps {
		b = append(b, p...)
	}
	for _, r := range c.Runs(nil, b) {
		s += fmt.Sprintf(" %d:%d", r.Bytes/tsPacket, r.Class)
	}
	return s
}

func TestClassifier(t *testing.T) {
	var c Classifier
	video, sound := uint16(0x100), uint16(0x101)
	null := tsp(pidNull, 0, false)
	damaged := tsp(video, 0, false)
	damaged[1] |= 0x80
	for i, s := range []struct {
		in   [][]byte
		want string
	}{
		{[][]byte{tsp(video, 0, false), tsp(sound, 0, false)}, " 2:0"}, // nothing is known yet
		{[][]byte{pat(0x1000), tsp(0x1000, 0, false), tsp(0x11, 0, false)}, " 3:0"},
		{[][]byte{tsp(video, 0xe0, true), tsp(video, 0, false), tsp(sound, 0xc0, true)}, " 3:0"},
		{[][]byte{tsp(sound, 0, false), null}, " 1:1 1:4"},
		{[][]byte{tsp(video, 0, false), tsp(video, 0xe0, false), tsp(video, 0, false)}, " 1:0 2:2"},
		{[][]byte{tsp(video, 0, false), tsp(sound, 0, false), tsp(video, 0, false), null}, " 1:2 1:1 2:2"},
		{[][]byte{damaged, tsp(0x1000, 0, false)}, " 2:0"},
		{[][]byte{null, null}, " 2:4"},
		{[][]byte{tsp(video, 0xe0, true)}, " 1:0"},
		{[][]byte{[]byte("no transport stream")}, " 0:0"},
	} {
		if got := runs(&c, s.in...); got != s.want {
			t.Errorf("payload %d: %q, want %q", i, got, s.want)
		}
	}
}

// FuzzClassifier gives it what begins as a transport stream: the parts are the payload, and
// what it remembers is bounded.
func FuzzClassifier(f *testing.F) {
	f.Add(append(pat(0x1000), tsp(0x100, 0xe0, true)...))
	f.Add(append(tsp(0x100, 0xe0, false), tsp(pidNull, 0, false)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for i := 0; i < len(b); i += tsPacket {
			b[i] = tsSync
		}
		var c Classifier
		sum := 0
		for _, r := range c.Runs(nil, b) {
			if sum += r.Bytes; r.Class > Stuffing {
				t.Fatalf("class %d", r.Class)
			}
		}
		if sum != len(b) || len(c.pids) > maxPIDs || len(c.pmt) > tsPacket {
			t.Fatalf("parts of %d bytes in %d; %d PIDs, %d tables", sum, len(b), len(c.pids), len(c.pmt))
		}
	})
}
