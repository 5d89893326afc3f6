// SPDX-License-Identifier: Apache-2.0

package jitter

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"sandstream/internal/report/stats"
	"sandstream/lab/points"
)

// result is one run: the delays of its frames, warm-up left out. Times are ns.
type result struct {
	point   points.Point
	mode    string
	line    points.Line
	offered int       // frames
	missed  int       // of these: the receive ring had no room
	delays  []float64 // of those that came back, sorted

	pdv, pdvLo, pdvHi float64 // P99.9 - min, and its 95 % interval
	arrivalSD         float64 // standard deviation of the times between arrivals
	ipdvMean, ipdvMax float64 // |difference of the delays| of neighbours (RFC 3393)
}

const resamples = 2000

// tail is the share of frames whose delay PDV takes as the largest (RFC 8219).
const tail = 0.999

// tailFrames is how many frames it takes to speak of that tail at all.
const tailFrames = 1000

func analyse(p points.Point, mode string, l points.Line, stamps []points.Stamp, seed uint64) *result {
	r := &result{point: p, mode: mode, line: l, offered: len(stamps)}
	var arrivals []float64
	last, sum := math.NaN(), 0.0
	for _, s := range stamps {
		if s.Sent == 0 {
			r.missed++
		}
		if s.Sent == 0 || s.Returned == 0 {
			continue
		}
		d := float64(s.Returned - s.Sent)
		if !math.IsNaN(last) {
			sum += math.Abs(d - last)
			r.ipdvMax = max(r.ipdvMax, math.Abs(d-last))
		}
		last = d
		r.delays = append(r.delays, d)
		arrivals = append(arrivals, float64(s.Returned))
	}
	if r.ipdvMean = sum / float64(len(r.delays)-1); len(r.delays) < 2 {
		r.ipdvMean, r.ipdvMax, r.arrivalSD = math.NaN(), math.NaN(), math.NaN()
		r.pdv, r.pdvLo, r.pdvHi = math.NaN(), math.NaN(), math.NaN()
		return r
	}
	slices.Sort(arrivals) // frames may overtake each other
	gaps := make([]float64, max(0, len(arrivals)-1))
	for i := range gaps {
		gaps[i] = arrivals[i+1] - arrivals[i]
	}
	r.arrivalSD = stats.StdDev(gaps)
	slices.Sort(r.delays)
	if len(r.delays) < tailFrames {
		r.pdv, r.pdvLo, r.pdvHi = math.NaN(), math.NaN(), math.NaN()
		return r
	}
	r.pdv = r.quantile(tail) - r.quantile(0)
	draws := r.resample(seed)
	slices.Sort(draws)
	r.pdvLo, r.pdvHi = stats.SortedQuantile(draws, 0.025), stats.SortedQuantile(draws, 0.975)
	return r
}

func (r *result) quantile(q float64) float64 { return stats.SortedQuantile(r.delays, q) }

// resample draws the PDV of bootstrap samples. The k-th smallest of n values drawn
// with replacement from n sorted ones stands at n times a Beta(k, n+1-k) variate, so
// no sample needs to be drawn in full. Delays count as independent.
func (r *result) resample(seed uint64) []float64 {
	n := float64(len(r.delays))
	if n < 2 {
		return nil
	}
	src := rand.NewPCG(seed, uint64(r.point.Hogs)<<32|uint64(len(r.delays)))
	at := func(q float64) float64 {
		k := math.Floor(q*(n-1)) + 1
		u := distuv.Beta{Alpha: k, Beta: n + 1 - k, Src: src}.Rand()
		return r.delays[min(int(u*n), len(r.delays)-1)]
	}
	draws := make([]float64, resamples)
	for i := range draws {
		draws[i] = at(tail) - at(0)
	}
	return draws
}

// ratio is the PDV of a against that of b with its 95 % interval; NaN when one was
// not measured.
func ratio(a, b *result, seed uint64) (value, lo, hi float64) {
	if a == nil || b == nil || math.IsNaN(a.pdv) || math.IsNaN(b.pdv) || b.pdv == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	x, y := a.resample(seed+1), b.resample(seed+2)
	for i := range x {
		x[i] /= y[i]
	}
	slices.Sort(x)
	return a.pdv / b.pdv, stats.SortedQuantile(x, 0.025), stats.SortedQuantile(x, 0.975)
}
