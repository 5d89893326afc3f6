// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"math"
	"slices"

	"sandstream/internal/model/cube"
	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// region is the cube in force; the owner of id 0 estimates the number of hosts.
type region struct {
	wire.Region
	hosts  []float64 // one sample each
	small  int       // estimates in a row that call for a smaller cube
	growBy Time
}

const (
	regionSamples  = 12
	maxVersionLeap = 1 << 20 // months of estimates that a host cut off has missed
)

// regionFor is the number of digits for m hosts: the paper's M-region for m,
// kept in this overlay's radix so that every change appends or drops digits
// (the few regions of another radix are rounded up to as many ids).
func (n *Zones) regionFor(m int) uint8 {
	c, err := cube.Authors.Choose(max(1, m))
	if err != nil {
		return wire.MaxDigits
	}
	if c.K == n.Cfg.Radix {
		return uint8(c.N)
	}
	d := math.Log(float64(c.IDs())) / math.Log(float64(n.Cfg.Radix))
	return uint8(min(wire.MaxDigits, max(1, math.Ceil(d-1e-9))))
}

// learnRegion takes the newest region. Hosts that differ for a while still
// understand one another: a zone is a prefix whatever the length of ids.
func (n *Zones) learnRegion(r wire.Region) {
	if r.Radix != n.region.Radix {
		return // it speaks of other ids
	}
	if n.region.N != 0 && (r.Version > n.region.Version+maxVersionLeap || r.Version > 1<<60) {
		n.Count("region-leap") // it would use the versions up
		return
	}
	if r.N > 0 && r.N <= wire.MaxDigits && (r.Version > n.region.Version || r.Version == n.region.Version && r.N > n.region.N) {
		if n.region.N != 0 && n.region.N != r.N {
			n.Event("region", wire.Peer{}, regionText(n.region.N, r.N))
		}
		n.region.Region = r
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
func (n *Zones) estimateHosts() {
	if n.state != Member || !n.Covers(0) {
		n.region = region{Region: n.region.Region}
		return
	}
	n.conclude()
	n.region.hosts = nil
	for range regionSamples {
		m := &wire.Lookup{Kind: wire.Find, Target: n.Point(), Origin: n.Self}
		n.Ask(&turn.Request{Msg: m, Tries: 2, Wait: 2 * n.Cfg.RetryInterval, Then: func(_ wire.Peer, m wire.Message) {
			n.counted(m.(*wire.Found))
		}})
	}
}

func (n *Zones) counted(f *wire.Found) {
	if f.Volume > 1e-12 && f.Volume <= 1 && len(n.region.hosts) < regionSamples {
		n.region.hosts = append(n.region.hosts, 1/f.Volume)
	}
	if len(n.region.hosts) == regionSamples {
		n.conclude() // now, and not when the next estimate begins
		n.region.hosts = nil
	}
}

// conclude changes the region by the last estimate: at once to grow, after
// three in a row to shrink.
func (n *Zones) conclude() {
	e := &n.region
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
func (n *Zones) recount(hosts int) {
	old := int(n.region.Hosts)
	if hosts = min(hosts, math.MaxUint32); 4*max(hosts-old, old-hosts) >= old {
		n.region.Version++
		n.region.Hosts = uint32(hosts)
	}
}

func (n *Zones) setRegion(digits uint8, hosts int) {
	n.Event("region", wire.Peer{}, regionText(n.region.N, digits))
	n.region.Region = wire.Region{N: digits, Version: n.region.Version + 1, Hosts: uint32(min(hosts, math.MaxUint32)), Radix: n.region.Radix}
}

// grow is a joining host that found its owner with one id only.
func (n *Zones) grow() {
	if n.Covers(0) && n.region.N < wire.MaxDigits && n.Now >= n.region.growBy {
		n.region.growBy = n.Now + n.Cfg.RegionInterval/4
		n.setRegion(n.region.N+1, int(n.region.Hosts))
	}
}

// shrinkZones gives up zones with more digits than the region has: to the owner
// of the first sibling, who then owns all siblings and joins them. Nobody gives
// its last zone: a region that is too small, by mistake or by a lie, takes no
// host's place.
func (n *Zones) shrinkZones() {
	if n.moves.giving != nil || n.region.N == 0 || len(n.own) < 2 {
		return
	}
	for i := range n.own {
		z := n.own[i].Zone
		if z.Len <= n.region.N || z.Last() == 0 {
			continue
		}
		first := z.Parent().Child(0)
		for j := range n.table {
			if r := &n.table[j]; r.Zone == first && n.links.Get(r.Owner.ID) != nil {
				n.Count("shrink")
				n.offer(r.Owner, []wire.Zone{z}, false, wire.StreamID{})
				return
			}
		}
		if n.owns(first) {
			continue
		}
		n.gaps.dirty = true
	}
}
