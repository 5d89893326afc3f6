// SPDX-License-Identifier: Apache-2.0

// Package topology writes physical networks in the edge-list format and
// compares their statistics with the published ones.
package topology

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/internal/model/topology"
	"sandstream/internal/report/results"
	"sandstream/internal/report/stats"
)

// Command is 'experiments topology'.
func Command() *cobra.Command {
	var spec, out string
	var seed uint64
	var seeds, samples int
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "Write a physical network as an edge list and print its statistics",
		Long: `Draws transit-stub graphs (or reads one from a file) and prints their statistics,
mean and standard deviation over --seeds graphs. With the published parameters
(--topology published) the published values stand beside them. --out writes the
graph of the first seed:

  @nodes 5050                number of nodes (optional, else 1 + the largest named)
  @domain transit 0 4        nodes 0..4 form one transit domain (optional)
  @domain stub 50 59         nodes 50..59 form one stub domain (optional)
  0 17 243                   an edge: node, node, length (1 if left out)
  # anything                 comment

Nodes count from 0; edges have no direction; of parallel edges the shortest
counts; domains are disjoint ascending ranges; the graph must be connected.`,
		Example: `  experiments topology --topology published --seeds 30
  experiments topology --topology T=10,Nt=5,K=10,Ns=10 --out routers.txt
  experiments penalty --topology routers.txt`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if seeds < 1 || samples < 1 {
				return fail.Usagef("--seeds is %d and --samples %d; the least possible is 1", seeds, samples)
			}
			graph, name, err := source(spec)
			if err != nil {
				return err
			}
			r, err := results.Open(cmd, results.Meta{Experiment: "topology", Seed: seed, Runs: seeds, Clock: "none", Extra: map[string]any{"topology": name}})
			if err != nil {
				return err
			}
			bar := r.Progress("topology: graphs", seeds)
			var list []topology.Stats
			var cause error
			for i := range uint64(seeds) {
				if cmd.Context().Err() != nil {
					cause = errors.New("interrupted: only what was finished is reported")
					break
				}
				g, err := graph(seed + i)
				if err != nil {
					return fail.Errorf(fail.ErrUsage, "%w", err)
				}
				if i == 0 && out != "" {
					if err := write(out, g); err != nil {
						return err
					}
				}
				list = append(list, topology.Measure(g, samples, seed+i))
				bar.Add(1)
			}
			bar.Done()
			return r.Close(errors.Join(r.Table(table(name, list, spec == "published")), cause))
		},
	}
	cmd.Flags().StringVar(&spec, "topology", "", `parameters (T=10,Nt=5,K=10,Ns=10,top=.5,transit=.6,stub=.42,ts=0,ss=0), "published", or a file`)
	cmd.Flags().StringVar(&out, "out", "", "write the first graph to this file, which must not exist")
	cmd.Flags().Uint64Var(&seed, "seed", 1, "first seed")
	cmd.Flags().IntVar(&seeds, "seeds", 1, "number of graphs")
	cmd.Flags().IntVar(&samples, "samples", 20, "sources from which paths are measured in each graph")
	return cmd
}

// source gives the function that makes the graph of a seed.
func source(spec string) (func(seed uint64) (*topology.Graph, error), string, error) {
	p := topology.Routers5050
	switch {
	case spec == "published":
		p = topology.Published
	case spec == "":
	case strings.Contains(spec, "="):
		var err error
		if p, err = topology.ParseParams(spec, p); err != nil {
			return nil, "", fail.Usagef("--topology: %w", err)
		}
	default:
		f, err := os.Open(spec)
		if err != nil {
			return nil, "", fail.Usagef("--topology: %w (parameters have the form T=10,Nt=5,...)", err)
		}
		defer f.Close()
		g, err := topology.Read(f, 0)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", spec, err)
		}
		return func(uint64) (*topology.Graph, error) { return g, nil }, spec, nil
	}
	return func(seed uint64) (*topology.Graph, error) { return topology.Generate(p, seed) }, p.String(), nil
}

// write makes a new file: a graph someone has is never overwritten.
func write(name string, g *topology.Graph) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return topology.Write(f, g)
}

// published are the values of the specification topology.Published and their
// standard deviations over graphs; NaN where none was given.
var published = map[string][2]float64{
	"average degree":               {4.66, .03},
	"transit degree":               {15.7, .3},
	"stub degree":                  {4.55, .03},
	"edges inside stubs":           {22094, 138},
	"transit-stub edges":           {900, 0},
	"edges inside transit domains": {286, 17},
	"edges between transits":       {46, 9},
	"length inside stubs":          {41.7, math.NaN()},
	"length transit-stub":          {41.9, math.NaN()},
	"length inside transits":       {236, 8},
	"length between transits":      {388, 42},
	"hops, stub to any":            {8.4, .4},
	"shortest length":              {1013, 96},
}

func table(name string, list []topology.Stats, compare bool) *results.Table {
	t := &results.Table{Name: "topology", Title: "Statistics of " + name, Columns: []string{"statistic", "graphs", "mean", "±"}}
	if compare {
		t.Columns = append(t.Columns, "published", "±published", "deviations apart")
		t.Note = "deviations apart: difference of the means in published standard deviations (in ours where none is published)"
	}
	for _, row := range rows {
		x := make([]float64, len(list))
		for i := range list {
			x[i] = row.get(&list[i])
		}
		s := stats.Summarize(x)
		if s.N == 0 {
			continue
		}
		cells := []any{row.name, s.N, s.Mean, s.SD}
		if compare {
			if p, ok := published[row.name]; ok {
				sd := p[1]
				if math.IsNaN(sd) {
					sd = s.SD
				}
				apart := 0.0
				if s.Mean != p[0] {
					apart = math.Abs(s.Mean-p[0]) / sd
				}
				cells = append(cells, p[0], p[1], apart)
			} else {
				cells = append(cells, nil, nil, nil)
			}
		}
		t.Row(cells...)
	}
	return t
}

var rows = []struct {
	name string
	get  func(*topology.Stats) float64
}{
	{"nodes", func(s *topology.Stats) float64 { return float64(s.Nodes) }},
	{"edges", func(s *topology.Stats) float64 { return float64(s.Edges) }},
	{"average degree", func(s *topology.Stats) float64 { return s.Degree }},
	{"transit degree", func(s *topology.Stats) float64 { return s.TransitDegree }},
	{"stub degree", func(s *topology.Stats) float64 { return s.StubDegree }},
	{"edges inside stubs", func(s *topology.Stats) float64 { return float64(s.IntraStub) }},
	{"transit-stub edges", func(s *topology.Stats) float64 { return float64(s.TransitStub) }},
	{"edges inside transit domains", func(s *topology.Stats) float64 { return float64(s.IntraTransit) }},
	{"edges between transits", func(s *topology.Stats) float64 { return float64(s.InterTransit) }},
	{"edges between stubs", func(s *topology.Stats) float64 { return float64(s.StubStub) }},
	{"edges outside domains", func(s *topology.Stats) float64 { return float64(s.Other) }},
	{"length inside stubs", func(s *topology.Stats) float64 { return s.LenIntraStub }},
	{"length transit-stub", func(s *topology.Stats) float64 { return s.LenTransitStub }},
	{"length inside transits", func(s *topology.Stats) float64 { return s.LenIntraTransit }},
	{"length between transits", func(s *topology.Stats) float64 { return s.LenInterTransit }},
	{"hops, stub to any", func(s *topology.Stats) float64 { return s.Hops }},
	{"shortest length", func(s *topology.Stats) float64 { return s.Length }},
}
