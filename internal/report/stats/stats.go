// SPDX-License-Identifier: Apache-2.0

// Package stats has the few statistics that experiments share: quantiles,
// bands over seeds, bootstrap intervals and a histogram that streams.
package stats

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Mean is the arithmetic mean; NaN of nothing.
func Mean(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}

// StdDev is the sample standard deviation (n-1); 0 for fewer than two values.
func StdDev(xs []float64) float64 {
	if len(xs) < 2 {
		return 0
	}
	m, sum := Mean(xs), 0.0
	for _, x := range xs {
		sum += (x - m) * (x - m)
	}
	return math.Sqrt(sum / float64(len(xs)-1))
}

// Quantile is the q-quantile (0 <= q <= 1) of xs with linear interpolation
// between order statistics (type 7 of Hyndman and Fan); NaN of nothing. xs is
// not changed.
func Quantile(xs []float64, q float64) float64 {
	s := slices.Clone(xs)
	slices.Sort(s)
	return SortedQuantile(s, q)
}

// SortedQuantile is Quantile of values already in ascending order.
func SortedQuantile(s []float64, q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	at := q * float64(len(s)-1)
	i := int(at)
	if i+1 >= len(s) {
		return s[len(s)-1]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}

// Summary describes values gathered over seeds or repetitions.
type Summary struct {
	N                          int
	Mean, SD                   float64
	Min, P05, Median, P95, Max float64
}

// Summarize computes a Summary; all but N are NaN of nothing.
func Summarize(xs []float64) Summary {
	s := slices.Clone(xs)
	slices.Sort(s)
	return Summary{
		N: len(s), Mean: Mean(s), SD: StdDev(s),
		Min: SortedQuantile(s, 0), P05: SortedQuantile(s, .05), Median: SortedQuantile(s, .5),
		P95: SortedQuantile(s, .95), Max: SortedQuantile(s, 1),
	}
}

// Bootstrap is the percentile interval at the given level (0.95) of a
// statistic of xs, from n resamples drawn with the seed.
func Bootstrap(xs []float64, statistic func([]float64) float64, level float64, n int, seed uint64) (lo, hi float64) {
	if len(xs) == 0 {
		return math.NaN(), math.NaN()
	}
	rng := rand.New(rand.NewPCG(seed, 0x626f6f74))
	sample, values := make([]float64, len(xs)), make([]float64, n)
	for i := range values {
		for j := range sample {
			sample[j] = xs[rng.IntN(len(xs))]
		}
		values[i] = statistic(sample)
	}
	slices.Sort(values)
	return SortedQuantile(values, (1-level)/2), SortedQuantile(values, (1+level)/2)
}
