// SPDX-License-Identifier: Apache-2.0

package jitter

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"sandstream/internal/report/stats"
	"sandstream/lab/points"
)

// delayed makes stamps 200 us apart with these delays; a negative one is lost on
// the way, a NaN had no room in the ring.
func delayed(delays ...float64) []points.Stamp {
	list := make([]points.Stamp, len(delays))
	for i, d := range delays {
		at := uint64(1_000_000 + 200_000*i)
		switch {
		case math.IsNaN(d):
		case d < 0:
			list[i].Sent = at
		default:
			list[i] = points.Stamp{Sent: at, Returned: at + uint64(d)}
		}
	}
	return list
}

func TestAnalyse(t *testing.T) {
	r := analyse(points.Point{}, "steady", points.Line{}, delayed(100, 130, -1, math.NaN(), 110, 190), 1)
	if !math.IsNaN(r.pdv) {
		t.Errorf("the tail of four frames is %g", r.pdv)
	}
	if r.offered != 6 || r.missed != 1 || len(r.delays) != 4 {
		t.Errorf("offered %d, missed %d, returned %d", r.offered, r.missed, len(r.delays))
	}
	if r.ipdvMax != 80 || math.Abs(r.ipdvMean-(30+20+80)/3.0) > 1e-9 {
		t.Errorf("IPDV is %g at most, %g on average", r.ipdvMax, r.ipdvMean)
	}
	// Arrivals are 200030, 599980 and 200080 apart.
	if want := stats.StdDev([]float64{200_030, 599_980, 200_080}); math.Abs(r.arrivalSD-want) > 1e-6 {
		t.Errorf("arrivals vary by %g, want %g", r.arrivalSD, want)
	}
}

// ramp is n delays from 1000 ns, a step apart.
func ramp(n int, step float64) []float64 {
	delays := make([]float64, n)
	for i := range delays {
		delays[i] = 1000 + step*float64(i)
	}
	return delays
}

func TestPDV(t *testing.T) {
	r := analyse(points.Point{}, "steady", points.Line{}, delayed(ramp(2001, 1)...), 1)
	if r.pdv != 1998 || r.pdvLo > r.pdv || r.pdvHi < 1990 {
		t.Errorf("PDV is %g in %g..%g, want 1998", r.pdv, r.pdvLo, r.pdvHi)
	}
}

func TestAnalyseNothing(t *testing.T) {
	r := analyse(points.Point{}, "saturated", points.Line{}, delayed(-1, math.NaN()), 1)
	if len(r.delays) != 0 || !math.IsNaN(r.pdv) {
		t.Errorf("%d delays, PDV %g", len(r.delays), r.pdv)
	}
}

// The bootstrap through order statistics must agree with one that draws samples.
func TestResampleAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	delays := make([]float64, 4000)
	for i := range delays {
		delays[i] = 1000 + 300*rng.ExpFloat64()
	}
	r := &result{delays: slices.Sorted(slices.Values(delays))}
	fast := r.resample(5)
	pdv := func(xs []float64) float64 { return stats.Quantile(xs, tail) - slices.Min(xs) }
	lo, hi := stats.Bootstrap(delays, pdv, 0.95, 1000, 6)
	slices.Sort(fast)
	flo, fhi := stats.SortedQuantile(fast, 0.025), stats.SortedQuantile(fast, 0.975)
	width := hi - lo
	if math.Abs(flo-lo) > 0.2*width || math.Abs(fhi-hi) > 0.2*width {
		t.Errorf("interval %g..%g, the naive one is %g..%g", flo, fhi, lo, hi)
	}
	if again := r.resample(5); !slices.Equal(slices.Sorted(slices.Values(again)), fast) {
		t.Error("the same seed draws differently")
	}
}

func TestRatio(t *testing.T) {
	a := analyse(points.Point{Hogs: 128}, "steady", points.Line{}, delayed(ramp(1500, 2)...), 1)
	b := analyse(points.Point{}, "steady", points.Line{}, delayed(ramp(1500, 1)...), 1)
	v, lo, hi := ratio(a, b, 1)
	if math.Abs(v-2) > 1e-9 || lo > 2 || hi < 1.99 {
		t.Errorf("ratio %g in %g..%g", v, lo, hi)
	}
	if v, _, _ := ratio(a, nil, 1); !math.IsNaN(v) {
		t.Errorf("ratio to nothing is %g", v)
	}
}

func TestGrid(t *testing.T) {
	f := points.Flags{Len: 200, Seed: 1, Levels: points.Levels(false)}
	points, err := Points(f)
	if err != nil || len(points) != 25 {
		t.Errorf("%d points, %v", len(points), err)
	}
	f.Contenders = []string{"nobody"}
	if _, err := Points(f); err == nil {
		t.Error("an unknown contender was accepted")
	}
}
