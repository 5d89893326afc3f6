// SPDX-License-Identifier: Apache-2.0

// Lab builds the patched kernel and the lab image, boots it under QEMU, and runs
// the tests that need a machine of their own.
//
//	lab build [--variant lab|debug]     kernel, module, libraries, tools, image
//	lab shell [--variant ...]           a shell in a booted guest
//	lab run [flags] -- PROGRAM ARGS     one program in a guest
//	lab test [--run REGEXP] [--list]    the VM tests
//	lab check                           checkpatch, sparse and W=1 on our kernel code
//	lab tree                            unpack and patch the kernel source, print where
//	lab clean                           remove the cache
//
// Exit statuses: 0 done, 1 failed, 2 usage, 3 not supported here, 5 timed out.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/lab/vm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := cli.Execute(ctx, root())
	stop()
	if errors.Is(err, vm.ErrTimeout) {
		err = fail.Errorf(fail.ErrTimeout, "%w", err)
	}
	os.Exit(cli.Report(os.Stderr, err))
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "lab",
		Short:         "Build, boot and test the Sandstream laboratory",
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().BoolP("keep-going", "k", false, "leave out a part that does not build instead of failing")
	cli.Strict(c)
	cli.Versioned(c)
	c.AddCommand(buildCommand(), shellCommand(), runCommand(), testCommand(), checkCommand(), layersCommand(), treeCommand(), cleanCommand())
	return c
}
