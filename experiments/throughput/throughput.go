// SPDX-License-Identifier: Apache-2.0

// Package throughput is the paper's Figure 9 in the lab: how many UDP frames a
// host forwards while more and more CPU-bound processes want its processor.
//
// One boot measures one contender at one level of background. It offers 800,000
// frames per second, which no contender can take, for the saturated rate; then a
// ladder of rates; and between its rungs the highest rate without loss and the
// highest with at most 0.5 % loss.
package throughput

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/labrun"
	"sandstream/internal/results"
)

const (
	overload = 800_000 // frames per second
	warmMS   = 50
)

// Command is the subcommand.
func Command() *cobra.Command {
	var f labrun.Flags
	cmd := &cobra.Command{
		Use:   "throughput",
		Short: "Figure 9: UDP forwarding against 0 to 128 CPU-bound processes, in the lab",
		Long: `Forward UDP frames through one e1000e port of an emulated one-CPU machine, by
each contender, while CPU-bound processes run beside it. All rates are per second
of guest virtual time: one instruction is one nanosecond.`,
		Args: cli.NoArgs,
	}
	f.Add(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return run(cmd, f) }
	return cmd
}

// Points are the experiment's points.
func Points(f labrun.Flags) ([]labrun.Point, error) {
	contenders, err := labrun.Choose(f.Contenders)
	if err != nil {
		return nil, err
	}
	var points []labrun.Point
	for _, c := range contenders {
		for _, hogs := range f.Levels {
			// A rung must outlast the buffers (a socket holds some 1,300 frames), and
			// every process must have had its turn.
			rung := 200 + 2*hogs
			points = append(points, labrun.Point{
				Contender: c, Hogs: hogs, Len: f.Len, Seed: f.Seed * 1000, WarmMS: warmMS,
				Steps: []string{
					"run", strconv.Itoa(overload), strconv.Itoa(overload * (200 + warmMS) / 1000),
					"search", strconv.Itoa(rung),
				},
				Cost: 22 + 0.2*float64(hogs),
			})
		}
	}
	return points, nil
}

func run(cmd *cobra.Command, f labrun.Flags) error {
	if err := f.Check(); err != nil {
		return err
	}
	points, err := Points(f)
	if err != nil {
		return err
	}
	run, err := results.Open(cmd, results.Meta{
		Experiment: "throughput", Seed: f.Seed, Runs: 1, Clock: labrun.Clock,
		Extra: map[string]any{
			"frame_bytes": f.Len, "levels": f.Levels, "offered_when_saturated": overload,
			"sandbox_reservation": fmt.Sprintf("%v/%v", labrun.ReservedRuntime, labrun.ReservedPeriod),
		},
	})
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	env, err := labrun.Open(ctx, run)
	if err != nil {
		return run.Close(err)
	}
	if err := f.Apply(env, cmd, "throughput"); err != nil {
		return run.Close(err)
	}
	boots := make([]labrun.Boot, len(points))
	for i, p := range points {
		boots[i] = p.Boot()
	}
	outcomes, cause := env.Boots(ctx, run, boots)
	list, err := read(points, outcomes)
	cause = errors.Join(cause, err)
	report := &labrun.Report{Run: run, Title: "Throughput under background load"}
	if err := show(report, list); err != nil {
		return run.Close(errors.Join(cause, err))
	}
	return run.Close(errors.Join(cause, report.Write(cause)))
}

// result is what one boot measured.
type result struct {
	point       labrun.Point
	saturated   labrun.Line
	rungs       []labrun.Line // by rising rate
	lossFree    float64       // frames per second
	halfPercent float64
	boot        *labrun.Outcome
}

// peak is the rung or the saturated run that forwarded most.
func (r *result) peak() labrun.Line {
	best := r.saturated
	for _, l := range r.rungs {
		if l.Forwarded() > best.Forwarded() {
			best = l
		}
	}
	return best
}

// read decodes the outcomes; a point with an invalid run is left out and named in
// the error.
func read(points []labrun.Point, outcomes map[string]*labrun.Outcome) ([]*result, error) {
	var list []*result
	var errs []error
	for _, p := range points {
		o := outcomes[p.Name()]
		if o == nil {
			continue
		}
		r, err := readOne(p, o)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s is not valid: %w", p.Name(), err))
			continue
		}
		list = append(list, r)
	}
	return list, errors.Join(errs...)
}

func readOne(p labrun.Point, o *labrun.Outcome) (*result, error) {
	lines, err := labrun.Lines[labrun.Line](o, "point")
	if err != nil {
		return nil, err
	}
	r := &result{point: p, boot: o}
	searched, ran := false, false
	for _, l := range lines {
		switch l.Kind {
		case "search":
			r.lossFree, r.halfPercent, searched = l.LossFree, l.HalfPercent, true
			continue
		case "run":
			r.saturated, ran = l, true
		case "step":
			r.rungs = append(r.rungs, l)
		default:
			continue
		}
		if err := l.Valid(); err != nil {
			return nil, err
		}
	}
	if !ran || !searched {
		return nil, errors.New("labpoint did not print everything")
	}
	return r, nil
}
