// SPDX-License-Identifier: Apache-2.0

// Lab builds the patched kernel and the lab image, boots it under QEMU, and runs
// the tests that need a machine of their own.
//
//	lab build [--variant lab|debug]     kernel, module, libraries, tools, image
//	lab shell [--variant ...]           a shell in a booted guest
//	lab run [flags] -- PROGRAM ARGS     one program in a guest
//	lab test [--run REGEXP] [--list]    the VM tests
//	lab check                           checkpatch, sparse and W=1 on our kernel code
//	lab clean                           remove the cache
//
// Exit statuses: 0 done, 1 failed, 2 usage, 3 not supported here, 5 timed out.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"sandstream/internal/vm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
	}
	os.Exit(status(err))
}

// usageError is an error in how the command was called.
type usageError struct{ error }

func status(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return 2
	case errors.Is(err, vm.ErrTimeout):
		return 5
	}
	return 1
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "lab",
		Short:         "Build, boot and test the Sandstream laboratory",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	c.PersistentFlags().BoolP("keep-going", "k", false, "leave out a part that does not build instead of failing")
	c.AddCommand(buildCommand(), shellCommand(), runCommand(), testCommand(), checkCommand(), cleanCommand())
	return c
}
