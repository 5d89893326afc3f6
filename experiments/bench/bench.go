// SPDX-License-Identifier: Apache-2.0

// Package bench measures the simulation's speed beside public peers (Boost and
// igraph from Debian, gonum) and its cost per host as the overlay grows.
package bench

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/internal/report/results"
)

// Command is 'experiments bench'.
func Command() *cobra.Command {
	var rounds, repeat int
	var seed uint64
	var sizes, parts string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Speed beside Boost, igraph and gonum; time and memory from 65,536 to 16,777,216 hosts",
		Long: `Two measurements, each in user CPU time beside wall time, since a machine that does
other work stretches the latter only:

sssp   single-source shortest paths on one 65,536-node transit-stub graph by our
       code, Boost, igraph (compiled here: needs g++, libboost-graph-dev and
       libigraph-dev) and gonum. Rounds are interleaved, each with the same
       source for all; the sums of distances must agree. Medians.
scale  'experiments penalty', six curves, one seed, every node a host, as a
       process of its own for each of --sizes: from generation to tables.

The largest size of the defaults is 1,048,576; 16,777,216 takes minutes and up to
16 GB, so it has to be asked for: --sizes 65536,1048576,16777216.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rounds < 1 || repeat < 1 {
				return fail.Usagef("--rounds is %d and --repeat %d; the least possible is 1", rounds, repeat)
			}
			var hosts []int
			for s := range strings.SplitSeq(sizes, ",") {
				n, err := strconv.Atoi(strings.TrimSpace(s))
				if err != nil || n < 2 {
					return fail.Usagef("--sizes %q: %q is no number of hosts", sizes, s)
				}
				hosts = append(hosts, n)
			}
			wanted := strings.Split(parts, ",")
			for _, p := range wanted {
				if p != "sssp" && p != "scale" {
					return fail.Usagef("--parts %q: known are sssp and scale", parts)
				}
			}
			r, err := results.Open(cmd, results.Meta{Experiment: "bench", Seed: seed, Runs: rounds, Clock: "CPU time of the thread (sssp) or process (scale), and wall"})
			if err != nil {
				return err
			}
			var errs []error
			if slices.Contains(wanted, "sssp") {
				errs = append(errs, sssp(cmd.Context(), r, seed, rounds))
			}
			if slices.Contains(wanted, "scale") {
				errs = append(errs, scale(cmd.Context(), r, seed, hosts, repeat))
			}
			return r.Close(errors.Join(errs...))
		},
	}
	cmd.Flags().IntVar(&rounds, "rounds", 15, "interleaved rounds of sssp")
	cmd.Flags().IntVar(&repeat, "repeat", 5, "runs of each size up to 131,072 hosts (larger ones run once); medians are reported")
	cmd.Flags().Uint64Var(&seed, "seed", 1, "seed")
	cmd.Flags().StringVar(&sizes, "sizes", "65536,1048576", "numbers of hosts for scale")
	cmd.Flags().StringVar(&parts, "parts", "sssp,scale", "what to measure")
	return cmd
}

// ms is nanoseconds in milliseconds.
func ms(ns int64) float64 { return float64(ns) / 1e6 }

func missing(what string, err error) error {
	return fail.Errorf(fail.ErrUnsupported, "%s: %w (install it: apt-get install g++ libboost-graph-dev libigraph-dev; or leave the peers out: --parts scale)", what, err)
}

var errDisagree = fmt.Errorf("the contenders disagree about distances")
