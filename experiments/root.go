// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"sandstream/experiments/penalty"
	"sandstream/experiments/throughput"
	"sandstream/internal/cli"
	"sandstream/internal/results"
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
	results.AddFlags(root.PersistentFlags())
	root.AddCommand(
		penalty.Command(),
		throughput.Command(),
	)
	return root
}
