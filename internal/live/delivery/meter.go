// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"slices"
	"time"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
)

const samplesKept = 8192 // latencies of one report

// Packet is what the application gets, and what is needed to measure it.
type Packet struct {
	Data    []byte
	Flags   frame.Flags
	elapsed uint32
	at      uint64
}

func newPacket(d *transport.Delivery) Packet {
	return Packet{Data: slices.Clone(d.Payload), Flags: d.Header.Flags, elapsed: d.Header.ElapsedUs, at: d.At}
}

// Counts are what a subscription's reader got, see overlayv1.Delivery.
type Counts struct {
	Packets, Bytes, Lost, Filtered, Duplicates, Reordered, Late uint64
	Overrun                                                     uint64 // the reader was too slow for
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
}

// meter measures what an orderer delivers, under its lock.
type meter struct {
	total   Counts
	report  Counts // since the last report
	since   time.Time
	latency []uint32
}

// count adds packets that are delivered now, on the clock of Packet.at.
func (m *meter) count(ps []Packet, now uint64) {
	for i := range ps {
		p := &ps[i]
		m.report.Packets++
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
	r := overlay.Report{Packets: m.report.Packets, Lost: m.report.Lost, Bytes: m.report.Bytes, Duration: d}
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
