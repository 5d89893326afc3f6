// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/uls"
)

func limitCommand() *cobra.Command {
	var share string
	c := &cobra.Command{
		Use:   "limit",
		Short: "Show or change what processes keep of each CPU",
		Long: `Show or change what processes keep of each CPU, whatever SPAs do.

The rest is for upcalls and all that is done for them at interrupt time. Up to
nine tenths of it can be reserved (map --reserve); what is not reserved is the
pool of the CPU, which pays for everything else.`,
		Example: `  ulsctl limit
  ulsctl limit --cpu-share 80%`,
		Args: cli.NoArgs,
	}
	asJSON := cli.JSONFlag(c)
	c.Flags().StringVar(&share, "cpu-share", "", "what processes keep of each CPU, 5% to 95%")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		percent := 0
		if cmd.Flags().Changed("cpu-share") {
			var err error
			if percent, err = parsePercent(share); err != nil {
				return err
			}
		}
		return withClient(func(c *uls.Client) error {
			if percent != 0 {
				if err := c.SetCPUShare(percent); err != nil {
					return usage(err)
				}
			}
			l, err := c.Limit()
			if err != nil {
				return err
			}
			switch {
			case *asJSON:
				return cli.JSON(cmd.OutOrStdout(), l)
			case percent != 0:
				fmt.Fprintln(cmd.ErrOrStderr(), keeps(l))
				return nil
			}
			return printLimit(cmd, l)
		})
	}
	return c
}

func parsePercent(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
	if err != nil || n < 1 || n > 100 {
		return 0, fail.Usagef("--cpu-share %q is no whole number of per cent (80%%)", text)
	}
	return n, nil
}

// keeps says the one thing that concerns processes.
func keeps(l *uls.CPULimit) string {
	return fmt.Sprintf("processes keep at least %d %% of each CPU", l.Share)
}

func ppm(n uint32) string { return fmt.Sprintf("%.1f %%", float64(n)/10000) }

func printLimit(cmd *cobra.Command, l *uls.CPULimit) error {
	rest := 100 - l.Share
	cli.Pairs(cmd.OutOrStdout(), [][2]string{
		{"processes keep", fmt.Sprintf("%d %% of each CPU", l.Share)},
		{"for upcalls", fmt.Sprintf("%d %%, of which %.1f %% can be reserved", rest, float64(rest)*0.9)},
	})
	var rows [][]string
	for _, a := range l.CPUs {
		rows = append(rows, []string{
			fmt.Sprint(a.CPU), fmt.Sprint(a.Reservations), ppm(a.ReservedPPM), ppm(a.LeftPPM), ppm(a.PoolPPM), nanoseconds(a.TakenNS),
		})
	}
	return cli.Table(cmd.OutOrStdout(), []string{"CPU", "RESERVATIONS", "RESERVED", "LEFT", "POOL", "TAKEN"}, rows)
}
