// SPDX-License-Identifier: Apache-2.0

// Package routing computes what every route of an overlay costs, from one
// publisher to all ids of a k-ary n-cube.
//
// The paper's three routings go, at each hop, along a link that brings the
// message nearer (in hops) to its destination: in a fixed order of dimensions,
// in a random one, or along the cheapest such link (greedy). For a routing
// that prefers links by a fixed order at each id (ordered, greedy), the route
// to an id X that lies on the route to D is the beginning of that route: links
// allowed towards X are allowed towards D as well, so what was best among more
// is best among fewer. The routes from one publisher thus form a tree, and a
// walk over that tree costs every route with about one link per id, not one
// for every hop of every route.
package routing

import (
	"slices"

	"sandstream/internal/model/cube"
	"sandstream/internal/model/oracle"
)

// Overlay is a cube laid over a network: id i is point i.
type Overlay struct {
	Cube   cube.Cube
	Points *oracle.Points
}

// Link is the cost of the logical link between two neighbouring ids: the
// shortest physical path between their hosts, 0 within one host.
func (o *Overlay) Link(a, b uint32) uint32 { return o.Points.Dist(a, b) }

// Targets gives the id at which a message from source reaches each host: of its
// ids the one with the fewest hops from source, of equals the least. hosts is
// the number of hosts; every host owns an id. The ids are in ascending order,
// for which memory is faster than for that of hosts.
func (o *Overlay) Targets(source uint32, hosts int) []uint32 {
	m := o.Cube.IDs()
	target := make([]uint32, hosts)
	if m == hosts {
		for id := range target {
			target[id] = uint32(id)
		}
		return target
	}
	best := make([]uint32, hosts)
	for h := range best {
		best[h] = ^uint32(0)
	}
	for id := range uint32(m) {
		h := o.Points.Host(id)
		if d := uint32(o.Cube.Distance(source, id)); d < best[h] {
			best[h], target[h] = d, id
		}
	}
	slices.Sort(target)
	return target
}

// FixedTargets is Targets by one id of each host that does not depend on the
// source: the one whose hash is least.
func (o *Overlay) FixedTargets(hosts int) []uint32 {
	target, best := make([]uint32, hosts), make([]uint64, hosts)
	for h := range best {
		best[h] = ^uint64(0)
	}
	for id := range uint32(o.Cube.IDs()) {
		d := dice{uint64(id)}
		if h, x := o.Points.Host(id), d.next(); x < best[h] {
			best[h], target[h] = x, id
		}
	}
	slices.Sort(target)
	return target
}
