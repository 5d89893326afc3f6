// SPDX-License-Identifier: Apache-2.0

package jitter

import (
	"fmt"
	"math"
	"strconv"

	"sandstream/internal/report/plot"
	"sandstream/internal/report/results"
	"sandstream/internal/report/stats"
	"sandstream/lab/points"
)

func show(report *points.Report, list []*result, seed uint64) error {
	report.Text("Delay of UDP frames through one port of a one-CPU machine. Clock: " + points.Clock + ".")
	for _, m := range modes {
		if err := report.Table(table(list, m.name, m.title)); err != nil {
			return err
		}
	}
	if err := report.Run.Raw(histograms(list)); err != nil {
		return err
	}
	for _, c := range charts(list) {
		if err := report.Chart(c); err != nil {
			return err
		}
	}
	if err := report.Table(points.Claims("claims", "What the sandbox must show", "met", "not met", claims(list))); err != nil {
		return err
	}
	if err := report.Table(ratios(list, seed)); err != nil {
		return err
	}
	return report.Table(points.Claims("paper", "What the paper says, and what came out here (5,000 frames per second)",
		"agrees", "contradicts the paper", paper(list)))
}

func table(list []*result, mode, title string) *results.Table {
	t := &results.Table{
		Name:  mode,
		Title: "Forwarding delay in ns of guest virtual time, " + title,
		Note: "PDV: P99.9 - min (RFC 8219), with the 95 % interval of a bootstrap; of 1,000 frames at least. Lost: not forwarded, ring drops included. Arrival SD: standard deviation of\n" +
			"the time between two arrivals at the subscriber; IPDV: difference of the delays of neighbours (RFC 3393). Stamps are exact to 1 ns.",
		Columns: []string{
			"contender", "processes", "frames", "lost (%)", "min", "P50", "P99", "P99.9", "max", "PDV", "PDV low", "PDV high",
			"arrival SD", "mean |IPDV|", "max |IPDV|",
		},
	}
	for _, r := range list {
		if r.mode != mode {
			continue
		}
		n := len(r.delays)
		t.Row(r.point.Contender.Title, r.point.Hogs, n, 100*float64(r.offered-n)/float64(r.offered), r.quantile(0), r.quantile(.5), r.quantile(.99),
			r.quantile(tail), r.quantile(1), r.pdv, r.pdvLo, r.pdvHi, r.arrivalSD, r.ipdvMean, r.ipdvMax)
	}
	return t
}

// histograms has the delays of all runs in bins an eighth of an octave wide.
func histograms(list []*result) *results.Table {
	t := &results.Table{Name: "histograms", Columns: []string{"contender", "processes", "mode", "from_ns", "to_ns", "frames"}}
	for _, r := range list {
		h := stats.NewLogHist(40, 8)
		for _, d := range r.delays {
			h.Add(d)
		}
		for i, n := range h.Counts {
			if n > 0 {
				t.Row(r.point.Contender.Name, r.point.Hogs, r.mode, h.Edge(i), h.Edge(i+1), n)
			}
		}
	}
	return t
}

func levels(list []*result) []int {
	return points.LevelsOf(list, func(r *result) int { return r.point.Hogs })
}

func find(list []*result, contender, mode string, hogs int) *result {
	for _, r := range list {
		if r.point.Contender.Name == contender && r.mode == mode && r.point.Hogs == hogs {
			return r
		}
	}
	return nil
}

func charts(list []*result) []*plot.Chart {
	all := levels(list)
	if len(all) == 0 {
		return nil
	}
	var made []*plot.Chart
	for _, m := range modes {
		pdv := &plot.Chart{
			Name: "pdv-" + m.name, Title: "Delay variation (P99.9 - min) at " + m.title,
			X: points.LevelAxis(all), Y: plot.Axis{Label: "ns of guest virtual time", Scale: plot.Log10}, Legend: plot.TopLeft,
		}
		sd := &plot.Chart{
			Name: "arrival-" + m.name, Title: "Arrival-time variation at the subscriber at " + m.title,
			X: points.LevelAxis(all), Y: plot.Axis{Label: "standard deviation of inter-arrival times, ns", Scale: plot.Log10}, Legend: plot.TopLeft,
		}
		for _, c := range points.Contenders() {
			p, a := plot.Series{Points: true}, plot.Series{Points: true}
			for _, hogs := range all {
				r := find(list, c.Name, m.name, hogs)
				if r == nil || math.IsNaN(r.pdv) {
					continue
				}
				p.Name, a.Name = c.Title, c.Title
				p.X, p.Y = append(p.X, points.LevelPlace(all, hogs)), append(p.Y, max(r.pdv, 1))
				p.Lo, p.Hi = append(p.Lo, max(r.pdvLo, 1)), append(p.Hi, max(r.pdvHi, 1))
				a.X, a.Y = append(a.X, points.LevelPlace(all, hogs)), append(a.Y, max(r.arrivalSD, 1))
			}
			pdv.Series, sd.Series = append(pdv.Series, p), append(sd.Series, a)
		}
		made = append(made, pdv, sd)
	}
	return append(made, distributions(list, all)...)
}

// distributions draws which share of the frames took longer than a delay, for the
// lowest and the highest level.
func distributions(list []*result, all []int) []*plot.Chart {
	var made []*plot.Chart
	for _, hogs := range points.Ends(all) {
		c := &plot.Chart{
			Name: "delays-" + strconv.Itoa(hogs), Title: fmt.Sprintf("Share of frames slower than a delay, %d background processes, 5,000 frames per second", hogs),
			X:      plot.Axis{Label: "forwarding delay, ns of guest virtual time", Scale: plot.Log10},
			Y:      plot.Axis{Label: "share of frames", Scale: plot.Log10, Min: 2e-5, Max: 40}, // room for the legend
			Legend: plot.TopRight,
		}
		for _, who := range points.Contenders() {
			s := plot.Series{}
			if r := find(list, who.Name, "steady", hogs); r != nil && len(r.delays) > 0 {
				s = slower(r.delays)
				s.Name = who.Title
			}
			c.Series = append(c.Series, s)
		}
		made = append(made, c)
	}
	return made
}

// slower is the complementary distribution of sorted delays as a curve of a few
// hundred points, more of them where the share is small.
func slower(delays []float64) plot.Series {
	n := len(delays)
	var s plot.Series
	at := func(i int) {
		s.X, s.Y = append(s.X, delays[i]), append(s.Y, float64(n-i)/float64(n))
	}
	for left := n; left > 0; left = min(left-1, int(float64(left)*0.97)) {
		at(n - left)
	}
	return s
}

func claims(list []*result) []points.Claim {
	a, b := find(list, "sandbox", "steady", 128), find(list, "sandbox", "steady", 0)
	value, frames, share := math.NaN(), math.NaN(), math.NaN()
	if a != nil && b != nil {
		value = a.pdv / b.pdv
		frames = float64(min(len(a.delays), len(b.delays)))
		share = 1 / min(a.pdv, b.pdv)
	}
	saturated := math.NaN()
	if a, b := find(list, "sandbox", "saturated", 128), find(list, "sandbox", "saturated", 0); a != nil && b != nil {
		saturated = a.pdv / b.pdv
	}
	return []points.Claim{
		{Text: "sandbox PDV at 5,000 frames per second, 128 processes against 0", Bar: "≤ 1.10", Value: value, Met: points.AtMost(1.10)},
		{Text: "frames behind it", Bar: "≥ 20,000", Value: frames, Met: points.AtLeast(steadyFrames)},
		{Text: "stamps: resolution against PDV", Bar: "≤ 0.01", Value: share, Met: points.AtMost(0.01)},
		{Text: "sandbox PDV saturated, 128 processes against 0", Bar: "≤ 1.10", Value: saturated, Met: points.AtMost(1.10)},
	}
}

// ratios sets the highest level against the lowest for every contender.
func ratios(list []*result, seed uint64) *results.Table {
	t := &results.Table{
		Name: "ratios", Title: "PDV with the most background processes against that with the fewest",
		Columns: []string{"contender", "mode", "processes", "against", "ratio", "low", "high"},
		Note:    "The interval is the 95 % one of the bootstrap.",
	}
	all := levels(list)
	if len(all) < 2 {
		return t
	}
	few, many := all[0], all[len(all)-1]
	for _, m := range modes {
		for _, c := range points.Contenders() {
			a, b := find(list, c.Name, m.name, many), find(list, c.Name, m.name, few)
			if a == nil || b == nil {
				continue
			}
			value, lo, hi := ratio(a, b, seed)
			t.Row(c.Title, m.name, many, few, value, lo, hi)
		}
	}
	return t
}

func paper(list []*result) []points.Claim {
	quotient := func(contender string) float64 {
		a, b := find(list, contender, "steady", 128), find(list, contender, "steady", 0)
		if a == nil || b == nil {
			return math.NaN()
		}
		return a.pdv / b.pdv
	}
	return []points.Claim{
		{Text: "the sandbox's jitter does not grow with the processes, 128 against 0", Bar: "≤ 1.25", Value: quotient("sandbox"), Met: points.AtMost(1.25)},
		{Text: "the kernel thread's does", Bar: "> 1.25", Value: quotient("kthread"), Met: func(v float64) bool { return v > 1.25 }},
		{Text: "user sockets' does", Bar: "> 1.25", Value: quotient("user"), Met: func(v float64) bool { return v > 1.25 }},
	}
}
