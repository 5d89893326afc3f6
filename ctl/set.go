// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sort"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/uls"
)

func setCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "set NAME PARAMETER=VALUE ...",
		Short: "Change parameters, budget or reservation of a running SPA",
		Long: `Change parameters, budget or reservation of a running SPA.

"budget=DURATION" and "reserve=RUNTIME/PERIOD" (or "reserve=none") belong to every
SPA; 'ulsctl show NAME' lists its own parameters.`,
		Example: `  ulsctl set forward limit=1000 budget=200us
  ulsctl set forward reserve=300us/1ms`,
		Args: func(cmd *cobra.Command, a []string) error {
			if len(a) < 2 {
				return fail.Usagef("%s: NAME and at least one PARAMETER=VALUE are needed", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, a []string) error {
			values, err := assignments(a[1:])
			if err != nil {
				return err
			}
			limits, err := takeLimits(values)
			if err != nil {
				return err
			}
			return withSPA(a[0], func(c *uls.Client, s *uls.SPA) error {
				return set(c, s, limits, values)
			})
		},
	}
}

// takeLimits removes budget and reserve from the assignments.
func takeLimits(values map[string]string) (l uls.Limits, err error) {
	if text, ok := values["budget"]; ok {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return l, fail.Usagef("budget=%s is not a duration (200us)", text)
		}
		l.Budget = &d
		delete(values, "budget")
	}
	if text, ok := values["reserve"]; ok {
		r, err := uls.ParseReserve(text)
		if err != nil {
			return l, usage(err)
		}
		l.Reserve = &r
		delete(values, "reserve")
	}
	return l, nil
}

func set(c *uls.Client, s *uls.SPA, l uls.Limits, values map[string]string) error {
	if l != (uls.Limits{}) {
		if err := c.SetLimits(s, l); err != nil {
			return err
		}
	}
	var names []string
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := c.SetParam(s, name, values[name]); err != nil {
			return err
		}
	}
	return nil
}

func flowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "flow",
		Short: "Add, delete or list the flows of a running SPA",
		Long:  "Add, delete or list the flows of a running SPA.\n\n" + flowHelp,
		Args:  cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fail.Usagef("flow add, flow del or flow list? (see '%s --help')", cmd.CommandPath())
		},
	}
	change := func(use, short string, do func(*uls.Client, *uls.SPA, uls.Flow) error) *cobra.Command {
		return &cobra.Command{
			Use: use + " NAME FLOW", Short: short, Args: cli.Args("NAME", "FLOW"),
			RunE: func(_ *cobra.Command, a []string) error {
				f, err := uls.ParseFlow(a[1])
				if err != nil {
					return usage(err)
				}
				return withSPA(a[0], func(c *uls.Client, s *uls.SPA) error { return do(c, s, f) })
			},
		}
	}
	list := &cobra.Command{Use: "list NAME", Short: "List the flows of an SPA", Args: cli.Args("NAME")}
	asJSON := cli.JSONFlag(list)
	list.RunE = func(cmd *cobra.Command, a []string) error {
		return withSPA(a[0], func(c *uls.Client, s *uls.SPA) error {
			fl, err := c.Flows(s)
			if err != nil {
				return err
			}
			if *asJSON {
				return cli.JSON(cmd.OutOrStdout(), append([]uls.Flow{}, fl...))
			}
			for _, f := range fl {
				fmt.Fprintln(cmd.OutOrStdout(), f)
			}
			return nil
		})
	}
	c.AddCommand(
		change("add", "Steer one more flow to the SPA", (*uls.Client).AddFlow),
		change("del", "End a flow; only its destination counts", (*uls.Client).DelFlow),
		list,
	)
	return c
}
