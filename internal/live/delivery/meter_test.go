// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"math"
	"testing"
	"time"
)

// Jitter is J of RFC 3550, 6.4.1: what the delays of packets that follow one another
// differ by, whatever the pace at which they were sent, and whatever the clocks say.
func TestPace(t *testing.T) {
	const ms = uint64(time.Millisecond)
	for _, c := range []struct {
		name  string
		delay func(i uint64) uint64 // of packet i
		gap   func(i uint64) uint64 // between its sending and the next
		want  float64               // ms
	}{
		{"even", func(uint64) uint64 { return 30 * ms }, func(uint64) uint64 { return 10 * ms }, 0},
		{"bursts sent as bursts", func(uint64) uint64 { return 30 * ms }, func(i uint64) uint64 { return i % 4 * 20 * ms }, 0},
		{"every other 4 ms later", func(i uint64) uint64 { return 30*ms + i%2*4*ms }, func(uint64) uint64 { return 10 * ms }, 4},
		{"overtaking", func(i uint64) uint64 { return 30*ms + i%2*25*ms }, func(uint64) uint64 { return 10 * ms }, 25},
		{"one in four 8 ms later", func(i uint64) uint64 { return 30*ms + (i%4)/3*8*ms }, func(uint64) uint64 { return ms }, 4},
		{"slower and slower", func(i uint64) uint64 { return i * ms / 8 }, func(uint64) uint64 { return 10 * ms }, 0.125},
	} {
		for _, offset := range []uint64{0, 1 << 40, 1 << 63} { // of the receiver's clock
			var p pace
			sent := uint64(1 << 50)
			for i := range uint64(400) {
				p.take(sent, sent+offset+c.delay(i))
				sent += c.gap(i)
			}
			if got := p.jitter / float64(ms); math.Abs(got-c.want) > 0.1*c.want+1e-6 {
				t.Errorf("%s: %.3f ms, want %.3f", c.name, got, c.want)
			}
		}
	}
}

// What the reader takes from a report is the estimate at its end.
func TestReportHasJitter(t *testing.T) {
	m := meter{since: time.Now()}
	for i := range uint64(100) {
		at := 1_000_000 + i*10_000_000 + i%2*6_000_000
		m.count([]Packet{{sent: 1 + i*10_000_000, at: at}}, at)
	}
	if r := m.take(time.Now()); r.JitterUs < 5900 || r.JitterUs > 6000 {
		t.Errorf("%d us, want 6000", r.JitterUs)
	}
}
