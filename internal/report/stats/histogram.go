// SPDX-License-Identifier: Apache-2.0

package stats

import "math"

// LogHist counts positive values in bins of equal ratio: PerOctave bins for
// each doubling, from 1 up to 2^Octaves. Smaller values fall in the first bin,
// larger ones in the last. Its size does not depend on how many values it has
// seen, and merging is exact, so threads and seeds can each have their own.
//
// A quantile read from it is off by at most half a bin: a factor of
// 2^(1/(2*PerOctave)), 0.14 % at 256 per octave.
type LogHist struct {
	PerOctave int
	Counts    []uint64
	N         uint64
}

// NewLogHist makes an empty histogram of octaves*perOctave bins.
func NewLogHist(octaves, perOctave int) *LogHist {
	return &LogHist{PerOctave: perOctave, Counts: make([]uint64, octaves*perOctave)}
}

// Add counts x.
func (h *LogHist) Add(x float64) {
	i := 0
	if x > 1 {
		i = min(int(math.Log2(x)*float64(h.PerOctave)), len(h.Counts)-1)
	}
	h.Counts[i]++
	h.N++
}

// Merge adds the counts of o, which has the same shape.
func (h *LogHist) Merge(o *LogHist) {
	for i, c := range o.Counts {
		h.Counts[i] += c
	}
	h.N += o.N
}

// Edge is the lower edge of bin i.
func (h *LogHist) Edge(i int) float64 { return math.Exp2(float64(i) / float64(h.PerOctave)) }

// Quantile is the geometric middle of the bin in which the q-quantile falls;
// NaN when nothing was counted.
func (h *LogHist) Quantile(q float64) float64 {
	if h.N == 0 {
		return math.NaN()
	}
	rank, seen := uint64(math.Ceil(q*float64(h.N))), uint64(0)
	rank = max(rank, 1)
	for i, c := range h.Counts {
		if seen += c; seen >= rank {
			return math.Exp2((float64(i) + 0.5) / float64(h.PerOctave))
		}
	}
	return h.Edge(len(h.Counts))
}

// CDF is the share of values below x (the whole bin of x not counted).
func (h *LogHist) CDF(x float64) float64 {
	if h.N == 0 || x <= 1 {
		return 0
	}
	end := min(int(math.Round(math.Log2(x)*float64(h.PerOctave))), len(h.Counts))
	seen := uint64(0)
	for _, c := range h.Counts[:end] {
		seen += c
	}
	return float64(seen) / float64(h.N)
}
