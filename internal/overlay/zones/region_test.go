// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"math"
	"math/rand/v2"
	"testing"
)

// More hosts never want a smaller cube, and each host has an id at least.
func TestRegionFor(t *testing.T) {
	for k := 2; k <= 3; k++ {
		n := owner(k, nil, nil)
		last := uint8(1)
		for m := 0; m < 1<<17; m += 1 + m/64 {
			d := n.regionFor(m)
			if d < last || math.Pow(float64(k), float64(d)) < float64(m) {
				t.Fatalf("radix %d: %d digits for %d hosts, %d for fewer", k, d, m, last)
			}
			last = d
		}
		if d := n.regionFor(math.MaxInt32); d > 24 {
			t.Errorf("radix %d: %d digits", k, d)
		}
	}
}

// However false up to a quarter of the answers are, the estimate stays within the true ones.
func TestEstimateBelievesNoSingleAnswer(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 200 {
		n := owner(3, nil, nil)
		lies := []float64{1, 1e12, 1e9}
		for range regionSamples - len(lies) {
			n.region.hosts = append(n.region.hosts, 80+40*r.Float64())
		}
		n.region.hosts = append(n.region.hosts, lies...)
		r.Shuffle(len(n.region.hosts), func(i, j int) {
			n.region.hosts[i], n.region.hosts[j] = n.region.hosts[j], n.region.hosts[i]
		})
		if n.conclude(); n.region.Hosts < 80 || n.region.Hosts > 120 {
			t.Fatalf("%d hosts", n.region.Hosts)
		}
	}
}

// Half of the answers are too few to conclude from; a smaller cube is a matter of three
// estimates in a row.
func TestConclude(t *testing.T) {
	n := owner(3, nil, nil)
	n.region.N, n.region.Region.Hosts = n.regionFor(100), 100
	digits := n.region.N
	few := func(samples int, hosts float64) {
		n.region.hosts = nil
		for range samples {
			n.region.hosts = append(n.region.hosts, hosts)
		}
		n.conclude()
	}
	for range 9 {
		few(regionSamples/2-1, 3)
	}
	if n.region.N != digits {
		t.Fatalf("%d digits after too few answers", n.region.N)
	}
	few(regionSamples, 3)
	few(regionSamples, 3)
	few(regionSamples, 100) // it was a swing
	few(regionSamples, 3)
	few(regionSamples, 3)
	if n.region.N != digits {
		t.Fatalf("%d digits after two estimates in a row", n.region.N)
	}
	if few(regionSamples, 3); n.region.N != digits-1 {
		t.Fatalf("%d digits after three", n.region.N)
	}
	if few(regionSamples, 5000); n.region.N != n.regionFor(5000) || n.region.Region.Hosts != 5000 {
		t.Fatalf("%d digits for %d hosts", n.region.N, n.region.Region.Hosts)
	}
}
