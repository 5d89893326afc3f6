// SPDX-License-Identifier: Apache-2.0

// Package repeat checks what the lab's exact figures rest on: the same seed gives
// the same bytes.
package repeat

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sandstream/experiments/jitter"
	"sandstream/experiments/throughput"
	"sandstream/internal/cli"
	"sandstream/internal/report/results"
	"sandstream/lab/points"
)

// Command is the subcommand.
func Command() *cobra.Command {
	var f points.Flags
	var all bool
	cmd := &cobra.Command{
		Use:   "repeat",
		Short: "Run points twice and check that every byte is the same",
		Long: `Run points of throughput and jitter twice and compare all they print and every
stamp. Without --all one short point of one contender is tried.`,
		Args: cli.NoArgs,
	}
	f.Add(cmd, true)
	cmd.Flags().BoolVar(&all, "all", false, "all points of the grid: twice the time of throughput and jitter")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return run(cmd, f, all) }
	return cmd
}

func run(cmd *cobra.Command, f points.Flags, all bool) error {
	if err := f.Check(); err != nil {
		return err
	}
	boots, err := choose(f, all)
	if err != nil {
		return err
	}
	run, err := results.Open(cmd, results.Meta{Experiment: "repeat", Seed: f.Seed, Runs: 2, Clock: points.Clock})
	if err != nil {
		return err
	}
	env, err := points.Open(cmd.Context(), run)
	if err != nil {
		return run.Close(err)
	}
	run.Logf("repeat: %d points, twice each", len(boots))
	t := &results.Table{Name: "repeat", Title: "Two runs of the same seed", Columns: []string{"point", "verdict"}}
	var errs []error
	bar := run.Progress("repeat", len(boots))
	for _, b := range boots {
		verdict := "the same bytes"
		if err := env.Repeat(cmd.Context(), b); err != nil {
			errs = append(errs, err)
			verdict = "failed"
		}
		t.Row(b.Name, verdict)
		bar.Add(1)
		if cmd.Context().Err() != nil {
			break
		}
	}
	bar.Done()
	return run.Close(errors.Join(append(errs, run.Table(t))...))
}

// choose returns the boots to try.
func choose(f points.Flags, all bool) ([]points.Boot, error) {
	if all {
		a, err := throughput.Points(f)
		if err != nil {
			return nil, err
		}
		b, err := jitter.Points(f)
		if err != nil {
			return nil, err
		}
		var boots []points.Boot
		for i, p := range append(a, b...) {
			boot := p.Boot()
			boot.Name = "throughput-" + boot.Name
			if i >= len(a) {
				boot.Name = "jitter-" + p.Name()
			}
			boots = append(boots, boot)
		}
		return boots, nil
	}
	names := f.Contenders
	if len(names) == 0 {
		names = []string{"sandbox"}
	}
	contenders, err := points.Choose(names)
	if err != nil {
		return nil, err
	}
	var boots []points.Boot
	for _, c := range contenders {
		p := points.Point{Contender: c, Hogs: 2, Len: f.Len, Seed: f.Seed, WarmMS: 20, Stamps: true, Cost: 20}
		for _, rate := range []int{5_000, 100_000} {
			p.Steps = append(p.Steps, "run", strconv.Itoa(rate), strconv.Itoa(rate/int(time.Second/(100*time.Millisecond))))
		}
		b := p.Boot()
		b.Name = fmt.Sprintf("short-%s", p.Name())
		boots = append(boots, b)
	}
	return boots, nil
}
