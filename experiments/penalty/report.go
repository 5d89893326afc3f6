// SPDX-License-Identifier: Apache-2.0

package penalty

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"sandstream/internal/model/routing"
	"sandstream/internal/model/scenario"
	"sandstream/internal/report/plot"
	"sandstream/internal/report/results"
	"sandstream/internal/report/stats"
)

// gridStep: the figure's points lie at 2^(i/gridStep).
const (
	gridStep = 8
	gridMax  = 9 // 2^9 = 512, the end of the paper's axis
)

// report prints and writes all that is finished.
func report(r *results.Run, sc *scenario.Scenario, p *plan, g *gathered) error {
	if err := r.Table(summary(sc, p, g)); err != nil {
		return err
	}
	if t := needs(sc, p, g); len(t.Rows) > 0 {
		if err := r.Table(t); err != nil {
			return err
		}
	}
	if t := paired(p, g); len(t.Rows) > 0 {
		if err := r.Table(t); err != nil {
			return err
		}
	}
	if err := r.Raw(perSeed(sc, p, g)); err != nil {
		return err
	}
	cdf, series := distribution(p, g)
	if err := r.Raw(cdf); err != nil {
		return err
	}
	var six []plot.Series
	for i, c := range p.curves {
		if c.paper {
			six = append(six, series[i])
		}
	}
	if err := r.Chart(figure(sc, "figure4", six)); err != nil {
		return err
	}
	if len(six) == len(series) {
		return nil
	}
	if err := r.Chart(figure(sc, "beyond", beyond(p, series))); err != nil {
		return err
	}
	if cubes := byCube(p, series); len(cubes) > 2 {
		return r.Chart(figure(sc, "cubes", cubes))
	}
	return nil
}

// beyond is the paper's curves (solid) and, dashed, those that go past them:
// all on the first cube, and the landmark placements of the strict one. So
// many bands would hide each other: they are in the other figures and in the
// CSV files.
func beyond(p *plan, series []plot.Series) []plot.Series {
	var list, more []plot.Series
	landmarks := map[int]bool{}
	for i, c := range p.curves {
		s := series[i]
		s.Lo, s.Hi = nil, nil
		o := p.overlays[c.overlay]
		switch {
		case c.paper:
			list = append(list, s)
			continue
		case o.ids == byLandmarks:
			// Of the cubes with landmarks the first two: the paper's and the
			// strict choice.
			if landmarks[c.overlay] = true; len(landmarks) > 2 {
				continue
			}
		case c.overlay != 0:
			continue
		}
		s.Dashed = true
		more = append(more, s)
	}
	return append(list, more...)
}

// byCube compares cubes under one routing, ids at random: greedy (solid) and
// the best path (dashed).
func byCube(p *plan, series []plot.Series) []plot.Series {
	var list []plot.Series
	for i, c := range p.curves {
		if p.overlays[c.overlay].ids != byChance {
			continue
		}
		switch c.routing {
		case greedy, greedyFixed, best:
			s := series[i]
			s.Dashed = c.routing == best
			list = append(list, s)
		}
	}
	return list
}

func figure(sc *scenario.Scenario, name string, series []plot.Series) *plot.Chart {
	title := fmt.Sprintf("%d hosts, %s, %d seeds (bands: 5 to 95 %% of seeds)", sc.Hosts, sc.Placement, sc.Seeds)
	return &plot.Chart{
		Name: name, Title: title,
		X:      plot.Axis{Label: "delay penalty", Scale: plot.Log2, Min: 1, Max: 1 << gridMax},
		Y:      plot.Axis{Label: "cumulative % of subscribers", Min: 0, Max: 100},
		Series: series,
	}
}

// finished is the outcomes of curve c, in the order of seeds.
func (g *gathered) finished(c int) []*outcome {
	var list []*outcome
	for _, o := range g.done[c] {
		if o != nil {
			list = append(list, o)
		}
	}
	return list
}

func column(list []*outcome, f func(*outcome) float64) []float64 {
	x := make([]float64, len(list))
	for i, o := range list {
		x[i] = f(o)
	}
	return x
}

func summary(sc *scenario.Scenario, p *plan, g *gathered) *results.Table {
	t := &results.Table{
		Name:  "penalty",
		Title: fmt.Sprintf("Delay penalty: %d hosts, %s, seeds %d..%d", sc.Hosts, sc.Describe(), sc.Seed, sc.Seed+uint64(sc.Seeds)-1),
		Note: "median, p95: of the subscribers' penalties, mean over seeds; ± is the standard deviation over seeds\n" +
			"ratio: mean overlay latency / mean unicast latency; saves: of mean latency, against ordered on the same ids\n" +
			"gap: share of the way from greedy to the best path on the same ids; tree: cost of the distribution tree / IP multicast's",
		Columns: []string{"curve", "seeds", "median", "±median", "p95", "ratio", "±ratio", "saves %", "±saves %", "gap %", "tree"},
	}
	for i, c := range p.curves {
		list := g.finished(i)
		if len(list) == 0 {
			continue
		}
		med := stats.Summarize(column(list, func(o *outcome) float64 { return o.penalty.Quantile(.5) }))
		ratio := stats.Summarize(column(list, func(o *outcome) float64 {
			if c.routing == multicast {
				return o.latency / (o.unicast * o.rpDetour)
			}
			return o.latency / o.unicast
		}))
		saves := stats.Summarize(g.against(p, i, ordered, func(o, base *outcome) float64 { return 100 * (1 - o.latency/base.latency) }))
		tree := stats.Mean(column(list, func(o *outcome) float64 {
			if o.tree == 0 {
				return math.NaN()
			}
			return o.tree
		}))
		t.Row(c.name, len(list), med.Mean, med.SD, stats.Mean(column(list, func(o *outcome) float64 { return o.penalty.Quantile(.95) })),
			ratio.Mean, ratio.SD, saves.Mean, nanIfNone(saves), g.gap(p, i), tree)
	}
	return t
}

func nanIfNone(s stats.Summary) float64 {
	if s.N == 0 {
		return math.NaN()
	}
	return s.SD
}

// against compares curve c with another routing on the same overlay, seed by
// seed.
func (g *gathered) against(p *plan, c int, routing string, f func(o, base *outcome) float64) []float64 {
	var list []float64
	for b, base := range p.curves {
		if base.overlay != p.curves[c].overlay || base.routing != routing || b == c {
			continue
		}
		for s := range g.done[c] {
			if g.done[c][s] != nil && g.done[b][s] != nil {
				list = append(list, f(g.done[c][s], g.done[b][s]))
			}
		}
	}
	return list
}

// gap is how much of the mean latency between greedy and the best path a
// lookahead routing saves, in percent; NaN for other routings.
func (g *gathered) gap(p *plan, c int) float64 {
	if !strings.HasPrefix(p.curves[c].routing, lookahead) {
		return math.NaN()
	}
	over := stats.Mean(g.against(p, c, greedy, func(o, base *outcome) float64 { return base.latency - o.latency }))
	left := stats.Mean(g.against(p, c, best, func(o, base *outcome) float64 { return o.latency - base.latency }))
	return 100 * over / (over + left)
}

// needs says what each overlay and routing costs a host.
func needs(sc *scenario.Scenario, p *plan, g *gathered) *results.Table {
	t := &results.Table{
		Name:  "needs",
		Title: "What it costs each host (mean)",
		Note: "ids: owned by a host on average, and by the host with most; link costs: numbers a host keeps to route; tells: hosts it tells when its own link costs change\n" +
			"per stream: numbers kept and messages sent for each stream (best path: a flooded announcement, first copy wins)\n" +
			"join: distances measured once to find ids by proximity; map: 32-bit words told to a host that joins",
		Columns: []string{"curve", "ids", "most ids", "link costs", "tells", "state/stream", "messages/stream", "join", "map"},
	}
	for i, c := range p.curves {
		list := g.finished(i)
		if len(list) == 0 || c.routing == multicast {
			continue
		}
		o := p.overlays[c.overlay]
		ids := float64(o.cube.IDs()) / float64(sc.Hosts)
		deg := float64(o.cube.Degree())
		var costs, tells, state, messages float64
		switch {
		case c.routing == greedy, c.routing == greedyFixed:
			costs = deg
		case c.routing == best:
			state, messages = 2, deg-1
		case strings.HasPrefix(c.routing, lookahead):
			depth, err := strconv.Atoi(strings.TrimPrefix(c.routing, lookahead))
			if err == nil {
				a, b := (&routing.Overlay{Cube: o.cube}).LookaheadState(depth)
				costs, tells = float64(a), float64(b)
			}
		}
		join := stats.Mean(column(list, func(o *outcome) float64 { return o.effort.Measurements }))
		words := stats.Mean(column(list, func(o *outcome) float64 { return float64(o.effort.MapWords) }))
		most := stats.Mean(column(list, func(o *outcome) float64 { return o.mostIDs }))
		t.Row(c.name, ids, most, ids*costs, ids*tells, ids*state, ids*messages, join, words)
	}
	return t
}

// paired compares the other cubes under greedy routing, ids at random, with
// the first one, seed by seed: same network, same publisher.
func paired(p *plan, g *gathered) *results.Table {
	t := &results.Table{
		Name:    "cubes",
		Title:   "Cubes under greedy routing against the " + p.overlays[0].cube.String() + ", seed by seed",
		Note:    "change of mean latency, mean over seeds ± standard deviation; less is better",
		Columns: []string{"curve", "seeds", "change %", "±", "better in"},
	}
	base := -1
	for i, c := range p.curves {
		if c.overlay == 0 && c.routing == greedy {
			base = i
		}
	}
	for i, c := range p.curves {
		if c.paper || p.overlays[c.overlay].ids != byChance || c.routing != greedy && c.routing != greedyFixed {
			continue
		}
		var change []float64
		better := 0
		for s, o := range g.done[i] {
			if b := g.done[base][s]; o != nil && b != nil {
				change = append(change, 100*(o.latency/b.latency-1))
				if o.latency < b.latency {
					better++
				}
			}
		}
		if len(change) > 0 {
			x := stats.Summarize(change)
			t.Row(c.name, x.N, x.Mean, x.SD, better)
		}
	}
	return t
}

func perSeed(sc *scenario.Scenario, p *plan, g *gathered) *results.Table {
	t := &results.Table{Name: "seeds", Columns: []string{"curve", "seed", "median", "p05", "p95", "mean latency", "mean unicast", "tree"}}
	for i, c := range p.curves {
		for s, o := range g.done[i] {
			if o != nil {
				t.Row(c.name, sc.Seed+uint64(s), o.penalty.Quantile(.5), o.penalty.Quantile(.05), o.penalty.Quantile(.95), o.latency, o.unicast, o.tree)
			}
		}
	}
	return t
}

// distribution is the cumulative curves, averaged over seeds, with bands.
func distribution(p *plan, g *gathered) (*results.Table, []plot.Series) {
	t := &results.Table{Name: "cdf", Columns: []string{"curve", "penalty", "mean %", "p05 %", "p95 %"}}
	series := make([]plot.Series, len(p.curves))
	for i, c := range p.curves {
		list := g.finished(i)
		s := plot.Series{Name: c.name}
		for step := 0; step <= gridMax*gridStep && len(list) > 0; step++ {
			x := math.Exp2(float64(step) / gridStep)
			share := stats.Summarize(column(list, func(o *outcome) float64 { return 100 * o.penalty.CDF(x) }))
			t.Row(c.name, x, share.Mean, share.P05, share.P95)
			s.X, s.Y = append(s.X, x), append(s.Y, share.Mean)
			s.Lo, s.Hi = append(s.Lo, share.P05), append(s.Hi, share.P95)
		}
		if len(list) < 2 {
			s.Lo, s.Hi = nil, nil
		}
		series[i] = s
	}
	return t, series
}
