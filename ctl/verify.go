// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/uls"
)

func verifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify FILE.spa",
		Short: "Check an SPA's file, on any machine and without privileges",
		Long: `Check an SPA's file as map would, on any machine and without privileges. Exit
status 1 if it would be refused.`,
		Args: cli.Args("FILE.spa"),
	}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(cmd *cobra.Command, a []string) error {
		f, err := uls.Verify(a[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return cli.JSON(cmd.OutOrStdout(), f)
		}
		rows := [][2]string{
			{"file", f.File},
			{"name", f.Name},
			{"version", cli.Or(f.Version)},
			{"interface to SPAs", fmt.Sprint("version ", f.ABI)},
			{"serial", cli.Yes(f.Serial)},
			{"uses FPU", cli.Yes(f.FPU)},
			{"entry", f.Entry.String()},
			{"stack", size(uint64(f.StackSize))},
			{"heap", size(f.HeapSize)},
			{"tick", fmt.Sprintf("%d us", f.TickUS)},
			{"relocations", fmt.Sprint(f.Relocations)},
		}
		for _, s := range f.Segments {
			rows = append(rows, [2]string{"segment", fmt.Sprintf("%v %s %s", s.Offset, s.Prot, size(s.Size))})
		}
		for _, p := range f.Params {
			rows = append(rows, [2]string{"parameter", fmt.Sprintf("%s = %s  (%s; %s)", p.Name, p.Value, p.Type, p.Help)})
		}
		rows = append(rows, [2]string{"counters", cli.Or(strings.Join(f.Counters, ", "))})
		cli.Pairs(cmd.OutOrStdout(), rows)
		return nil
	}
	return c
}
