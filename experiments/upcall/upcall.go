// SPDX-License-Identifier: Apache-2.0

// Package upcall sets the price of an upcall beside those of a system call, of
// signals and of a pipe between two processes, all in the same guest, with CPU
// mitigations off and on: in instructions, which repeat exactly, and in wall time
// under emulation, which only orders of magnitude should be read from.
package upcall

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/internal/report/results"
	"sandstream/internal/report/stats"
	"sandstream/lab/points"
	"sandstream/lab/vm"
	"sandstream/uls"
)

// services is how often the SPA of the slope calls a service in each upcall: under
// emulation on a busy host each takes tens of microseconds of wall time, and an
// upcall may take 10 ms at most.
const services = 16

// Command is the subcommand.
func Command() *cobra.Command {
	var f points.Flags
	var rounds int
	cmd := &cobra.Command{
		Use:   "upcall",
		Short: "What an upcall costs, against system calls, signals and pipes, in the lab",
		Args:  cli.NoArgs,
	}
	f.Add(cmd, false)
	f.Len = 200
	cmd.Flags().IntVar(&rounds, "rounds", 3, "boots of each setting for the wall-clock columns")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if rounds < 0 {
			return fail.Usagef("--rounds cannot be negative")
		}
		return run(cmd, f, rounds)
	}
	return cmd
}

// setting is a kind of boot.
type setting struct {
	exact, mitigations bool
}

func (s setting) name(round int) string {
	name := "wall"
	if s.exact {
		name = "exact"
	}
	if s.mitigations {
		name += "-mitigated"
	}
	if !s.exact {
		name = fmt.Sprintf("%s-%d", name, round)
	}
	return name
}

// boot is the machine that measures one setting.
//
// A wall-clock boot may fail on a busy host: when it takes the emulator's CPU away
// for longer than an upcall's largest budget, the SPA is aborted, as it should be.
func boot(s setting, round int) points.Boot {
	retries := 4
	if s.exact {
		retries = 0
	}
	return points.Boot{
		Retries: retries,
		Name:    s.name(round), Exact: s.exact, Mitigations: s.mitigations, Cost: 10,
		Fill: func(j *vm.Job) {
			j.Run(vm.Program{Name: "micro", Argv: []string{"/guest/contenders/microbench", "2000"}, Time: 5 * time.Minute, Hold: true})
			j.Run(vm.Program{Name: "map", Argv: []string{"ulsctl", "map", "/spa/echo.spa", "--name", "bench", "--budget", "10ms"}})
			for _, b := range benches {
				j.Run(vm.Program{
					Name: b.name, Hold: true,
					Argv: []string{"ulsctl", "bench", "bench", "--json", "--samples", "2000", "--batch", fmt.Sprint(b.batch), "--services", fmt.Sprint(b.services)},
				})
			}
		},
	}
}

var benches = []struct {
	name            string
	batch, services int
}{
	{"one", 1, 0},
	{"sixty-four", 64, 0},
	{"services", 1, services},
}

func run(cmd *cobra.Command, f points.Flags, rounds int) error {
	if err := f.Check(); err != nil {
		return err
	}
	run, err := results.Open(cmd, results.Meta{
		Experiment: "upcall", Runs: max(1, rounds), Clock: "instructions: " + points.Clock + "; wall: guest clock under emulation",
	})
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	env, err := points.Open(ctx, run)
	if err != nil {
		return run.Close(err)
	}
	if err := f.Apply(env, cmd, "upcall"); err != nil {
		return run.Close(err)
	}
	var exact, wall []points.Boot
	for _, mitigations := range []bool{false, true} {
		exact = append(exact, boot(setting{true, mitigations}, 0))
	}
	// Interleaved, so that a host that changes its mind changes it for both.
	for round := range rounds {
		for _, mitigations := range []bool{false, true} {
			wall = append(wall, boot(setting{false, mitigations}, round))
		}
	}
	outcomes, cause := env.Boots(ctx, run, exact)
	if len(wall) > 0 && ctx.Err() == nil {
		env.Jobs = 1 // wall time wants the machine for itself
		more, err := env.Boots(ctx, run, wall)
		cause = errors.Join(cause, err)
		for name, o := range more {
			outcomes[name] = o
		}
	}
	costs, err := read(outcomes, rounds)
	cause = errors.Join(cause, err)
	report := &points.Report{Run: run, Title: "The cost of an upcall"}
	if err := show(report, costs, rounds); err != nil {
		return run.Close(errors.Join(cause, err))
	}
	return run.Close(errors.Join(cause, report.Write(cause)))
}

// micro is one line of microbench.
type micro struct {
	Name   string  `json:"name"`
	Median uint64  `json:"median"`
	NSMean float64 `json:"ns_mean"`
}

// cost is what one operation costs in one boot.
type cost struct {
	instructions float64 // exact boots
	ns           float64 // the others
}

// costs of one setting: by operation, one value for each boot.
type costs map[setting]map[string][]cost

// The operations, in the order of the table.
const (
	crossing     = "one crossing into the sandbox and back"
	upcall       = "one empty upcall"
	neutralising = "of it: state of the interrupted task, once per upcall"
	each         = "one of 64 empty upcalls back to back"
)

var operations = []struct{ name, micro string }{
	{crossing, ""},
	{upcall, ""},
	{neutralising, ""},
	{each, ""},
	{"getppid()", "getppid"},
	{"getpid()", "getpid"},
	{"signal to oneself", "signal-self"},
	{"signal to another process and back", "signal-other"},
	{"pipe ping-pong with another process", "pipe-pingpong"},
}

func read(outcomes map[string]*points.Outcome, rounds int) (costs, error) {
	all := costs{}
	var errs []error
	for _, s := range []setting{{true, false}, {true, true}, {false, false}, {false, true}} {
		n := 1
		if !s.exact {
			n = rounds
		}
		all[s] = map[string][]cost{}
		for round := range n {
			o := outcomes[s.name(round)]
			if o == nil {
				continue
			}
			if err := readOne(o, all[s]); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return all, errors.Join(errs...)
}

func readOne(o *points.Outcome, into map[string][]cost) error {
	lines, err := points.Lines[micro](o, "micro")
	if err != nil {
		return err
	}
	nothing := slices.IndexFunc(lines, func(m micro) bool { return m.Name == "nothing" })
	if nothing < 0 {
		return fmt.Errorf("%s: microbench did not measure its own overhead", o.Name)
	}
	base := lines[nothing]
	for _, op := range operations {
		for _, m := range lines {
			if op.micro != "" && m.Name == op.micro {
				into[op.name] = append(into[op.name], cost{float64(m.Median) - float64(base.Median), m.NSMean - base.NSMean})
			}
		}
	}
	got := map[string]cost{}
	for _, b := range benches {
		text, err := o.Output(b.name)
		if err != nil {
			return err
		}
		var r uls.Bench
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return fmt.Errorf("%s: ulsctl bench printed %q: %w", o.Name, text, err)
		}
		n := float64(b.batch)
		got[b.name] = cost{(float64(r.TSCMedian) - float64(r.TSCOverhead)) / n, float64(r.NSMedian) / n}
	}
	slope := cost{
		(got["services"].instructions - got["one"].instructions) / services,
		(got["services"].ns - got["one"].ns) / services,
	}
	into[crossing] = append(into[crossing], slope)
	into[upcall] = append(into[upcall], got["one"])
	into[neutralising] = append(into[neutralising], cost{got["one"].instructions - slope.instructions, got["one"].ns - slope.ns})
	into[each] = append(into[each], got["sixty-four"])
	return nil
}

// wall returns median, smallest and largest wall time of an operation in ns.
func (c costs) wall(mitigations bool, op string) (median, lo, hi float64) {
	var ns []float64
	for _, v := range c[setting{false, mitigations}][op] {
		ns = append(ns, v.ns)
	}
	return stats.Quantile(ns, .5), stats.Quantile(ns, 0), stats.Quantile(ns, 1)
}
