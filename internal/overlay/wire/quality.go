// SPDX-License-Identifier: Apache-2.0

package wire

import "fmt"

// Quality is what a link or a path does to a packet: the one place that knows in which
// respects paths differ, and so what a contract can bound. To add a bound, add it
// here, to Contract, Hop and Graft, to what measures links (package links) and what
// judges deliveries (package streams).
type Quality struct {
	CostUs  uint32 `cbor:"2,keyasint"`           // one-way latency, in microseconds
	LossPpm uint32 `cbor:"3,keyasint,omitempty"` // packets lost per million
}

// QualityOf adds up a path: the latencies of its links and what its hosts take, and the
// loss of links that lose independently of one another.
func QualityOf(path []Hop) Quality {
	keep := 1.0
	var sum uint64
	for i := range path {
		h := &path[i]
		sum += uint64(h.CostUs) + uint64(h.StayUs)
		keep *= 1 - float64(min(h.LossPpm, 1_000_000))/1e6
	}
	return Quality{CostUs: uint32(min(sum, NoBudget-1)), LossPpm: uint32((1 - keep) * 1e6)}
}

// Breach says how a predicted path falls short of a contract, "" if it does not. What
// the path leaves of the stream's rate is not told by its links.
func (c *Contract) Breach(q Quality) string {
	if c.LatencyUs > 0 && q.CostUs > c.LatencyUs {
		return fmt.Sprintf("the path takes %.4g ms, %.4g asked", float64(q.CostUs)/1e3, float64(c.LatencyUs)/1e3)
	}
	if c.LossPpm > 0 && q.LossPpm > c.LossPpm {
		return fmt.Sprintf("the path loses %.2f %%, %.2f asked", float64(q.LossPpm)/1e4, float64(c.LossPpm)/1e4)
	}
	return ""
}
