// SPDX-License-Identifier: Apache-2.0

// Package adaptive gives ids to subscribers by what they ask for: the paper's
// Figure 5 (Swap), the depth-bounded form of the authors' talk (Bounded), and
// exchanges that both hosts look at before they agree (Exchange).
//
// One publisher P sends along greedy routes; each subscriber S has a latency
// it can bear, its constraint. A subscriber that joins may exchange its
// logical id with another host's, to come nearer to P in the cube.
package adaptive

import (
	"math/rand/v2"

	"sandstream/internal/model/cube"
	"sandstream/internal/model/oracle"
	"sandstream/internal/model/routing"
)

// System is a cube whose ids change owner. Distances are between hosts.
type System struct {
	Cube  cube.Cube
	Hosts *oracle.Points // distances by host number
	Owner []uint32       // host of each id
	ID    []uint32       // id of each host: with several, the least
	// Subscriber says whether a host is one, already placed or still to be.
	Subscriber []bool
	Swaps      int // exchanges so far
	Messages   int // requests passed on, probes and exchanges so far
	around     []uint32
}

// New makes a system in which owner[id] owns id; every host owns one id.
func New(c cube.Cube, hosts *oracle.Points, owner []uint32) *System {
	s := &System{Cube: c, Hosts: hosts, Owner: owner, ID: make([]uint32, hosts.Len()), Subscriber: make([]bool, hosts.Len())}
	for id := len(owner) - 1; id >= 0; id-- {
		s.ID[owner[id]] = uint32(id)
	}
	return s
}

// neighbours gives the ids next to host h's id which do not belong to h.
func (s *System) neighbours(h uint32) []uint32 {
	s.around = s.Cube.Neighbours(s.ID[h], s.around[:0])
	kept := s.around[:0]
	for _, id := range s.around {
		if s.Owner[id] != h {
			kept = append(kept, id)
		}
	}
	return kept
}

// swap exchanges the logical ids, and with them the routing information, of
// two hosts.
func (s *System) swap(a, b uint32) {
	if a == b {
		return
	}
	i, j := s.ID[a], s.ID[b]
	s.Owner[i], s.Owner[j] = b, a
	s.ID[a], s.ID[b] = j, i
	s.Swaps++
	s.Messages += 2
}

// Swap is Subscribe(S, P) of the paper's Figure 5: take a neighbour i of P
// with i.cost(P) < S.constraint, or else the cheapest; if host i is not a
// subscriber, swap the logical positions of i and S; else Subscribe(S, i).
//
// What the paper leaves open, and is chosen here: of several neighbours within
// the constraint a random one (rng) is taken; cost(P) is along the hops of the
// request, so it adds up; a request does not visit a host twice, nor S itself,
// and gives up after Diameter hops, leaving S where it is. It says whether
// S's id changed hands or needs no change.
func (s *System) Swap(sub, publisher uint32, constraint uint32, rng *rand.Rand) bool {
	visited := map[uint32]bool{publisher: true}
	at, cost := publisher, uint32(0)
	for range s.Cube.Diameter() {
		best, bestCost, within := uint32(0), ^uint32(0), 0
		for _, id := range s.neighbours(at) {
			h := s.Owner[id]
			if visited[h] {
				continue
			}
			c := cost + s.Hosts.Dist(at, h)
			switch {
			case c < constraint:
				// Reservoir of one: each candidate is as likely.
				if within++; rng.IntN(within) == 0 {
					best, bestCost = h, c
				}
			case within == 0 && c < bestCost:
				best, bestCost = h, c
			}
		}
		s.Messages++
		if bestCost == ^uint32(0) {
			return false
		}
		if best == sub {
			return true // already there
		}
		if !s.Subscriber[best] {
			s.swap(best, sub)
			return true
		}
		visited[best] = true
		at, cost = best, bestCost
	}
	return false
}

// Bounded is the second form: swap with the most expensive neighbour of P if S
// is cheaper, else try the cheapest neighbour, at most depth levels further.
func (s *System) Bounded(sub, publisher uint32, depth int) bool {
	at := publisher
	for level := 0; ; level++ {
		worst, worstCost := uint32(0), uint32(0)
		least, leastCost := uint32(0), ^uint32(0)
		for _, id := range s.neighbours(at) {
			h := s.Owner[id]
			if h == sub {
				return true
			}
			if h == publisher {
				continue
			}
			c := s.Hosts.Dist(at, h)
			if c >= worstCost {
				worst, worstCost = h, c
			}
			if c < leastCost {
				least, leastCost = h, c
			}
		}
		s.Messages++
		if leastCost == ^uint32(0) {
			return false
		}
		if s.Hosts.Dist(at, sub) < worstCost {
			s.swap(worst, sub)
			return true
		}
		if level == depth {
			return false
		}
		at = least
	}
}

// Outcome is how well a group is served.
type Outcome struct {
	Success  float64 // share of subscribers whose path cost is at most their constraint
	Lateness float64 // mean of max(0, cost - c)/c over subscribers
}

// Evaluate costs the greedy routes from publisher and compares them with the
// constraints of the group's hosts.
func (s *System) Evaluate(publisher uint32, group []uint32, limit []uint32) Outcome {
	costs := make([]uint32, s.Cube.IDs())
	s.overlay().Greedy(s.ID[publisher], costs)
	var out Outcome
	for _, h := range group {
		c, l := costs[s.ID[h]], limit[h]
		if c <= l {
			out.Success++
		} else {
			out.Lateness += float64(c-l) / float64(max(l, 1))
		}
	}
	n := float64(max(len(group), 1))
	out.Success /= n
	out.Lateness /= n
	return out
}

func (s *System) overlay() *routing.Overlay {
	return &routing.Overlay{Cube: s.Cube, Points: s.Hosts.Reordered(s.Owner)}
}
