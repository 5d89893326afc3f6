// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"

	"sandstream/uls/internal/abi"
)

// Bucket of a histogram: how many values were in [From, To) nanoseconds. The last
// bucket's To is 0: no limit.
type Bucket struct {
	FromNS uint64 `json:"from_ns"`
	ToNS   uint64 `json:"to_ns"`
	Count  uint64 `json:"count"`
}

// Deferred counts batches that were announced by AF_XDP's stock wake-up instead
// of an upcall, by cause. A live SPA gets one a little later.
type Deferred struct {
	BusyPoll uint64 `json:"busy_poll"` // busy polling, or another task's NAPI
	IRQsOff  uint64 `json:"irqs_off"`
	Other    uint64 `json:"other"` // the CPU could make no upcall then, or the SPA was not live
}

// Polls counts those of the port's NAPI at interrupt time, and what they took.
type Polls struct {
	Polls     uint64 `json:"polls"`
	NS        uint64 `json:"ns"`        // CPU time, driver and upcalls
	Throttled uint64 `json:"throttled"` // times it waited for time: see CPULimit
	Parked    uint64 `json:"parked"`    // times it was kept from ksoftirqd
	Pool      uint64 `json:"pool"`      // polls the pool of a CPU paid for, not the reservation
}

// Counter is one that an SPA keeps.
type Counter struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// Stats of one SPA since it was loaded.
type Stats struct {
	ID              uint32            `json:"id"`
	Name            string            `json:"name"`
	Upcalls         map[string]uint64 `json:"upcalls"` // by reason: init, rx, tick, ...
	RXFrames        uint64            `json:"rx_frames"`
	TXFrames        uint64            `json:"tx_frames"`
	UpcallNS        uint64            `json:"upcall_ns"` // total
	UpcallMaxNS     uint64            `json:"upcall_max_ns"`
	Histogram       []Bucket          `json:"histogram"` // durations; empty buckets at both ends are left out
	Interrupts      uint64            `json:"interrupts"`
	Deferred        Deferred          `json:"deferred"`
	Polls           Polls             `json:"polls"`
	Contexts        map[string]uint64 `json:"contexts"`         // upcalls by what they interrupted: user, kernel, idle, ...
	ContextSwitches uint64            `json:"context_switches"` // between entry and end of an upcall: must be 0
	Migrations      uint64            `json:"migrations"`       // likewise
	LastCS          Hex               `json:"last_cs"`          // the low two bits are the privilege level
	LastCPU         uint32            `json:"last_cpu"`
	Aborts          uint64            `json:"aborts"`
	Counters        []Counter         `json:"counters"` // the SPA's own
}

// Upcalled returns the upcalls of all reasons.
func (s *Stats) Upcalled() (n uint64) {
	for _, v := range s.Upcalls {
		n += v
	}
	return n
}

// Stats reads the statistics of an SPA.
func (c *Client) Stats(spa *SPA) (*Stats, error) {
	b, err := c.ask(abi.CmdStatsGet, func(ae *netlink.AttributeEncoder) { ae.Uint32(abi.AttrStatsID, spa.ID) })
	if err != nil {
		return nil, wrap("read statistics of", spa.Name, err)
	}
	s, err := decodeStats(b, spa.Counters)
	return s, wrap("read statistics of", spa.Name, err)
}

func decodeStats(b []byte, names []string) (*Stats, error) {
	s := &Stats{
		Upcalls: map[string]uint64{}, Contexts: map[string]uint64{},
		Histogram: []Bucket{}, Counters: []Counter{},
	}
	err := decode(b, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case abi.AttrStatsID:
			s.ID = ad.Uint32()
		case abi.AttrStatsName:
			s.Name = ad.String()
		case abi.AttrStatsUpcalls:
			for i, v := range u64s(ad) {
				s.Upcalls[abi.Reason(i).String()] += v
			}
		case abi.AttrStatsRxFrames:
			s.RXFrames = ad.Uint64()
		case abi.AttrStatsTxFrames:
			s.TXFrames = ad.Uint64()
		case abi.AttrStatsUpcallNs:
			s.UpcallNS = ad.Uint64()
		case abi.AttrStatsUpcallNsMax:
			s.UpcallMaxNS = ad.Uint64()
		case abi.AttrStatsHistogram:
			s.Histogram = buckets(u64s(ad))
		case abi.AttrStatsInterrupts:
			s.Interrupts = ad.Uint64()
		case abi.AttrStatsDeferred:
			v := append(u64s(ad), 0, 0, 0)
			s.Deferred = Deferred{BusyPoll: v[0], IRQsOff: v[1], Other: v[2]}
		case abi.AttrStatsReservedPolls:
			s.Polls.Polls = ad.Uint64()
		case abi.AttrStatsReservedNs:
			s.Polls.NS = ad.Uint64()
		case abi.AttrStatsThrottled:
			s.Polls.Throttled = ad.Uint64()
		case abi.AttrStatsParked:
			s.Polls.Parked = ad.Uint64()
		case abi.AttrStatsPoolPolls:
			s.Polls.Pool = ad.Uint64()
		case abi.AttrStatsContexts:
			for i, v := range u64s(ad) {
				s.Contexts[abi.Context(i).String()] += v
			}
		case abi.AttrStatsContextSwitches:
			s.ContextSwitches = ad.Uint64()
		case abi.AttrStatsMigrations:
			s.Migrations = ad.Uint64()
		case abi.AttrStatsLastCS:
			s.LastCS = Hex(ad.Uint32())
		case abi.AttrStatsLastCPU:
			s.LastCPU = ad.Uint32()
		case abi.AttrStatsAborts:
			s.Aborts = ad.Uint64()
		case abi.AttrStatsCounters:
			s.Counters = counters(u64s(ad), names)
		}
	})
	if err == nil && s.ID == 0 {
		err = errShort
	}
	return s, err
}

// u64s reads an array in the machine's byte order; a piece at its end is dropped.
func u64s(ad *netlink.AttributeDecoder) (out []uint64) {
	for b := ad.Bytes(); len(b) >= 8; b = b[8:] {
		out = append(out, binary.NativeEndian.Uint64(b))
	}
	return out
}

// buckets leaves the empty ones at both ends out.
func buckets(counts []uint64) []Bucket {
	first, last := len(counts), -1
	for i, n := range counts {
		if n != 0 {
			first, last = min(first, i), i
		}
	}
	out := []Bucket{}
	for i := first; i <= last; i++ {
		b := Bucket{FromNS: 1 << i, ToNS: 2 << i, Count: counts[i]}
		if i == 0 {
			b.FromNS = 0
		}
		if i == len(counts)-1 {
			b.ToNS = 0
		}
		out = append(out, b)
	}
	return out
}

// counters names values; those without a name are shown only if they are used.
func counters(values []uint64, names []string) []Counter {
	out := []Counter{}
	for i, v := range values {
		switch {
		case i < len(names):
			out = append(out, Counter{names[i], v})
		case v != 0:
			out = append(out, Counter{fmt.Sprintf("counter%d", i), v})
		}
	}
	return out
}
