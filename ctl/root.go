// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/uls"
)

const rootHelp = `ulsctl maps stream processing agents (SPAs) into the sandbox region of a kernel
with user-level sandboxing, and watches them.

An SPA is native code that the kernel runs at user level, at interrupt time,
over whatever process is current, for each batch of frames a network card has
received. The card moves frames into and out of the SPA's memory by DMA.

Exit status:
  0  done
  1  failed
  2  usage: the command line asks for something impossible
  3  not supported here: no patched kernel, no module, or a device whose driver
     cannot do AF_XDP zero copy
  4  permission: everything but status and verify needs CAP_NET_ADMIN
  5  timed out

Data goes to stdout, everything else to stderr. Every command that reads takes
--json; the fields are documented in docs/ulsctl.md and do not change their
meaning.`

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:               "ulsctl",
		Short:             "Map and watch stream processing agents",
		Long:              rootHelp,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		// Without it cobra prints the help for an unknown subcommand, and is content.
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cli.Strict(root)
	cli.Versioned(root)
	root.AddCommand(
		statusCommand(), mapCommand(), unmapCommand(), replaceCommand(),
		listCommand(), showCommand(), statsCommand(), eventsCommand(), logCommand(),
		setCommand(), limitCommand(), flowCommand(), verifyCommand(), benchCommand(),
		cli.DocsCommand("User-level sandboxing"),
	)
	return root
}

// withClient connects to the module for the time of f.
func withClient(f func(c *uls.Client) error) error {
	c, err := uls.New()
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

// withSPA finds an SPA by its name as well.
func withSPA(name string, f func(c *uls.Client, s *uls.SPA) error) error {
	return withClient(func(c *uls.Client) error {
		s, err := c.SPAByName(name)
		if err != nil {
			return err
		}
		return f(c, s)
	})
}

// usage makes an error about a value of the command line one of usage.
func usage(err error) error {
	if err == nil || !errors.Is(err, uls.ErrInvalid) {
		return err
	}
	return fail.Usagef("%w", err)
}

// assignments splits words of the form name=value.
func assignments(words []string) (map[string]string, error) {
	out := map[string]string{}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if !ok || name == "" || value == "" {
			return nil, fail.Usagef("%q is not NAME=VALUE", w)
		}
		if _, twice := out[name]; twice {
			return nil, fail.Usagef("%s is set twice", name)
		}
		out[name] = value
	}
	return out, nil
}

// flows parses the notation of each.
func flows(texts []string) (out []uls.Flow, err error) {
	for _, t := range texts {
		f, err := uls.ParseFlow(t)
		if err != nil {
			return nil, usage(err)
		}
		out = append(out, f)
	}
	return out, nil
}
