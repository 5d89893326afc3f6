// SPDX-License-Identifier: Apache-2.0

// Package adaptive measures how many subscribers get the latency they ask for
// when hosts may exchange ids.
package adaptive

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/internal/model/adaptive"
	"sandstream/internal/model/cube"
	"sandstream/internal/model/placement"
	"sandstream/internal/model/scenario"
	"sandstream/internal/report/plot"
	"sandstream/internal/report/results"
	"sandstream/internal/report/stats"
)

// Methods, in the order of the tables.
var methods = []string{"none", "swap (Figure 5)", "bounded, D=1", "exchange", "none, ids by landmarks", "exchange, ids by landmarks"}

// Command is 'experiments adaptive'.
func Command() *cobra.Command {
	var f scenario.Flags
	var spread float64
	var depth, asks, rounds int
	var constraint string
	cmd := &cobra.Command{
		Use:   "adaptive",
		Short: "Figure 5: adaptive node ids, success ratio and lateness over group sizes",
		Long: `A random publisher serves groups of 512 to --hosts subscribers, who join one after
the other, along greedy routes. A subscriber succeeds if its path costs no more
than its constraint; normalised lateness is max(0, cost - c)/c.

The paper does not say how constraints are distributed. --constraint unicast
(the default) draws c uniformly from 1 to --spread times the subscriber's unicast
latency: what a subscriber can ask for depends on where it is. --constraint
absolute draws c uniformly from 0 to --spread times the mean unicast latency.

Methods: none; the paper's Figure 5; its depth-bounded form (--depth); agreed
exchanges (ours: --asks requests by each late subscriber in each of --rounds);
and the same with ids placed by proximity.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sc, err := f.Resolve()
			if err != nil {
				return err
			}
			switch {
			case constraint != "unicast" && constraint != "absolute":
				return fail.Usagef("--constraint is %q; possible are unicast and absolute", constraint)
			case !(spread > 1):
				return fail.Usagef("--spread is %g; it must be more than 1", spread)
			case depth < 0 || asks < 0 || rounds < 0:
				return fail.Usagef("--depth, --asks and --rounds are %d, %d and %d; the least possible is 0", depth, asks, rounds)
			}
			paper, err := scenario.PaperCubes(f.Hosts)
			if err != nil {
				return err
			}
			cubes, err := f.Cubes(paper[0])
			if err != nil {
				return err
			}
			if cubes[0].IDs() != f.Hosts {
				return fail.Usagef("adaptive ids exchange one id for one: --hosts must equal the %d ids of the %v", cubes[0].IDs(), cubes[0])
			}
			if err := sc.CheckMemory(sc.NetworkBytes() + uint64(f.Hosts)*160*uint64(min(f.Seeds, runtime.GOMAXPROCS(0)))); err != nil {
				return err
			}
			e := &experiment{sc: sc, cube: cubes[0], constraint: constraint, spread: spread, depth: depth, asks: asks, rounds: rounds, sizes: sizes(f.Hosts)}
			r, err := results.Open(cmd, results.Meta{
				Experiment: "adaptive", Seed: f.Seed, Runs: f.Seeds, Clock: "simulated: path lengths",
				Extra: map[string]any{"hosts": f.Hosts, "network": sc.Describe(), "constraint": constraint, "spread": spread},
			})
			if err != nil {
				return err
			}
			bar := r.Progress("adaptive: groups", f.Seeds*len(e.sizes))
			cause := e.run(cmd.Context(), bar)
			bar.Done()
			return r.Close(errors.Join(e.report(r), cause))
		},
	}
	f.Add(cmd.Flags(), 30)
	cmd.Flags().StringVar(&constraint, "constraint", "unicast", "distribution of constraints: unicast or absolute")
	cmd.Flags().Float64Var(&spread, "spread", 14, "constraints go up to this many times unicast")
	cmd.Flags().IntVar(&depth, "depth", 1, "depth of the bounded form")
	cmd.Flags().IntVar(&asks, "asks", 16, "requests of a late subscriber in a round of exchanges")
	cmd.Flags().IntVar(&rounds, "rounds", 6, "rounds of exchanges")
	return cmd
}

// sizes are the powers of two from 512 (or less) to the number of hosts but
// the publisher.
func sizes(hosts int) []int {
	var list []int
	for g := min(512, hosts-1); g < hosts; g *= 2 {
		list = append(list, g)
	}
	return append(list, hosts-1)
}

type experiment struct {
	sc         *scenario.Scenario
	cube       cube.Cube
	constraint string
	spread     float64
	depth      int
	asks       int
	rounds     int
	sizes      []int

	mu   sync.Mutex
	done [][][]*outcome // by size, by seed, by method
	err  error
}

// outcome is one method on one group.
type outcome struct {
	adaptive.Outcome
	messages float64 // per subscriber
	swaps    float64 // per subscriber
}

func (e *experiment) run(ctx context.Context, bar *results.Progress) error {
	e.done = make([][][]*outcome, len(e.sizes))
	for i := range e.done {
		e.done[i] = make([][]*outcome, e.sc.Seeds)
	}
	var wg sync.WaitGroup
	seeds := make(chan int)
	for range min(runtime.GOMAXPROCS(0), e.sc.Seeds) {
		wg.Go(func() {
			for i := range seeds {
				if err := e.seed(ctx, i, bar); err != nil {
					e.mu.Lock()
					e.err = errors.Join(e.err, err)
					e.mu.Unlock()
				}
			}
		})
	}
	for i := range e.sc.Seeds {
		if ctx.Err() != nil {
			break
		}
		seeds <- i
	}
	close(seeds)
	wg.Wait()
	if e.err != nil {
		return e.err
	}
	if ctx.Err() != nil {
		return errors.New("interrupted: only what was finished is reported")
	}
	return nil
}

func (e *experiment) seed(ctx context.Context, i int, bar *results.Progress) error {
	seed := e.sc.Seed + uint64(i)
	n, err := e.sc.Build(seed)
	if err != nil {
		return err
	}
	publisher := uint32(scenario.Rand(seed, scenario.StreamPublisher).IntN(e.sc.Hosts))
	limits := e.limits(n, publisher, seed)
	joiners := scenario.Rand(seed, scenario.StreamGroup).Perm(e.sc.Hosts)
	random, err := placement.Random(e.cube, e.sc.Hosts, seed)
	if err != nil {
		return err
	}
	near, _, err := placement.Landmarks(e.cube, n.Hosts, seed)
	if err != nil {
		return err
	}
	for g, size := range e.sizes {
		if ctx.Err() != nil {
			return nil
		}
		group := make([]uint32, 0, size)
		for _, h := range joiners {
			if uint32(h) != publisher && len(group) < size {
				group = append(group, uint32(h))
			}
		}
		list := make([]*outcome, len(methods))
		for m := range methods {
			ids := random
			if m >= 4 {
				ids = near
			}
			list[m] = e.method(m, n, ids, publisher, group, limits, seed)
		}
		e.mu.Lock()
		e.done[g][i] = list
		e.mu.Unlock()
		bar.Add(1)
	}
	return nil
}

// limits draws the constraint of every host.
func (e *experiment) limits(n *scenario.Network, publisher uint32, seed uint64) []uint32 {
	rng := scenario.Rand(seed, scenario.StreamConstraint)
	limits := make([]uint32, e.sc.Hosts)
	mean := 0.0
	for h := range limits {
		mean += float64(n.Hosts.Dist(publisher, uint32(h))) / float64(e.sc.Hosts)
	}
	for h := range limits {
		u := rng.Float64()
		if e.constraint == "absolute" {
			limits[h] = uint32(u * e.spread * mean)
			continue
		}
		limits[h] = uint32((1 + u*(e.spread-1)) * float64(n.Hosts.Dist(publisher, uint32(h))))
	}
	return limits
}

// method lets the group join by one method and evaluates it.
func (e *experiment) method(m int, n *scenario.Network, ids []uint32, publisher uint32, group, limits []uint32, seed uint64) *outcome {
	s := adaptive.New(e.cube, n.Hosts, append([]uint32(nil), ids...))
	rng := rand.New(rand.NewPCG(seed, uint64(1000+m)))
	limit := make([]uint32, len(limits))
	for i := range limit {
		limit[i] = adaptive.Unlimited
	}
	for _, h := range group {
		switch m {
		case 1:
			s.Swap(h, publisher, limits[h], rng)
		case 2:
			s.Bounded(h, publisher, e.depth)
		}
		s.Subscriber[h] = true
		limit[h] = limits[h]
	}
	if m == 3 || m == 5 {
		for range e.rounds {
			s.Exchange(publisher, group, limit, e.asks, rng)
		}
	}
	size := float64(len(group))
	return &outcome{s.Evaluate(publisher, group, limit), float64(s.Messages) / size, float64(s.Swaps) / size}
}

// report prints the table and draws both figures.
func (e *experiment) report(r *results.Run) error {
	t := &results.Table{
		Name:    "adaptive",
		Title:   fmt.Sprintf("Adaptive ids: %d hosts on a %v, %s, constraints %s up to %g", e.sc.Hosts, e.cube, e.sc.Describe(), e.constraint, e.spread),
		Note:    "success: share of subscribers within their constraint; lateness: mean of max(0, cost - c)/c; mean over seeds, ± standard deviation",
		Columns: []string{"group", "method", "seeds", "success", "±success", "lateness", "±lateness", "swaps/subscriber", "messages/subscriber"},
	}
	seeds := &results.Table{Name: "seeds", Columns: []string{"group", "method", "seed", "success", "lateness"}}
	success, late := make([]plot.Series, len(methods)), make([]plot.Series, len(methods))
	for g, size := range e.sizes {
		for m, name := range methods {
			var ok, tardy, swaps, messages []float64
			for i, list := range e.done[g] {
				if list == nil {
					continue
				}
				o := list[m]
				ok, tardy = append(ok, o.Success), append(tardy, o.Lateness)
				swaps, messages = append(swaps, o.swaps), append(messages, o.messages)
				seeds.Row(size, name, e.sc.Seed+uint64(i), o.Success, o.Lateness)
			}
			if len(ok) == 0 {
				continue
			}
			a, b := stats.Summarize(ok), stats.Summarize(tardy)
			t.Row(size, name, a.N, a.Mean, a.SD, b.Mean, b.SD, stats.Mean(swaps), stats.Mean(messages))
			success[m].Name, late[m].Name = name, name
			add(&success[m], float64(size), a)
			add(&late[m], float64(size), b)
		}
	}
	chart := func(name, label string, series []plot.Series, corner plot.Corner) *plot.Chart {
		return &plot.Chart{
			Name: name, Title: fmt.Sprintf("%d hosts, %v, %d seeds (bands: 5 to 95 %%)", e.sc.Hosts, e.cube, e.sc.Seeds),
			X: plot.Axis{Label: "subscribers", Scale: plot.Log2, Min: float64(e.sizes[0]), Max: float64(e.sc.Hosts)}, Y: plot.Axis{Label: label}, Series: series, Legend: corner,
		}
	}
	bound := chart("success", "success ratio", success, plot.BottomRight)
	bound.Y.Min, bound.Y.Max = 0, 1
	return errors.Join(r.Table(t), r.Raw(seeds), r.Chart(bound), r.Chart(chart("lateness", "normalised lateness", late, plot.TopRight)))
}

func add(s *plot.Series, x float64, y stats.Summary) {
	s.X, s.Y = append(s.X, x), append(s.Y, y.Mean)
	s.Lo, s.Hi = append(s.Lo, y.P05), append(s.Hi, y.P95)
	s.Points = true
}
