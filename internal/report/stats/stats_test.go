// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat"
	"pgregory.net/rapid"
)

func TestAgainstGonum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		xs := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 2, 50).Draw(t, "xs")
		mean, sd := stat.MeanStdDev(xs, nil)
		if math.Abs(Mean(xs)-mean) > 1e-6 || math.Abs(StdDev(xs)-sd) > 1e-5 {
			t.Fatalf("mean %v sd %v, gonum says %v %v", Mean(xs), StdDev(xs), mean, sd)
		}
		before := slices.Clone(xs)
		s := Summarize(xs)
		if !slices.Equal(xs, before) {
			t.Fatal("input changed")
		}
		if s.Min != slices.Min(xs) || s.Max != slices.Max(xs) || s.P05 > s.Median || s.Median > s.P95 {
			t.Fatalf("summary out of order: %+v", s)
		}
	})
}

func TestQuantileKnown(t *testing.T) {
	xs := []float64{4, 1, 3, 2}
	for q, want := range map[float64]float64{0: 1, 0.25: 1.75, 0.5: 2.5, 1: 4} {
		if got := Quantile(xs, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if !math.IsNaN(Quantile(nil, .5)) {
		t.Error("a quantile of nothing is a number")
	}
}

func TestBootstrapCovers(t *testing.T) {
	xs := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	lo, hi := Bootstrap(xs, Mean, .95, 2000, 1)
	if lo > 5.5 || hi < 5.5 || lo < 3 || hi > 8 {
		t.Errorf("interval of the mean is %v..%v", lo, hi)
	}
	lo2, hi2 := Bootstrap(xs, Mean, .95, 2000, 1)
	if lo != lo2 || hi != hi2 {
		t.Error("the same seed gave another interval")
	}
}

func TestLogHist(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		xs := rapid.SliceOfN(rapid.Float64Range(1.01, 500), 1, 300).Draw(t, "xs")
		cut := rapid.IntRange(0, len(xs)).Draw(t, "cut")
		h, a, b := NewLogHist(9, 256), NewLogHist(9, 256), NewLogHist(9, 256)
		for i, x := range xs {
			h.Add(x)
			if i < cut {
				a.Add(x)
			} else {
				b.Add(x)
			}
		}
		a.Merge(b)
		if a.N != h.N || !slices.Equal(a.Counts, h.Counts) {
			t.Fatal("merging two halves differs from the whole")
		}
		slices.Sort(xs)
		for _, q := range []float64{.05, .5, .95} {
			exact := xs[max(int(math.Ceil(q*float64(len(xs)))), 1)-1]
			if got := h.Quantile(q); math.Abs(math.Log2(got/exact)) > 0.51/256 {
				t.Fatalf("quantile %v is %v, exactly %v", q, got, exact)
			}
		}
		if h.CDF(512) != 1 || h.CDF(1) != 0 {
			t.Fatalf("CDF runs from %v to %v", h.CDF(1), h.CDF(512))
		}
	})
}
