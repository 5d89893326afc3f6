// SPDX-License-Identifier: Apache-2.0

package netem

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"sandstream/internal/model/oracle"
	"sandstream/internal/model/topology"
)

// TransitStub puts the hosts on random nodes of stub domains of a transit-stub graph,
// as few on one node as possible, and gives each pair the delay of the shortest path,
// scaled so that the median over all pairs is median. Two hosts on one node are a
// hundredth of the median apart. Loss, jitter and rate are 0.
func TransitStub(p topology.Params, hosts int, median time.Duration, seed uint64) (Matrix, error) {
	g, err := topology.Generate(p, seed)
	if err != nil {
		return nil, fmt.Errorf("netem: %w", err)
	}
	o, err := oracle.New(g)
	if err != nil {
		return nil, fmt.Errorf("netem: %w", err)
	}
	var stubs []uint32
	for _, d := range g.Domains {
		for u := d.First; d.Kind == topology.Stub && u <= d.Last; u++ {
			stubs = append(stubs, u)
		}
	}
	if len(stubs) == 0 || hosts < 2 {
		return nil, fmt.Errorf("netem: %d hosts on %d stub nodes: need 2 hosts and 1 node at least", hosts, len(stubs))
	}
	rng := rand.New(rand.NewPCG(seed, 0x6e6574656d))
	rng.Shuffle(len(stubs), func(i, j int) { stubs[i], stubs[j] = stubs[j], stubs[i] })
	at := func(i int) uint32 { return stubs[i%len(stubs)] }

	var lengths []uint32
	for i := range hosts {
		for j := range i {
			lengths = append(lengths, max(1, o.Dist(at(i), at(j))))
		}
	}
	slices.Sort(lengths)
	scale := float64(median) / float64(lengths[len(lengths)/2])
	m := NewMatrix(hosts, Link{})
	for i := range hosts {
		for j := range hosts {
			switch d := o.Dist(at(i), at(j)); {
			case i == j:
			case d == 0:
				m[i][j].Delay = median / 100
			default:
				m[i][j].Delay = time.Duration(float64(d) * scale)
			}
		}
	}
	return m, nil
}

// Small is a graph of 3 transit domains and 72 stub nodes, enough for some dozens of
// hosts in different domains.
var Small = topology.Params{T: 3, Nt: 2, K: 3, Ns: 4, PTop: .8, PTransit: .8, PStub: .5}
