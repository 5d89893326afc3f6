// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"math"
	"slices"

	"sandstream/internal/overlay/wire"

	"sandstream/internal/model/cube"
)

// regionState is the owner of id 0 estimating the number of hosts.
type regionState struct {
	hosts  []float64 // one sample each
	small  int       // estimates in a row that call for a smaller cube
	growBy wire.Time
}

const (
	regionSamples  = 12
	maxVersionLeap = 1 << 20 // months of estimates that a host cut off has missed
)

// regionFor is the number of digits for m hosts: the paper's M-region for m,
// kept in this overlay's radix so that every change appends or drops digits
// (the few regions of another radix are rounded up to as many ids).
func (n *Node) regionFor(m int) uint8 {
	c, err := cube.Authors.Choose(max(1, m))
	if err != nil {
		return wire.MaxDigits
	}
	if c.K == n.cfg.Radix {
		return uint8(c.N)
	}
	d := math.Log(float64(c.IDs())) / math.Log(float64(n.cfg.Radix))
	return uint8(min(wire.MaxDigits, max(1, math.Ceil(d-1e-9))))
}

// learnRegion takes the newest region. Hosts that differ for a while still
// understand one another: a zone is a prefix whatever the length of ids.
func (n *Node) learnRegion(r wire.Region) {
	if r.Radix != n.region.Radix {
		return // it speaks of other ids
	}
	if n.region.N != 0 && (r.Version > n.region.Version+maxVersionLeap || r.Version > 1<<60) {
		n.counts["region-leap"]++ // it would use the versions up
		return
	}
	if r.N > 0 && r.N <= wire.MaxDigits && (r.Version > n.region.Version || r.Version == n.region.Version && r.N > n.region.N) {
		if n.region.N != 0 && n.region.N != r.N {
			n.event("region", wire.Peer{}, regionText(n.region.N, r.N))
		}
		n.region = r
	}
}

func regionText(a, b uint8) string {
	if b > a {
		return "grown"
	}
	return "shrunk"
}

// estimateHosts asks the owners of random ids for the share of ids they own. An
// id falls to a host with a probability of that share v, so that the mean of
// 1/v over random ids is the number of hosts, whatever the shares.
func (n *Node) estimateHosts() {
	if n.state != Member || !n.covers(0) {
		n.estimate = regionState{}
		return
	}
	n.conclude()
	n.estimate.hosts = nil
	for range regionSamples {
		m := &wire.Lookup{Kind: wire.Find, Target: wire.PointOf(n.rng.Uint64(), n.cfg.Radix), Origin: n.self}
		n.request(&request{what: reqCount, msg: m, tries: 2, wait: 2 * n.cfg.RetryInterval})
	}
}

func (n *Node) counted(f *wire.Found) {
	if f.Volume > 1e-12 && f.Volume <= 1 && len(n.estimate.hosts) < regionSamples {
		n.estimate.hosts = append(n.estimate.hosts, 1/f.Volume)
	}
}

// conclude changes the region by the last estimate: at once to grow, after
// three in a row to shrink.
func (n *Node) conclude() {
	e := &n.estimate
	if len(e.hosts) < regionSamples/2 {
		return
	}
	// The quarters at both ends do not count: one answer, however false, moves nothing.
	slices.Sort(e.hosts)
	var sum float64
	middle := e.hosts[len(e.hosts)/4 : len(e.hosts)-len(e.hosts)/4]
	for _, h := range middle {
		sum += h
	}
	m := int(math.Round(sum / float64(len(middle))))
	want := n.regionFor(m)
	switch {
	case want > n.region.N:
		e.small = 0
		n.setRegion(want, m)
	case want < n.region.N && n.regionFor(m+m/4) < n.region.N:
		e.small++
		if e.small >= 3 {
			e.small = 0
			n.setRegion(n.region.N-1, m)
			return
		}
		n.recount(m)
	default:
		e.small = 0
		n.recount(m)
	}
}

// recount takes a new number of hosts for a region that stays. The others learn it
// with the next probes, as a new version, if it differs by a quarter or more: an
// estimate is not better than that.
func (n *Node) recount(hosts int) {
	old := int(n.region.Hosts)
	if hosts = min(hosts, math.MaxUint32); 4*max(hosts-old, old-hosts) >= old {
		n.region.Version++
		n.region.Hosts = uint32(hosts)
	}
}

func (n *Node) setRegion(digits uint8, hosts int) {
	n.event("region", wire.Peer{}, regionText(n.region.N, digits))
	n.region = wire.Region{N: digits, Version: n.region.Version + 1, Hosts: uint32(min(hosts, math.MaxUint32)), Radix: n.region.Radix}
}

// grow is a joining host that found its owner with one id only.
func (n *Node) grow() {
	if n.covers(0) && n.region.N < wire.MaxDigits && n.now >= n.estimate.growBy {
		n.estimate.growBy = n.now + n.cfg.RegionInterval/4
		n.setRegion(n.region.N+1, int(n.region.Hosts))
	}
}

// shrinkZones gives up zones with more digits than the region has: to the owner
// of the first sibling, who then owns all siblings and joins them. Nobody gives
// its last zone: a region that is too small, by mistake or by a lie, takes no
// host's place.
func (n *Node) shrinkZones() {
	if n.out != nil || n.region.N == 0 || len(n.zones) < 2 {
		return
	}
	for i := range n.zones {
		z := n.zones[i].Zone
		if z.Len <= n.region.N || z.Last() == 0 {
			continue
		}
		first := z.Parent().Child(0)
		for j := range n.table {
			if r := &n.table[j]; r.Zone == first && n.peers[r.Owner.ID] != nil {
				n.counts["shrink"]++
				n.offer(r.Owner, []wire.Zone{z}, false, wire.StreamID{})
				return
			}
		}
		if n.owns(first) {
			continue
		}
		n.dirty = true
	}
}
