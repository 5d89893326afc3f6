// SPDX-License-Identifier: Apache-2.0

package adaptive

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Unlimited is the constraint of a host that asks for nothing.
const Unlimited = math.MaxUint32

// Exchange is a round of agreed exchanges, our answer to Figure 5. Each
// subscriber whose route breaks its constraint asks up to asks random hosts
// for their place. Both know, from the deliveries of the stream, through whom
// they are served and at what cost, and whom they serve; each measures its
// distance to the other's neighbours in the tree. They exchange ids if the
// subscriber is then within its constraint and nobody of the others concerned
// (the other host, and the hosts both serve directly) is pushed out of one
// that is met. All of it is known locally; a request costs one message and the
// distances it needs, an exchange two.
//
// Routes change with each exchange, and what was measured ages: so there are
// rounds, between which routes are looked at anew.
func (s *System) Exchange(publisher uint32, group, limit []uint32, asks int, rng *rand.Rand) {
	m := s.Cube.IDs()
	r := round{s: s, limit: limit, cost: make([]uint32, m), parent: make([]uint32, m), stale: make([]bool, m)}
	root := s.ID[publisher]
	s.overlay().GreedyTree(root, r.cost, r.parent)
	r.index()
	order := slices.Clone(group)
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for _, sub := range order {
		mine := s.ID[sub]
		if r.cost[mine] <= limit[sub] || r.touched(mine) || mine == root {
			continue
		}
		for range asks {
			s.Messages++
			id := uint32(rng.IntN(m))
			if id == mine || id == root || r.touched(id) || r.parent[id] == mine || r.parent[mine] == id {
				continue
			}
			if r.agreed(mine, id) {
				r.mark(mine)
				r.mark(id)
				s.swap(sub, s.Owner[id])
				break
			}
		}
	}
}

// round is what the hosts know in one round: the tree as it was at its start.
type round struct {
	s            *System
	limit        []uint32
	cost, parent []uint32
	first, kids  []uint32 // kids[first[id]:first[id+1]] are the children of id
	stale        []bool   // the owner of this id changed since
}

// index lists the children of each id.
func (r *round) index() {
	m := len(r.parent)
	r.first, r.kids = make([]uint32, m+1), make([]uint32, m)
	for id, p := range r.parent {
		if int(p) != id {
			r.first[p+1]++
		}
	}
	for id := range m {
		r.first[id+1] += r.first[id]
	}
	fill := slices.Clone(r.first[:m])
	for id, p := range r.parent {
		if int(p) != id {
			r.kids[fill[p]] = uint32(id)
			fill[p]++
		}
	}
}

func (r *round) children(id uint32) []uint32 { return r.kids[r.first[id]:r.first[id+1]] }

// touched says whether what is known about id and its tree neighbours aged.
func (r *round) touched(id uint32) bool {
	if r.stale[id] || r.stale[r.parent[id]] {
		return true
	}
	return slices.ContainsFunc(r.children(id), func(k uint32) bool { return r.stale[k] })
}

func (r *round) mark(id uint32) { r.stale[id] = true }

// agreed says whether exchanging the owners of a (a subscriber that is late)
// and b serves a's owner and harms nobody directly concerned.
func (r *round) agreed(a, b uint32) bool {
	sub, other := r.s.Owner[a], r.s.Owner[b]
	subCost, otherCost := r.at(b, sub), r.at(a, other)
	if subCost > r.limit[sub] {
		return false
	}
	if r.harms(other, r.cost[b], otherCost) {
		return false
	}
	return !r.served(a, otherCost, other) && !r.served(b, subCost, sub)
}

// at is what the route to id would cost with host h there.
func (r *round) at(id, h uint32) uint32 {
	p := r.parent[id]
	return r.cost[p] + r.s.Hosts.Dist(r.s.Owner[p], h)
}

// harms says whether host h, served at before, would be late at after and was
// not.
func (r *round) harms(h, before, after uint32) bool {
	return before <= r.limit[h] && after > r.limit[h]
}

// served says whether a child of id would be harmed by host h there, itself
// served at cost.
func (r *round) served(id, cost, h uint32) bool {
	for _, k := range r.children(id) {
		child := r.s.Owner[k]
		if r.harms(child, r.cost[k], cost+r.s.Hosts.Dist(h, child)) {
			return true
		}
	}
	return false
}
