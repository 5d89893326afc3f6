// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/lab/image"
	"sandstream/lab/kbuild"
)

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "checkpatch --strict on the patches and kmod, sparse and W=1 on the files they touch",
		Args:  cli.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return checkKernel(c.Context()) },
	}
}

// moduleDirs are the folders with kernel modules.
var moduleDirs = []string{"kmod", "lab/guest/gen", "lab/guest/kforward", "lab/guest/kfpu"}

func checkKernel(ctx context.Context) error {
	b, err := image.Builder(image.Options{})
	if err != nil {
		return err
	}
	v, err := kbuild.FindVariant("lab")
	if err != nil {
		return err
	}
	k, err := b.Build(ctx, v)
	if err != nil {
		return err
	}
	_, series, err := b.Tree(ctx, v)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "check: checkpatch --strict, W=1 and sparse over %d patches and kmod (about a minute)\n", len(series))
	style, err := b.Checkpatch(ctx, k.Tree, series, moduleDirs...)
	if err != nil {
		return err
	}
	compiled := moduleDirs
	if missing := image.ModuleNeeds(k, "kmod"); missing != nil {
		fmt.Fprintln(os.Stderr, "check: kmod is not compiled:", missing)
		compiled = moduleDirs[1:]
	}
	static, err := b.Static(ctx, k, series, compiled...)
	if err != nil {
		return err
	}
	for _, line := range append(style, static...) {
		fmt.Println(line)
	}
	if n := len(style) + len(static); n > 0 {
		return fmt.Errorf("%d findings in kernel code", n)
	}
	fmt.Printf("check: %d patches, kmod and the modules of the lab: no finding\n", len(series))
	return nil
}

func treeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "tree",
		Short: "Unpack and patch the kernel source, build nothing; print where it is",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := image.Builder(image.Options{})
			if err != nil {
				return err
			}
			v, err := kbuild.FindVariant("lab")
			if err != nil {
				return err
			}
			tree, _, err := b.Tree(c.Context(), v)
			if err == nil {
				fmt.Println(tree)
			}
			return err
		},
	}
}
