// SPDX-License-Identifier: Apache-2.0

package penalty

import (
	"bytes"
	"context"
	"math"
	"runtime"
	"testing"

	"sandstream/internal/model/scenario"
	"sandstream/internal/report/stats"
)

func resolve(t *testing.T, f scenario.Flags, curves string) (*scenario.Scenario, *plan) {
	t.Helper()
	if f.Placement == "" {
		f.Placement = string(scenario.OnRouters)
	}
	sc, err := f.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	p, err := makePlan(f, curves)
	if err != nil {
		t.Fatal(err)
	}
	return sc, p
}

// The same seed gives the same bytes, whatever the number of threads: all
// curves, the parallel ones included.
func TestSameBytesOnAnyNumberOfThreads(t *testing.T) {
	sc, p := resolve(t, scenario.Flags{Hosts: 2000, Seed: 5, Seeds: 3}, "all")
	csv := func(threads int) []byte {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
		g, err := run(context.Background(), sc, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		cdf, _ := distribution(p, g)
		var b bytes.Buffer
		for _, err := range []error{summary(sc, p, g).WriteCSV(&b), needs(sc, p, g).WriteCSV(&b), perSeed(sc, p, g).WriteCSV(&b), cdf.WriteCSV(&b)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return b.Bytes()
	}
	want := csv(1)
	for _, threads := range []int{2, 5} {
		if !bytes.Equal(csv(threads), want) {
			t.Errorf("%d threads give other bytes than one", threads)
		}
	}
}

// The paper's claim at its size: greedy saves about 39 % of mean latency on
// the 2-ary 16-cube and 29 % on the 16-ary 4-cube; ordered and random coincide.
func TestGreedySaves(t *testing.T) {
	for _, c := range []struct {
		placement scenario.Placement
		low, high [2]float64
	}{
		{scenario.OnRouters, [2]float64{34, 25}, [2]float64{44, 34}},
		{scenario.AreNodes, [2]float64{38, 26}, [2]float64{48, 37}},
	} {
		sc, p := resolve(t, scenario.Flags{Hosts: 65536, Seed: 1, Seeds: 12, Placement: string(c.placement)}, "paper")
		g, err := run(context.Background(), sc, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, curve := range p.curves {
			saved := stats.Mean(g.against(p, i, ordered, func(o, base *outcome) float64 { return 100 * (1 - o.latency/base.latency) }))
			switch curve.routing {
			case greedy:
				if low, high := c.low[curve.overlay], c.high[curve.overlay]; saved < low || saved > high {
					t.Errorf("%s, %s saves %.1f %%, want %g to %g", c.placement, curve.name, saved, low, high)
				}
			case random:
				if math.Abs(saved) > 3 {
					t.Errorf("%s, %s saves %.1f %%, want about none", c.placement, curve.name, saved)
				}
			}
		}
	}
}

// The further curves at the paper's size: lookahead closes half of the gap,
// and landmarks bring the penalty down to what is a third of chance.
func TestBetterThanThePaper(t *testing.T) {
	sc, p := resolve(t, scenario.Flags{Hosts: 65536, Seed: 1, Seeds: 1}, "all")
	g, err := run(context.Background(), sc, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	median := map[string]float64{}
	for i, c := range p.curves {
		median[c.name] = g.done[i][0].penalty.Quantile(.5)
		if c.name == "2-ary 16-cube lookahead-3" {
			if gap := g.gap(p, i); gap < 50 {
				t.Errorf("lookahead of 3 hops closes %.0f %% of the gap between greedy and the best path", gap)
			}
		}
	}
	if near, far := median["3-ary 11-cube greedy, ids by landmarks"], median["2-ary 16-cube greedy"]; near > .55*far {
		t.Errorf("median penalty %.2f with ids by landmarks, %.2f with the paper's", near, far)
	}
}
