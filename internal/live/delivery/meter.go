// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"math"
	"slices"
	"time"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
)

const samplesKept = 8192 // latencies of one report

// Packet is what the application gets, and what is needed to measure it.
type Packet struct {
	Data     []byte
	Flags    frame.Flags
	part     uint8  // its place in the message
	lastPart uint8  // and that of the message's last
	packets  uint32 // that it came as, of a whole message of several
	elapsed  uint32
	sent     uint64 // on the publisher's clock, ns
	at       uint64
}

func newPacket(d *transport.Delivery) Packet {
	return Packet{Data: slices.Clone(d.Payload), Flags: d.Header.Flags, part: d.Header.Part, lastPart: d.Header.LastPart, elapsed: d.Header.ElapsedUs, sent: d.Header.SentNs, at: d.At}
}

// Counts are what a subscription's reader got, see overlayv1.Delivery.
type Counts struct {
	Packets, Bytes, Lost, Filtered, Duplicates, Reordered, Late uint64
	Overrun                                                     uint64 // the reader was too slow for
	Forged, NoKey                                               uint64 // packets that did not open
}

func (c *Counts) add(d *Counts) {
	c.Packets += d.Packets
	c.Bytes += d.Bytes
	c.Lost += d.Lost
	c.Filtered += d.Filtered
	c.Duplicates += d.Duplicates
	c.Reordered += d.Reordered
	c.Late += d.Late
	c.Overrun += d.Overrun
	c.Forged += d.Forged
	c.NoKey += d.NoKey
}

// meter measures what an orderer delivers, under its lock.
type meter struct {
	total   Counts
	report  Counts // since the last report
	since   time.Time
	latency []uint32
	pace    pace
}

// pace compares when packets arrive with when they were sent: J of RFC 3550, 6.4.1, on
// the publisher's own time stamps. What the two clocks differ by cancels out.
type pace struct {
	sent, at uint64 // of the packet before
	jitter   float64
}

func (p *pace) take(sent, at uint64) {
	if p.at > 0 {
		d := float64(int64(at-p.at) - int64(sent-p.sent))
		p.jitter += (math.Abs(d) - p.jitter) / 16
	}
	p.sent, p.at = sent, at
}

// count adds packets that are delivered now, on the clock of Packet.at.
func (m *meter) count(ps []Packet, now uint64) {
	for i := range ps {
		p := &ps[i]
		m.pace.take(p.sent, p.at)
		m.report.Packets += uint64(max(p.packets, 1))
		m.report.Bytes += uint64(len(p.Data))
		stay := uint64(0)
		if now > p.at {
			stay = (now - p.at) / 1000
		}
		if len(m.latency) < samplesKept {
			m.latency = append(m.latency, uint32(min(uint64(p.elapsed)+stay, 1<<32-1)))
		}
	}
}

// take gives what was delivered since it was last called.
func (m *meter) take(now time.Time) overlay.Report {
	d := now.Sub(m.since)
	r := overlay.Report{Packets: m.report.Packets, Lost: m.report.Lost, Bytes: m.report.Bytes, Duration: d, JitterUs: uint32(min(m.pace.jitter/1e3, math.MaxUint32))}
	if d > 0 {
		r.RateBps = uint64(float64(m.report.Bytes*8) / d.Seconds())
	}
	if n := len(m.latency); n > 0 {
		sum := uint64(0)
		for _, l := range m.latency {
			sum += uint64(l)
		}
		slices.Sort(m.latency)
		r.MeanUs, r.P99Us = uint32(sum/uint64(n)), m.latency[(n*99+99)/100-1]
	}
	m.total.add(&m.report)
	m.report, m.latency, m.since = Counts{}, m.latency[:0], now
	return r
}

// sum gives what was delivered since the beginning.
func (m *meter) sum() Counts {
	c := m.total
	c.add(&m.report)
	return c
}
