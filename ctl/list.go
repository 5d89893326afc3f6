// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/uls"
)

func listCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the SPAs",
		Args:  cli.NoArgs,
	}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		return withClient(func(c *uls.Client) error {
			spas, err := c.SPAs()
			if err != nil {
				return err
			}
			if *asJSON {
				return cli.JSON(cmd.OutOrStdout(), spas)
			}
			if len(spas) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "no SPA is mapped")
				return nil
			}
			var rows [][]string
			for _, s := range spas {
				rows = append(rows, []string{
					fmt.Sprint(s.ID), s.Name, cli.Or(s.Version), string(s.State), port(s), s.Base.String(),
					nanoseconds(s.BudgetNS), reservation(s), since(s.Since),
				})
			}
			return cli.Table(cmd.OutOrStdout(),
				[]string{"ID", "NAME", "VERSION", "STATE", "PORT", "BASE", "BUDGET", "RESERVED", "SINCE"}, rows)
		})
	}
	return c
}

func port(s *uls.SPA) string {
	switch {
	case s.Ifindex == 0:
		return "-"
	case s.Device == "":
		return fmt.Sprintf("if%d/%d", s.Ifindex, s.Queue)
	}
	return fmt.Sprintf("%s/%d", s.Device, s.Queue)
}

func reservation(s *uls.SPA) string {
	return s.Reserve().String()
}

// kept says where the reservation is: elsewhere the pool pays.
func kept(s *uls.SPA) string {
	switch {
	case s.RuntimeNS == 0:
		return "none: the pool of the CPU pays"
	case s.HomeCPU == nil:
		return reservation(s) + ", kept on no CPU: none has room"
	}
	return fmt.Sprintf("%s, kept on CPU %d", reservation(s), *s.HomeCPU)
}

func since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// shown is what show prints as JSON: the SPA and what is steered to it.
type shown struct {
	*uls.SPA
	Flows []uls.Flow `json:"flows"` // null if they could not be read
}

func showCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show all of one SPA: state, memory, parameters, flows",
		Long: `Show all of one SPA: state, memory, parameters, flows.

The flows are read from BPF maps, which needs privileges; without them the rest
is shown.`,
		Args: cli.Args("NAME"),
	}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(cmd *cobra.Command, a []string) error {
		return withSPA(a[0], func(c *uls.Client, s *uls.SPA) error {
			fl, err := c.Flows(s)
			switch {
			case errors.Is(err, os.ErrPermission):
				fmt.Fprintln(cmd.ErrOrStderr(), "flows are not shown:", err)
			case err != nil:
				return err
			case fl == nil:
				fl = []uls.Flow{}
			}
			if *asJSON {
				return cli.JSON(cmd.OutOrStdout(), shown{s, fl})
			}
			show(cmd, s, fl)
			return nil
		})
	}
	return c
}

func show(cmd *cobra.Command, s *uls.SPA, fl []uls.Flow) {
	rows := [][2]string{
		{"name", s.Name},
		{"version", cli.Or(s.Version)},
		{"id", fmt.Sprint(s.ID)},
		{"state", string(s.State)},
	}
	if s.Abort != nil {
		rows = append(rows, [2]string{"aborted", s.Abort.Cause + ": " + s.Abort.Text})
	}
	tick := "none"
	if s.TickUS != 0 {
		tick = (time.Duration(s.TickUS) * time.Microsecond).String()
	}
	rows = append(rows, [][2]string{
		{"since", since(s.Since)},
		{"port", port(s)},
		{"budget of an upcall", nanoseconds(s.BudgetNS)},
		{"reservation", kept(s)},
		{"tick", tick},
		{"isolation", s.Isolation},
		{"serial", cli.Yes(s.Serial)},
		{"uses FPU", cli.Yes(s.FPU)},
		{"slice", s.Base.String()},
		{"entry", (s.Base + s.Entry).String()},
		{"stack", size(uint64(s.StackSize)) + " on each CPU"},
		{"heap", size(s.HeapSize)},
	}...)
	if s.UmemSize != 0 && s.ChunkSize != 0 {
		rows = append(rows, [2]string{"frames", fmt.Sprintf("%d of %s", s.UmemSize/uint64(s.ChunkSize), size(uint64(s.ChunkSize)))})
	}
	for _, g := range s.Segments {
		rows = append(rows, [2]string{"segment", fmt.Sprintf("%v %s %s", s.Base+g.Offset, g.Prot, size(g.Size))})
	}
	for _, p := range s.Params {
		rows = append(rows, [2]string{"parameter", fmt.Sprintf("%s = %s  (%s; %s)", p.Name, p.Value, p.Type, p.Help)})
	}
	for _, f := range fl {
		rows = append(rows, [2]string{"flow", f.String()})
	}
	cli.Pairs(cmd.OutOrStdout(), rows)
}
