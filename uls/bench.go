// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"time"

	"github.com/mdlayher/netlink"

	"sandstream/uls/internal/abi"
)

// BenchOptions says how the cost of crossings is measured.
type BenchOptions struct {
	Samples  uint32 // 1 to 65536
	Batch    uint32 // upcalls made back to back in one sample; 0: 1
	Services uint64 // an SPA of sandboxlib calls a service that often in each upcall
}

// Bench is the cost of upcalls that do nothing, made in the caller's context.
// Each sample is one batch.
type Bench struct {
	Samples     uint32 `json:"samples"`
	Batch       uint32 `json:"batch"`
	TSCMin      uint64 `json:"tsc_min"` // cycles of the time-stamp counter
	TSCMedian   uint64 `json:"tsc_median"`
	TSCMax      uint64 `json:"tsc_max"`
	TSCTotal    uint64 `json:"tsc_total"`
	TSCOverhead uint64 `json:"tsc_overhead"` // of the stamps themselves
	TSCKHz      uint32 `json:"tsc_khz"`      // 0: unknown
	NSMin       uint64 `json:"ns_min"`
	NSMedian    uint64 `json:"ns_median"`
	NSMax       uint64 `json:"ns_max"`
	NSTotal     uint64 `json:"ns_total"`
}

// Median returns the median duration of one upcall.
func (b *Bench) Median() time.Duration {
	return time.Duration(b.NSMedian / uint64(max(b.Batch, 1)))
}

// Bench measures.
func (c *Client) Bench(spa *SPA, o BenchOptions) (*Bench, error) {
	b, err := c.ask(abi.CmdBench, func(ae *netlink.AttributeEncoder) {
		ae.Uint32(abi.AttrBenchID, spa.ID)
		ae.Uint32(abi.AttrBenchCount, o.Samples)
		if o.Batch != 0 {
			ae.Uint32(abi.AttrBenchBatch, o.Batch)
		}
		if o.Services != 0 {
			ae.Uint64(abi.AttrBenchArgument, o.Services)
		}
	})
	if err != nil {
		return nil, wrap("bench", spa.Name, err)
	}
	r := &Bench{}
	fields := map[uint16]*uint64{
		abi.AttrBenchTSCMin: &r.TSCMin, abi.AttrBenchTSCMedian: &r.TSCMedian, abi.AttrBenchTSCMax: &r.TSCMax,
		abi.AttrBenchTSCTotal: &r.TSCTotal, abi.AttrBenchTSCOverhead: &r.TSCOverhead,
		abi.AttrBenchNsMin: &r.NSMin, abi.AttrBenchNsMedian: &r.NSMedian, abi.AttrBenchNsMax: &r.NSMax,
		abi.AttrBenchNsTotal: &r.NSTotal,
	}
	err = decode(b, func(ad *netlink.AttributeDecoder) {
		switch t := ad.Type(); t {
		case abi.AttrBenchCount:
			r.Samples = ad.Uint32()
		case abi.AttrBenchBatch:
			r.Batch = ad.Uint32()
		case abi.AttrBenchTSCKhz:
			r.TSCKHz = ad.Uint32()
		default:
			if f := fields[t]; f != nil {
				*f = ad.Uint64()
			}
		}
	})
	return r, wrap("bench", spa.Name, err)
}
