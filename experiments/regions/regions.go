// SPDX-License-Identifier: Apache-2.0

// Package regions tables A(k,n), W(k,n) and the M-regions: for which numbers
// of hosts which cube is the choice, and what growing from one to the next
// asks of a host.
package regions

import (
	"errors"
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/internal/model/cube"
	"sandstream/internal/report/plot"
	"sandstream/internal/report/results"
)

// Command is 'experiments regions'.
func Command() *cobra.Command {
	var from, to, radix, dims int
	cmd := &cobra.Command{
		Use:   "regions",
		Short: "M-regions: the choice of (k, n) for a number of hosts, by the authors' and the strict rule",
		Long: `An M-region is a range of host counts for which one k-ary n-cube is the choice.

authors: among the cubes whose mean number
of hops A is no larger than that of the smallest hypercube holding all hosts,
the one with the most ids. Regions end at powers of two, and each host usually
owns several ids.

strict: the smallest A subject to at least as many ids as hosts; of equals the
one with the most ids.

With --radix and --dims: A, W and the number of shortest routes between the
farthest ids of that cube only.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if radix != 0 || dims != 0 {
				return one(cmd, radix, dims)
			}
			if from < 1 || to < from || to > cube.MaxIDs/16 {
				return fail.Usagef("hosts from %d to %d; possible are 1 <= from <= to <= %d", from, to, cube.MaxIDs/16)
			}
			return all(cmd, from, to)
		},
	}
	cmd.Flags().IntVar(&from, "from", 1, "least number of hosts")
	cmd.Flags().IntVar(&to, "hosts", 1<<22, "largest number of hosts")
	cmd.Flags().IntVar(&radix, "radix", 0, "radix k of one cube to describe")
	cmd.Flags().IntVar(&dims, "dims", 0, "dimensions n of one cube to describe")
	return cmd
}

func one(cmd *cobra.Command, k, n int) error {
	c, err := cube.New(k, n)
	if err != nil {
		return fail.Usagef("--radix %d --dims %d: %w", k, n, err)
	}
	r, err := open(cmd)
	if err != nil {
		return err
	}
	a, _ := c.MeanHops().Float64()
	t := &results.Table{Name: "cube", Title: c.String(), Columns: []string{"ids M", "links of an id", "mean hops A", "A exactly", "diameter W", "routes between farthest ids"}}
	t.Row(c.IDs(), c.Degree(), a, c.MeanHops().RatString(), c.Diameter(), c.FarthestRoutes().String())
	return r.Close(r.Table(t))
}

func open(cmd *cobra.Command) (*results.Run, error) {
	return results.Open(cmd, results.Meta{Experiment: "regions", Runs: 1, Clock: "none: exact arithmetic"})
}

func all(cmd *cobra.Command, from, to int) error {
	r, err := open(cmd)
	if err != nil {
		return err
	}
	chart := &plot.Chart{
		Name: "regions", Title: "Mean number of hops A of the chosen cube",
		X: plot.Axis{Label: "hosts", Scale: plot.Log2}, Y: plot.Axis{Label: "mean hops A"}, Legend: plot.TopLeft,
	}
	var errs []error
	for _, rule := range []cube.Rule{cube.Authors, cube.Strict} {
		list, err := rule.Regions(from, to)
		if err != nil {
			return r.Close(err)
		}
		errs = append(errs, r.Table(table(rule, list)), r.Table(growth(rule, list)))
		chart.Series = append(chart.Series, curve(rule.String(), list))
	}
	chart.Series = append(chart.Series, hypercubes(from, to))
	errs = append(errs, r.Chart(chart))
	return r.Close(errors.Join(errs...))
}

func table(rule cube.Rule, list []cube.Region) *results.Table {
	t := &results.Table{
		Name:    "regions-" + rule.String(),
		Title:   fmt.Sprintf("M-regions by the %v rule", rule),
		Columns: []string{"first host", "last host", "k", "n", "ids M", "mean hops A", "diameter W", "ids per host at the end"},
	}
	for _, x := range list {
		a, _ := x.MeanHops.Float64()
		t.Row(x.First, x.Last, x.Cube.K, x.Cube.N, x.Cube.IDs(), a, x.Cube.Diameter(), float64(x.Cube.IDs())/float64(x.Last))
	}
	return t
}

// growth describes each step from one region to the next. It is local when the
// radix stays: each owner appends digits to its ids, all k^steps new ids of an
// old id stay with the owner, and its links stay where they were. Otherwise
// every id is given out anew.
func growth(rule cube.Rule, list []cube.Region) *results.Table {
	t := &results.Table{
		Name:    "growth-" + rule.String(),
		Title:   fmt.Sprintf("Growing (and, read upwards, shrinking) by the %v rule", rule),
		Note:    "ids kept: share of ids whose new ids stay with their owner without any message; new ids per old id: k^(digits appended)",
		Columns: []string{"at hosts", "from", "to", "local", "ids kept %", "new ids per old id", "A before", "A after"},
	}
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		before, _ := a.MeanHops.Float64()
		after, _ := b.MeanHops.Float64()
		local := a.Cube.K == b.Cube.K && a.Cube.N < b.Cube.N
		kept, per := 0.0, math.NaN()
		if local {
			kept, per = 100, math.Pow(float64(a.Cube.K), float64(b.Cube.N-a.Cube.N))
		}
		t.Row(b.First, a.Cube.String(), b.Cube.String(), local, kept, per, before, after)
	}
	return t
}

func curve(name string, list []cube.Region) plot.Series {
	s := plot.Series{Name: name, Steps: true}
	for _, x := range list {
		a, _ := x.MeanHops.Float64()
		s.X, s.Y = append(s.X, float64(x.First)), append(s.Y, a)
	}
	if n := len(list); n > 0 {
		s.X, s.Y = append(s.X, float64(list[n-1].Last)), append(s.Y, s.Y[n-1])
	}
	return s
}

// hypercubes is A of the smallest hypercube, the bound of both rules.
func hypercubes(from, to int) plot.Series {
	s := plot.Series{Name: "smallest hypercube", Steps: true, Dashed: true}
	for n := 1; 1<<(n-1) < to; n++ {
		first := max(from, 1<<(n-1)+1)
		if n == 1 {
			first = from
		}
		if first > 1<<n {
			continue
		}
		s.X, s.Y = append(s.X, float64(first)), append(s.Y, float64(n)/2)
	}
	if n := len(s.X); n > 0 {
		s.X, s.Y = append(s.X, float64(to)), append(s.Y, s.Y[n-1])
	}
	return s
}
