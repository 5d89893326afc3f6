// SPDX-License-Identifier: Apache-2.0

// Package penalty reproduces the paper's Figure 4: how much longer messages
// take over the overlay than directly, for every subscriber of one publisher.
package penalty

import (
	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/model/scenario"
	"sandstream/internal/report/results"
)

// allUpTo is the largest number of hosts for which all curves are the default.
const allUpTo = 1 << 17

// Command is 'experiments penalty'.
func Command() *cobra.Command {
	var f scenario.Flags
	var curves string
	cmd := &cobra.Command{
		Use:   "penalty",
		Short: "Figure 4: delay penalty of overlay routes, and routes better than the paper's",
		Long: `Figure 4 of the paper: a random publisher sends to every other host over a k-ary
n-cube laid on a transit-stub network. The delay penalty of a subscriber is its
overlay latency over its unicast latency; the figure shows the share of
subscribers below each penalty, for ordered, random and greedy routing.

--curves all adds, in the same figure: greedy against IP multicast by a shared
tree; lookahead of 2 and 3 hops; the best path over the same links (the lower
bound, and what the first copy of a flooded announcement finds); the cubes that
the authors' and the strict rule choose; and ids placed by proximity instead of
at random. Tables give what each needs in state and messages per host.`,
		Example: `  experiments penalty                        # 65,536 hosts on 5,050 routers, 30 seeds
  experiments penalty --seeds 1 --curves paper
  experiments penalty --placement hosts-are-nodes --topology T=8,Nt=8
  experiments penalty --hosts 1048576 --placement hosts-are-nodes --seeds 1`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sc, err := f.Resolve()
			if err != nil {
				return err
			}
			if curves == "" {
				curves = "all"
				if f.Hosts > allUpTo {
					curves = "paper"
				}
			}
			p, err := makePlan(f, curves)
			if err != nil {
				return err
			}
			if err := sc.CheckMemory(sc.NetworkBytes() + p.bytes(f.Hosts)); err != nil {
				return err
			}
			r, err := results.Open(cmd, results.Meta{
				Experiment: "penalty", Seed: f.Seed, Runs: f.Seeds,
				Clock: "simulated: path lengths",
				Extra: map[string]any{"hosts": f.Hosts, "network": sc.Describe()},
			})
			if err != nil {
				return err
			}
			bar := r.Progress("penalty: curves", len(p.curves)*f.Seeds)
			g, cause := run(cmd.Context(), sc, p, bar)
			bar.Done()
			if err := report(r, sc, p, g); err != nil {
				return err
			}
			return r.Close(cause)
		},
	}
	cmd.AddCommand(sweepCommand())
	f.Add(cmd.Flags(), 30)
	cmd.Flags().StringVar(&curves, "curves", "", "paper (the six of Figure 4) or all; the default is all up to 131,072 hosts")
	return cmd
}
