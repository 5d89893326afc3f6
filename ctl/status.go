// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/uls"
)

func statusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Say whether this machine can run SPAs, and how many it runs",
		Long: `Say whether this machine can run SPAs, and how many it runs.

Exit status 3 if it cannot; the message says why and names the way out.`,
		Args: cli.NoArgs,
	}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		info, err := status()
		if *asJSON {
			if info == nil {
				info = &uls.Info{Reason: fmt.Sprint(err)}
			}
			if jerr := cli.JSON(cmd.OutOrStdout(), info); jerr != nil {
				return errors.Join(err, jerr)
			}
			return err
		}
		if err != nil {
			return err
		}
		m := info.Memory
		cli.Pairs(cmd.OutOrStdout(), [][2]string{
			{"user-level sandboxing", "ready"},
			{"module", info.Release},
			{"netlink family", fmt.Sprint("version ", info.Version)},
			{"interface to SPAs", fmt.Sprint("version ", info.ABI)},
			{"slices", fmt.Sprintf("%d of %d in use", info.SlicesUsed, info.Slices)},
			{"memory held", fmt.Sprintf("%d pages (%s), %d other allocations, %d sockets", m.Pages, size(m.Pages*4096), m.Allocations, m.Sockets)},
			{"CPUs", fmt.Sprint(info.CPUs)},
			{"budget of an upcall", fmt.Sprintf("%s unless asked for, at most %s", nanoseconds(info.BudgetNS), nanoseconds(info.BudgetMaxNS))},
			{"room for an SPA", fmt.Sprintf("image %s, heap %s, stack %s, frames %s",
				size(info.ImageMax), size(info.HeapMax), size(uint64(info.StackMax)), size(info.UmemMax))},
		})
		return nil
	}
	return c
}

// status returns the module's word, if there is a module, and an error if SPAs
// cannot run here.
func status() (info *uls.Info, err error) {
	err = withClient(func(c *uls.Client) error {
		if info, err = c.Info(); err != nil {
			return err
		}
		return info.Usable()
	})
	return info, err
}
