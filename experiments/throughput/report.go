// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"sandstream/internal/report/plot"
	"sandstream/internal/report/results"
	"sandstream/lab/points"
)

func show(report *points.Report, list []*result, _ uint64) error {
	report.Text("UDP forwarding on one port of a one-CPU machine. Clock: " + points.Clock + ".")
	if err := report.Table(mainTable(list)); err != nil {
		return err
	}
	if err := report.Run.Raw(rungTable(list)); err != nil {
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
	return report.Table(points.Claims("paper", "What the paper's Figure 9 shows, and what came out here (best rates)",
		"agrees", "contradicts the paper", paper(list)))
}

func mainTable(list []*result) *results.Table {
	t := &results.Table{
		Name:  "throughput",
		Title: "Frames forwarded per second of guest virtual time",
		Note: "Saturated: 800,000 frames per second offered. Best: the most forwarded at any offered rate. Per 10^6: frames per million instructions not spent\n" +
			"in the generator, saturated. Background: share of all instructions that the CPU-bound processes had, saturated and at the loss-free rate.\n" +
			"Ring drops: share of the offered frames for which the receive ring had no room, saturated.",
		Columns: []string{
			"contender", "processes", "loss-free", "at 0.5 % loss", "saturated", "best", "saturated (Mbit/s)", "best (Mbit/s)", "per 10^6",
			"ring drops (%)", "background (%)", "background at loss-free (%)", "ksoftirqd (%)", "time squeezes",
		},
	}
	for _, r := range list {
		s, best := r.saturated, r.peak()
		t.Row(r.point.Contender.Title, r.point.Hogs, r.lossFree, r.halfPercent, s.Forwarded(), best.Forwarded(), s.Mbit(), best.Mbit(), s.PerMillion(),
			100*float64(s.WinMissed)/float64(s.WinOffered), 100*s.Background(), 100*r.backgroundAt(r.lossFree),
			100*float64(s.WinKsoftirqd)/float64(s.WinTicks), s.WinSqueezed)
	}
	return t
}

// backgroundAt is the background's share at the rung of that rate; NaN if there
// is none.
func (r *result) backgroundAt(rate float64) float64 {
	for _, l := range r.rungs {
		if math.Abs(l.Rate/rate-1) < 1e-4 {
			return l.Background()
		}
	}
	return math.NaN()
}

func rungTable(list []*result) *results.Table {
	t := &results.Table{Name: "rungs", Columns: []string{
		"contender", "processes", "kind", "rate", "offered", "missed", "returned", "loss", "forwarded", "per_million", "background",
		"window_ns", "generator_ns", "ksoftirqd_ns", "time_squeezes", "context_switches", "burst_max",
	}}
	for _, r := range list {
		lines := append([]points.Line{r.saturated}, r.rungs...)
		slices.SortStableFunc(lines, func(a, b points.Line) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Rate, b.Rate))
		})
		for _, l := range lines {
			t.Row(r.point.Contender.Name, r.point.Hogs, l.Kind, l.Rate, uint64(l.Offered), uint64(l.Missed), uint64(l.Returned), l.Loss(), l.Forwarded(),
				l.PerMillion(), l.Background(), l.WinTicks, l.WinSpent, l.WinKsoftirqd, l.WinSqueezed, l.WinSwitches, uint64(l.BurstMax))
		}
	}
	return t
}

func charts(list []*result) []*plot.Chart {
	if len(list) == 0 {
		return nil
	}
	all := points.LevelsOf(list, func(r *result) int { return r.point.Hogs })
	processes := points.LevelAxis(all)
	saturated := &plot.Chart{
		Name: "figure9", Title: "Bandwidth forwarded when saturated (800,000 frames/s offered)",
		X: processes, Y: plot.Axis{Label: "Mbit per second of guest virtual time"}, Legend: plot.TopRight,
	}
	best := &plot.Chart{
		Name: "best", Title: "Most bandwidth forwarded at any offered rate",
		X: processes, Y: plot.Axis{Label: "Mbit per second of guest virtual time"}, Legend: plot.TopRight,
	}
	free := &plot.Chart{
		Name: "lossfree", Title: "Highest rate without loss",
		X: processes, Y: plot.Axis{Label: "frames per second of guest virtual time", Scale: plot.Log10, Min: 100, Max: 1e6}, Legend: plot.BottomLeft,
	}
	background := &plot.Chart{
		Name: "background", Title: "What the background processes got, forwarder saturated",
		X: processes, Y: plot.Axis{Label: "% of all instructions", Min: 0, Max: 100}, Legend: plot.TopLeft,
	}
	for _, c := range points.Contenders() {
		var s, b, f, g plot.Series
		for _, r := range list {
			if r.point.Contender.Name != c.Name {
				continue
			}
			x := points.LevelPlace(all, r.point.Hogs)
			add(&s, x, r.saturated.Mbit())
			peak := r.peak()
			add(&b, x, peak.Mbit())
			add(&f, x, max(r.lossFree, 100))
			add(&g, x, 100*r.saturated.Background())
		}
		for _, p := range []struct {
			chart  *plot.Chart
			series plot.Series
		}{{saturated, s}, {best, b}, {free, f}, {background, g}} {
			// An absent contender keeps its colour: an empty series is drawn as nothing.
			p.series.Points = true
			if len(p.series.X) > 0 {
				p.series.Name = c.Title
			}
			p.chart.Series = append(p.chart.Series, p.series)
		}
	}
	for _, c := range []*plot.Chart{saturated, best} {
		c.Y.Max = roomForLegend(c.Series)
	}
	return append([]*plot.Chart{saturated, best, free, background}, ladders(list, all)...)
}

// roomForLegend is an upper end of the y axis that leaves the legend's corner free.
func roomForLegend(list []plot.Series) float64 {
	top := 1.0
	for _, s := range list {
		for _, y := range s.Y {
			top = max(top, y)
		}
	}
	return 1.35 * top
}

func add(s *plot.Series, x, y float64) {
	s.X, s.Y = append(s.X, x), append(s.Y, y)
}

// ladders draws forwarded against offered, for the lowest and the highest level.
func ladders(list []*result, all []int) []*plot.Chart {
	var made []*plot.Chart
	for _, hogs := range points.Ends(all) {
		c := &plot.Chart{
			Name: "ladder-" + strconv.Itoa(hogs), Title: "Forwarded against offered, " + strconv.Itoa(hogs) + " background processes",
			X:      plot.Axis{Label: "offered, thousand frames per second of guest virtual time"},
			Y:      plot.Axis{Label: "forwarded, thousand frames per second"},
			Legend: plot.TopLeft,
		}
		for _, who := range points.Contenders() {
			s := plot.Series{Points: true}
			for _, r := range list {
				if r.point.Contender.Name != who.Name || r.point.Hogs != hogs {
					continue
				}
				s.Name = who.Title
				rungs := slices.Clone(r.rungs)
				slices.SortFunc(rungs, func(a, b points.Line) int { return cmp.Compare(a.Rate, b.Rate) })
				for _, l := range rungs {
					add(&s, l.Rate/1000, l.Forwarded()/1000)
				}
			}
			c.Series = append(c.Series, s)
		}
		made = append(made, c)
	}
	return made
}

// find returns the point of a contender at a level, nil if it was not measured.
func find(list []*result, contender string, hogs int) *result {
	for _, r := range list {
		if r.point.Contender.Name == contender && r.point.Hogs == hogs {
			return r
		}
	}
	return nil
}

// saturated is the rate forwarded under overload, best the highest at any offered
// rate; NaN if it was not measured.
func saturated(list []*result, contender string, hogs int) float64 {
	if r := find(list, contender, hogs); r != nil {
		return r.saturated.Forwarded()
	}
	return math.NaN()
}

func best(list []*result, contender string, hogs int) float64 {
	if r := find(list, contender, hogs); r != nil {
		peak := r.peak()
		return peak.Forwarded()
	}
	return math.NaN()
}

// reserved is the sandbox's share of the CPU.
const reserved = float64(points.ReservedRuntime) / float64(points.ReservedPeriod)

func claims(list []*result) []points.Claim {
	drops := math.NaN()
	if a, b := find(list, "sandbox", 0), find(list, "sandbox", 128); a != nil && b != nil {
		drops = min(float64(a.saturated.WinMissed)/float64(a.saturated.WinOffered), float64(b.saturated.WinMissed)/float64(b.saturated.WinOffered))
	}
	used := math.NaN()
	if b := find(list, "sandbox", 128); b != nil {
		used = 1 - b.saturated.Background()
	}
	free := math.NaN()
	if a, b := find(list, "sandbox", 0), find(list, "sandbox", 128); a != nil && b != nil && a.lossFree > 0 {
		free = b.lossFree / a.lossFree
	}
	return []points.Claim{
		{Text: "sandbox saturated, 128 processes against 0", Bar: "≥ 0.98", Value: saturated(list, "sandbox", 128) / saturated(list, "sandbox", 0), Met: points.AtLeast(0.98)},
		{Text: "both are saturated: share of frames the receive ring had no room for", Bar: "> 0", Value: drops, Met: func(v float64) bool { return v > 0 }},
		{Text: "and use the whole reservation: share of all instructions that 128 processes did not get", Bar: fmt.Sprintf("≥ %.2f", reserved), Value: used, Met: points.AtLeast(reserved)},
		{Text: "sandbox loss-free rate, 128 processes against 0", Bar: "≥ 0.98", Value: free, Met: points.AtLeast(0.98)},
	}
}

func paper(list []*result) []points.Claim {
	ratio := func(a string, na int, b string, nb int) float64 { return best(list, a, na) / best(list, b, nb) }
	return []points.Claim{
		{Text: "0 processes: kernel thread a little above the sandbox", Bar: "1 to 1.25", Value: ratio("kthread", 0, "sandbox", 0), Met: func(v float64) bool { return v >= 1 && v <= 1.25 }},
		{Text: "0 processes: user sockets below the sandbox", Bar: "< 1", Value: ratio("user", 0, "sandbox", 0), Met: func(v float64) bool { return v < 1 }},
		{Text: "0 processes: user sockets below the kernel thread", Bar: "< 1", Value: ratio("user", 0, "kthread", 0), Met: func(v float64) bool { return v < 1 }},
		{Text: "the sandbox stays nearly constant, 128 against 0", Bar: "≥ 0.9", Value: ratio("sandbox", 128, "sandbox", 0), Met: points.AtLeast(0.9)},
		{Text: "the kernel thread falls, 128 against 0", Bar: "< 0.9", Value: ratio("kthread", 128, "kthread", 0), Met: func(v float64) bool { return v < 0.9 }},
		{Text: "user sockets fall, 128 against 0", Bar: "< 0.9", Value: ratio("user", 128, "user", 0), Met: func(v float64) bool { return v < 0.9 }},
	}
}
