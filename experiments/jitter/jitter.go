// SPDX-License-Identifier: Apache-2.0

// Package jitter measures how much the forwarding delay of UDP frames varies
// while CPU-bound processes want the processor: at a fixed rate that every idle
// contender can take, and at one that none can.
//
// The delay of a frame is the time between two writes to tail registers, the
// generator's and the forwarder's, both stamped to the instruction.
package jitter

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
	// Below one frame per 128 us, the interrupt's least distance in the NIC's
	// model, every frame has its own interrupt.
	steadyRate   = 5_000
	steadyFrames = 20_000
	steadyWarm   = 400

	overload       = 800_000
	overloadFrames = 120_000
	overloadWarm   = 40_000
)

// modes are the runs of one boot, in order.
var modes = []struct {
	name, title  string
	rate         float64
	frames, warm int
}{
	{"steady", "5,000 frames per second", steadyRate, steadyFrames, steadyWarm},
	{"saturated", "800,000 frames per second", overload, overloadFrames, overloadWarm},
}

// Command is the subcommand.
func Command() *cobra.Command {
	var f labrun.Flags
	cmd := &cobra.Command{
		Use:   "jitter",
		Short: "Variation of the forwarding delay against 0 to 128 CPU-bound processes, in the lab",
		Long: `Measure the delay of every UDP frame through one e1000e port of an emulated
one-CPU machine, by each contender, while CPU-bound processes run beside it. All
times are guest virtual time: one instruction is one nanosecond.`,
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
			p := labrun.Point{
				Contender: c, Hogs: hogs, Len: f.Len, Seed: f.Seed*1000 + 500, WarmMS: 50,
				Stamps: true, Cost: 14 + 0.06*float64(hogs),
			}
			for _, m := range modes {
				p.Steps = append(p.Steps, "run", strconv.FormatFloat(m.rate, 'f', -1, 64), strconv.Itoa(m.frames+m.warm))
			}
			points = append(points, p)
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
		Experiment: "jitter", Seed: f.Seed, Runs: 1, Clock: labrun.Clock,
		Extra: map[string]any{
			"frame_bytes": f.Len, "levels": f.Levels, "rates": []int{steadyRate, overload},
			"stamp_resolution_ns": 1,
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
	if err := f.Apply(env, cmd, "jitter"); err != nil {
		return run.Close(err)
	}
	boots := make([]labrun.Boot, len(points))
	for i, p := range points {
		boots[i] = p.Boot()
	}
	outcomes, cause := env.Boots(ctx, run, boots)
	list, err := read(points, outcomes, f.Seed)
	cause = errors.Join(cause, err)
	report := &labrun.Report{Run: run, Title: "Forwarding-delay variation under background load"}
	if err := show(report, list, f.Seed); err != nil {
		return run.Close(errors.Join(cause, err))
	}
	return run.Close(errors.Join(cause, report.Write(cause)))
}

// read decodes the outcomes into one result for each point and mode; a point with
// an invalid run is left out and named in the error.
func read(points []labrun.Point, outcomes map[string]*labrun.Outcome, seed uint64) ([]*result, error) {
	var list []*result
	var errs []error
	for _, p := range points {
		o := outcomes[p.Name()]
		if o == nil {
			continue
		}
		both, err := readOne(p, o, seed)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s is not valid: %w", p.Name(), err))
			continue
		}
		list = append(list, both...)
	}
	return list, errors.Join(errs...)
}

func readOne(p labrun.Point, o *labrun.Outcome, seed uint64) ([]*result, error) {
	lines, err := labrun.Lines[labrun.Line](o, "point")
	if err != nil {
		return nil, err
	}
	var list []*result
	for _, l := range lines {
		if l.Kind != "run" {
			continue
		}
		if len(list) == len(modes) {
			return nil, errors.New("labpoint printed more runs than it was asked for")
		}
		if err := l.Valid(); err != nil {
			return nil, err
		}
		stamps, err := labrun.Stamps(o.Files[fmt.Sprintf("stamps.%d", len(list))])
		if err != nil {
			return nil, err
		}
		if uint32(len(stamps)) != l.Count {
			return nil, fmt.Errorf("%d stamps of %d frames", len(stamps), l.Count)
		}
		m := modes[len(list)]
		list = append(list, analyse(p, m.name, l, stamps[m.warm:], seed))
	}
	if len(list) != len(modes) {
		return nil, errors.New("labpoint did not print everything")
	}
	return list, nil
}
