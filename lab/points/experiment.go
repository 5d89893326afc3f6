// SPDX-License-Identifier: Apache-2.0

package points

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/report/results"
)

// An Experiment measures contenders at levels of background, one boot for each
// contender and level. R is what it reads from a boot.
type Experiment[R any] struct {
	Name        string
	Short, Long string         // of the command
	Title       string         // of the report
	Extra       map[string]any // of meta.json, besides what all have
	// Point completes the boot of a contender at a level, which are set already, as
	// is the length of frames.
	Point func(p *Point, f Flags)
	// Read decodes the outcome of a boot; an error says why it is not valid.
	Read func(p Point, o *Outcome, seed uint64) ([]R, error)
	// Show fills the report.
	Show func(r *Report, list []R, seed uint64) error
}

// Command is the experiment's subcommand.
func (e *Experiment[R]) Command() *cobra.Command {
	var f Flags
	cmd := &cobra.Command{Use: e.Name, Short: e.Short, Long: e.Long, Args: cli.NoArgs}
	f.Add(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return e.run(cmd, f) }
	return cmd
}

// Points are the boots of the chosen contenders at the chosen levels.
func (e *Experiment[R]) Points(f Flags) ([]Point, error) {
	contenders, err := Choose(f.Contenders)
	if err != nil {
		return nil, err
	}
	var points []Point
	for _, c := range contenders {
		for _, hogs := range f.Levels {
			p := Point{Contender: c, Hogs: hogs, Len: f.Len}
			e.Point(&p, f)
			points = append(points, p)
		}
	}
	return points, nil
}

// ReadAll decodes the outcomes; a point that is not valid is left out and named in
// the error.
func (e *Experiment[R]) ReadAll(points []Point, outcomes map[string]*Outcome, seed uint64) ([]R, error) {
	var list []R
	var errs []error
	for _, p := range points {
		o := outcomes[p.Name()]
		if o == nil {
			continue
		}
		r, err := e.Read(p, o, seed)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s is not valid: %w", p.Name(), err))
			continue
		}
		list = append(list, r...)
	}
	return list, errors.Join(errs...)
}

func (e *Experiment[R]) run(cmd *cobra.Command, f Flags) error {
	if err := f.Check(); err != nil {
		return err
	}
	points, err := e.Points(f)
	if err != nil {
		return err
	}
	extra := map[string]any{
		"frame_bytes": f.Len, "levels": f.Levels,
		"sandbox_reservation": fmt.Sprintf("%v/%v", ReservedRuntime, ReservedPeriod),
		"processes_keep":      ProcessesKeep,
	}
	maps.Copy(extra, e.Extra)
	run, err := results.Open(cmd, results.Meta{Experiment: e.Name, Seed: f.Seed, Runs: 1, Clock: Clock, Extra: extra})
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	env, err := Open(ctx, run)
	if err != nil {
		return run.Close(err)
	}
	if err := f.Apply(env, cmd, e.Name); err != nil {
		return run.Close(err)
	}
	fmt.Fprintln(cmd.ErrOrStderr(), e.Name+": "+Reserved())
	boots := make([]Boot, len(points))
	for i, p := range points {
		boots[i] = p.Boot()
	}
	outcomes, cause := env.Boots(ctx, run, boots)
	list, err := e.ReadAll(points, outcomes, f.Seed)
	cause = errors.Join(cause, err)
	report := &Report{Run: run, Title: e.Title}
	report.Text(Reserved() + ".")
	if err := e.Show(report, list, f.Seed); err != nil {
		return run.Close(errors.Join(cause, err))
	}
	return run.Close(errors.Join(cause, report.Write(cause)))
}

// LevelsOf are the levels that occur in a list, sorted; level is that of one of it.
func LevelsOf[R any](list []R, level func(R) int) []int {
	found := make([]int, len(list))
	for i, r := range list {
		found[i] = level(r)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Ends are the lowest and the highest of sorted levels, one if they are the same.
func Ends(levels []int) []int {
	return slices.Compact([]int{levels[0], levels[len(levels)-1]})
}
