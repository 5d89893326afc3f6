// SPDX-License-Identifier: Apache-2.0

package adaptive

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sandstream/internal/model/cube"
	"sandstream/internal/model/oracle"
	"sandstream/internal/model/topology"
)

// star is a 2-ary n-cube of hosts around one router; the lengths of their
// links are random, host i owns id i.
func star(t interface{ Fatal(...any) }, n int, seed uint64) *System {
	c := cube.Must(2, n)
	rng := rand.New(rand.NewPCG(seed, 1))
	var edges []topology.Edge
	owner := make([]uint32, c.IDs())
	for i := range owner {
		owner[i] = uint32(i)
		edges = append(edges, topology.Edge{U: uint32(i), V: uint32(len(owner)), Len: 1 + rng.Uint32N(100)})
	}
	g, err := topology.New(len(owner)+1, edges, nil)
	if err != nil {
		t.Fatal(err)
	}
	o, err := oracle.New(g)
	if err != nil {
		t.Fatal(err)
	}
	nodes := slices.Clone(owner)
	return New(c, o.Attach(nil, nodes, 0), owner)
}

// consistent says whether Owner and ID are inverse: nobody lost an id.
func (s *System) consistent() bool {
	for id, h := range s.Owner {
		if s.ID[h] != uint32(id) {
			return false
		}
	}
	return true
}

func TestExchangesLoseNoID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := star(t, rapid.IntRange(1, 7).Draw(t, "n"), rapid.Uint64().Draw(t, "seed"))
		rng := rand.New(rand.NewPCG(1, 2))
		m := s.Cube.IDs()
		publisher := uint32(rng.IntN(m))
		root := s.ID[publisher]
		limit := make([]uint32, m)
		var group []uint32
		for h := range uint32(m) {
			limit[h] = Unlimited
			if h == publisher || rng.IntN(2) == 0 {
				continue
			}
			limit[h] = rng.Uint32N(400)
			switch rng.IntN(3) {
			case 0:
				s.Swap(h, publisher, limit[h], rng)
			case 1:
				s.Bounded(h, publisher, 1)
			}
			s.Subscriber[h] = true
			group = append(group, h)
		}
		s.Exchange(publisher, group, limit, 8, rng)
		if !s.consistent() {
			t.Fatal("an id has two owners or none")
		}
		if s.ID[publisher] != root {
			t.Fatal("the publisher was moved")
		}
	})
}

// Figure 5 by hand: a 2-ary 2-cube, publisher at 00, its neighbours at 01 and
// 10; subscriber at 11.
func TestSwapByHand(t *testing.T) {
	s := star(t, 2, 1)
	s.Swap(3, 0, Unlimited, rand.New(rand.NewPCG(1, 1)))
	if s.Cube.Distance(s.ID[0], s.ID[3]) != 1 || s.Swaps != 1 {
		t.Errorf("the subscriber is at %02b after %d swaps", s.ID[3], s.Swaps)
	}
	// Both neighbours subscribe already: the request passes on to the id
	// opposite, the subscriber's own, and nothing changes.
	s = star(t, 2, 1)
	s.Subscriber[1], s.Subscriber[2] = true, true
	if !s.Swap(3, 0, Unlimited, rand.New(rand.NewPCG(1, 1))) || s.Swaps != 0 || s.ID[3] != 3 {
		t.Errorf("the subscriber moved to %02b", s.ID[3])
	}
}

func TestBoundedTakesTheDearestPlace(t *testing.T) {
	s := star(t, 3, 4)
	worst, far := uint32(0), uint32(0)
	for _, h := range []uint32{1, 2, 4} {
		if d := s.Hosts.Dist(0, h); d > far {
			worst, far = h, d
		}
	}
	sub := uint32(7)
	if s.Hosts.Dist(0, sub) >= far {
		t.Skip("this seed's subscriber is too dear to be of use")
	}
	at := s.ID[worst]
	if !s.Bounded(sub, 0, 1) || s.ID[sub] != at {
		t.Errorf("the subscriber is at %d, the dearest place was %d", s.ID[sub], at)
	}
}

// Exchanges help; that is their point.
func TestExchangeImproves(t *testing.T) {
	before, after := 0., 0.
	for seed := range uint64(10) {
		s := star(t, 8, seed)
		rng := rand.New(rand.NewPCG(seed, 3))
		limit := make([]uint32, s.Cube.IDs())
		var group []uint32
		for h := range limit {
			limit[h] = uint32((1 + 6*rng.Float64()) * float64(s.Hosts.Dist(0, uint32(h))))
			if h != 0 {
				group = append(group, uint32(h))
			}
		}
		before += s.Evaluate(0, group, limit).Success / 10
		for range 4 {
			s.Exchange(0, group, limit, 8, rng)
		}
		after += s.Evaluate(0, group, limit).Success / 10
	}
	if after < before+.1 {
		t.Errorf("success %.3f before, %.3f after", before, after)
	}
}
