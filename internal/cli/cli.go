// SPDX-License-Identifier: Apache-2.0

// Package cli is what the project's commands have in common: strict command
// lines, output that must get out, tables and JSON, manual pages. Beside the
// commands (and lab/points, which makes some) only it knows cobra. What a
// failure means to the exit status is package fail's.
package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sandstream/internal/fail"
)

// Execute runs root, which has failed too if its output did not get out.
func Execute(ctx context.Context, root *cobra.Command) error {
	w := &firstError{w: root.OutOrStdout()}
	root.SetOut(w)
	err := root.ExecuteContext(ctx)
	if err == nil && w.err != nil {
		return fmt.Errorf("write the output: %w", w.err)
	}
	return err
}

// firstError remembers the first error of a writer.
type firstError struct {
	w   io.Writer
	err error
}

func (f *firstError) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if f.err == nil {
		f.err = err
	}
	return n, err
}

// Report writes err, if there is one, as one line to w and returns its status.
func Report(w io.Writer, err error) int {
	if err != nil {
		fmt.Fprintf(w, "error: %v\n", err)
	}
	return fail.Status(err)
}

// Strict makes bad flags, unknown subcommands and surplus arguments of root
// usage errors (status 2) which point to the help text. Call it on the root;
// subcommands inherit the flag part, and get the argument part from NoArgs.
func Strict(root *cobra.Command) {
	root.Args = NoArgs
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fail.Usagef("%w (see '%s --help')", err, cmd.CommandPath())
	})
}

// NoArgs refuses positional arguments as a usage error.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return fail.Usagef("unknown command %q for %q (see '%s --help')", args[0], cmd.CommandPath(), cmd.CommandPath())
	}
	return fail.Usagef("%s takes no argument, but there is %q", cmd.CommandPath(), args[0])
}

// Args requires the positional arguments that names list, in that order.
func Args(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, have []string) error {
		switch {
		case len(have) < len(names):
			return fail.Usagef("%s: %s is missing (see '%s --help')", cmd.CommandPath(), names[len(have)], cmd.CommandPath())
		case len(have) > len(names):
			return fail.Usagef("%s: %q is one argument too many (see '%s --help')", cmd.CommandPath(), have[len(names)], cmd.CommandPath())
		}
		return nil
	}
}

// Underlying is where a command's output goes in the end.
func Underlying(w io.Writer) io.Writer {
	if f, ok := w.(*firstError); ok {
		return f.w
	}
	return w
}
