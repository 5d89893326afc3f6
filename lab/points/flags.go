// SPDX-License-Identifier: Apache-2.0

package points

import (
	"runtime"

	"github.com/spf13/cobra"

	"sandstream/internal/fail"
)

// Flags are what all end-host experiments understand, besides results.AddFlags.
type Flags struct {
	Full       bool
	Contenders []string
	Levels     []int
	Len        int
	Seed       uint64
	Jobs       int
	Resume     string // folder, "latest", or "" for no
}

// Add declares the flags; network says whether frames are part of it.
func (f *Flags) Add(cmd *cobra.Command, network bool) {
	fs := cmd.Flags()
	fs.IntVar(&f.Jobs, "jobs", min(2, runtime.NumCPU()), "machines at a time; each needs a core")
	fs.StringVar(&f.Resume, "resume", "", "take finished points from this earlier results folder (without a value: the latest)")
	fs.Lookup("resume").NoOptDefVal = "latest"
	if !network {
		return
	}
	fs.BoolVar(&f.Full, "full", false, "every level of background: 0, 1, 2, 4 ... 128 processes")
	fs.StringSliceVar(&f.Contenders, "contenders", nil, "only these (default: all)")
	fs.IntSliceVar(&f.Levels, "levels", nil, "only these numbers of background processes")
	fs.IntVar(&f.Len, "len", 200, "bytes of a frame, without FCS")
	fs.Uint64Var(&f.Seed, "seed", 1, "of the generator's pace")
}

// Check refuses what makes no sense and fills in defaults.
func (f *Flags) Check() error {
	if f.Jobs < 1 {
		return fail.Usagef("--jobs must be at least 1")
	}
	if f.Len < 60 || f.Len > 1514 {
		return fail.Usagef("--len must be between 60 and 1514")
	}
	for _, n := range f.Levels {
		if n < 0 || n > 1024 {
			return fail.Usagef("--levels: %d is not between 0 and 1024", n)
		}
	}
	if len(f.Levels) == 0 {
		f.Levels = Levels(f.Full)
	}
	return nil
}

// Apply takes the flags over into the environment. It finds the folder to resume
// from below the --results of cmd.
func (f *Flags) Apply(e *Env, cmd *cobra.Command, experiment string) error {
	e.Jobs, e.Resume = f.Jobs, f.Resume
	if f.Resume != "latest" {
		return nil
	}
	base, err := cmd.Flags().GetString("results")
	if err != nil || base == "" {
		base = "results"
	}
	e.Resume, err = Latest(base, experiment)
	return err
}
