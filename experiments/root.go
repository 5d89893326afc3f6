// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"sandstream/experiments/adaptive"
	"sandstream/experiments/bench"
	"sandstream/experiments/churn"
	"sandstream/experiments/jitter"
	"sandstream/experiments/penalty"
	"sandstream/experiments/regions"
	"sandstream/experiments/repeat"
	"sandstream/experiments/throughput"
	"sandstream/experiments/topology"
	"sandstream/experiments/upcall"
	"sandstream/internal/cli"
	"sandstream/internal/report/results"
)

// newRoot wires the subcommands: one line for each experiment, and nothing
// else, so that two people adding experiments meet in one line only.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "experiments",
		Short:         "Reproduce the paper's figures and compare with today's systems",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	cli.Strict(root)
	cli.Versioned(root)
	results.AddFlags(root.PersistentFlags())
	root.AddCommand(
		jitter.Command(),
		adaptive.Command(),
		bench.Command(),
		churn.Command(),
		penalty.Command(),
		regions.Command(),
		topology.Command(),
		repeat.Command(),
		throughput.Command(),
		upcall.Command(),
	)
	return root
}
