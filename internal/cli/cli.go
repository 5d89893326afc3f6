// SPDX-License-Identifier: Apache-2.0

// Package cli gives every command of the project the same exit statuses:
//
//	0 done, 1 failed, 2 usage, 3 not supported here, 4 permission, 5 timed out
//
// A command returns an ordinary error; one that is more than "failed" wraps
// one of the sentinels below, most easily with Errorf.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
)

// Sentinels that choose the exit status. Test with errors.Is.
var (
	ErrUsage       = errors.New("usage")
	ErrUnsupported = errors.New("not supported here")
	ErrPermission  = errors.New("permission denied")
	ErrTimeout     = errors.New("timed out")
)

// kindError has the text of its own error only, and is its kind as well.
type kindError struct {
	kind error
	err  error
}

func (e kindError) Error() string   { return e.err.Error() }
func (e kindError) Unwrap() []error { return []error{e.kind, e.err} }

// Errorf formats an error whose exit status is that of kind (one of the
// sentinels); the kind adds nothing to the text.
func Errorf(kind error, format string, args ...any) error {
	return kindError{kind, fmt.Errorf(format, args...)}
}

// Usagef is Errorf(ErrUsage, ...): the command line asks for the impossible.
func Usagef(format string, args ...any) error { return Errorf(ErrUsage, format, args...) }

// Status maps an error to the exit status.
func Status(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrUsage):
		return 2
	case errors.Is(err, ErrUnsupported), errors.Is(err, errors.ErrUnsupported):
		return 3
	case errors.Is(err, ErrPermission), errors.Is(err, fs.ErrPermission):
		return 4
	case errors.Is(err, ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return 5
	}
	return 1
}

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
	return Status(err)
}

// Strict makes bad flags, unknown subcommands and surplus arguments of root
// usage errors (status 2) which point to the help text. Call it on the root;
// subcommands inherit the flag part, and get the argument part from NoArgs.
func Strict(root *cobra.Command) {
	root.Args = NoArgs
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return Usagef("%w (see '%s --help')", err, cmd.CommandPath())
	})
}

// NoArgs refuses positional arguments as a usage error.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return Usagef("unknown command %q for %q (see '%s --help')", args[0], cmd.CommandPath(), cmd.CommandPath())
	}
	return Usagef("%s takes no argument, but there is %q", cmd.CommandPath(), args[0])
}

// Args requires the positional arguments that names list, in that order.
func Args(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, have []string) error {
		switch {
		case len(have) < len(names):
			return Usagef("%s: %s is missing (see '%s --help')", cmd.CommandPath(), names[len(have)], cmd.CommandPath())
		case len(have) > len(names):
			return Usagef("%s: %q is one argument too many (see '%s --help')", cmd.CommandPath(), have[len(names)], cmd.CommandPath())
		}
		return nil
	}
}
