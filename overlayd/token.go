// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/live/transport"
)

func tokenCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "token",
		Short: "Make a join token: who has it may join the overlay",
		Long: `Make a join token: 256 bits of chance, one line on stdout. All hosts of an
overlay are given the same one (run --token-file). It never leaves a host: hosts
prove to one another that they know it.

  (umask 077; overlayd token > token)`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), transport.NewToken())
			return err
		},
	}
}
