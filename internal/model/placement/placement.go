// SPDX-License-Identifier: Apache-2.0

// Package placement decides which host owns which ids of a cube: at random,
// as the paper does, or by proximity, so that ids which differ in low digits
// are hosts near each other.
//
// A placement is a slice with the owner of each id. Every host owns at least
// one id. What a placement costs a real host is reported in Effort: it uses
// measured distances only, no knowledge of the topology.
package placement

import (
	"fmt"
	"math/rand/v2"

	"sandstream/internal/model/bigmem"
	"sandstream/internal/model/cube"
)

// Distances measures the distance between two hosts, 0..Len()-1.
type Distances interface {
	Len() int
	Dist(a, b uint32) uint32
}

// Effort is what finding the placement costs each host on average.
type Effort struct {
	Measurements float64 // distances measured by a host that joins
	Landmarks    int     // hosts that others measure their distance to
	MapWords     int     // 32-bit words of the map a joining host is sent
}

// Random gives the ids to hosts at random, as evenly as possible.
func Random(c cube.Cube, hosts int, seed uint64) ([]uint32, error) {
	if err := check(c, hosts); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(seed, 0x72616e64))
	owner := bigmem.Make[uint32](c.IDs())
	for i := range owner {
		owner[i] = uint32(i % hosts)
	}
	rng.Shuffle(len(owner), func(i, j int) { owner[i], owner[j] = owner[j], owner[i] })
	return owner, nil
}

func check(c cube.Cube, hosts int) error {
	if hosts < 1 || hosts > c.IDs() {
		return fmt.Errorf("placement: %d hosts on the %d ids of a %v; possible are 1 to %d", hosts, c.IDs(), c, c.IDs())
	}
	return nil
}
