// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/uls"
)

func benchCommand() *cobra.Command {
	o := uls.BenchOptions{Samples: 1000, Batch: 1}
	c := &cobra.Command{
		Use:   "bench NAME",
		Short: "Measure what a crossing into the sandbox and back costs",
		Long: `Measure what a crossing into the sandbox and back costs: upcalls that do nothing,
made in the context of this command. A sample is a batch of upcalls made back to
back. With --services each upcall also calls a service that often, and the
difference is the cost of a service.`,
		Args: cli.Args("NAME"),
	}
	asJSON := cli.JSONFlag(c)
	c.Flags().Uint32Var(&o.Samples, "samples", o.Samples, "samples, 1 to 65536")
	c.Flags().Uint32Var(&o.Batch, "batch", o.Batch, "upcalls in a sample, 1 to 4096")
	c.Flags().Uint64Var(&o.Services, "services", 0, "calls of a service in each upcall")
	c.RunE = func(cmd *cobra.Command, a []string) error {
		if o.Samples == 0 || o.Samples > 65536 || o.Batch == 0 || o.Batch > 4096 {
			return fail.Usagef("--samples goes from 1 to 65536, --batch from 1 to 4096")
		}
		return withSPA(a[0], func(c *uls.Client, s *uls.SPA) error {
			b, err := c.Bench(s, o)
			if err != nil {
				return err
			}
			if *asJSON {
				return cli.JSON(cmd.OutOrStdout(), b)
			}
			row := func(name string, ns, tsc uint64) []string {
				n := float64(max(b.Batch, 1))
				return []string{name, fmt.Sprintf("%.1f", float64(ns)/n), fmt.Sprintf("%.1f", float64(tsc)/n)}
			}
			n := uint64(max(b.Samples, 1))
			if err := cli.Table(cmd.OutOrStdout(), []string{"ONE UPCALL", "NANOSECONDS", "TSC CYCLES"}, [][]string{
				row("minimum", b.NSMin, b.TSCMin), row("median", b.NSMedian, b.TSCMedian),
				row("mean", b.NSTotal/n, b.TSCTotal/n), row("maximum", b.NSMax, b.TSCMax),
			}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d samples of %d upcalls; the stamps themselves cost %d cycles a sample\n",
				b.Samples, b.Batch, b.TSCOverhead)
			return nil
		})
	}
	return c
}
