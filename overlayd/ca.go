// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/live/transport"
)

func caCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sign FOLDER HOST.CRT",
		Short: "Let a host in by a certificate in place of the token",
		Long: `Sign a host's certificate with the CA in FOLDER, which is made if it is not
there, and print the signed one. A certificate that this CA signed before is
renewed. It lets the host into an overlay that runs with
--ca FOLDER/ca.crt, without a token to be kept secret.

  overlayd identity --state /var/lib/sandstream       # on the host
  overlayd sign ca host.crt > signed.crt              # where the CA is; then on the host:
  install -m 644 signed.crt /var/lib/sandstream/host.crt`,
		Args: cli.Args("FOLDER", "HOST.CRT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := os.ReadFile(args[1])
			if err != nil {
				return fmt.Errorf("sign: %w", err)
			}
			signed, made, err := transport.SignHost(args[0], request)
			if err != nil {
				return fmt.Errorf("%s: %w", args[1], err)
			}
			switch made {
			case "":
			case args[0]:
				fmt.Fprintf(cmd.ErrOrStderr(), "made a new CA in %s\n", cli.Plain(made))
			default:
				fmt.Fprintf(cmd.ErrOrStderr(), "made %s, which was missing\n", cli.Plain(made))
			}
			_, err = cmd.OutOrStdout().Write(signed)
			return err
		},
	}
}

func identityCommand() *cobra.Command {
	var state string
	c := &cobra.Command{
		Use:   "identity",
		Short: "Print this host's id, and make its key if there is none",
		Args:  cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if state == "" {
				if state, err = stateDir(); err != nil {
					return err
				}
			}
			id, err := transport.LoadOrCreateIdentity(state)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "certificate", filepath.Join(state, transport.CertFile))
			_, err = fmt.Fprintln(cmd.OutOrStdout(), id.ID.Hex())
			return err
		},
	}
	c.Flags().StringVar(&state, "state", "", "folder of the host's key (default as for run)")
	return c
}
