// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/lab/image"
	"sandstream/lab/kbuild"
)

func buildCommand() *cobra.Command {
	var variants []string
	var kernelOnly bool
	c := &cobra.Command{
		Use:   "build",
		Short: "Build kernel, module, libraries, tools and image; does nothing that is already done",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, v := range variants {
				if kernelOnly {
					if err := buildKernel(c.Context(), v); err != nil {
						return err
					}
				} else if _, err := buildLab(c.Context(), v, keepGoing(c)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().StringSliceVar(&variants, "variant", []string{"lab"}, "kernel variants: lab, debug")
	c.Flags().BoolVar(&kernelOnly, "kernel", false, "the kernel only")
	return c
}

func buildKernel(ctx context.Context, variant string) error {
	b, err := image.Builder(image.Options{})
	if err != nil {
		return err
	}
	v, err := kbuild.FindVariant(variant)
	if err != nil {
		return err
	}
	k, err := b.Build(ctx, v)
	if err != nil {
		return err
	}
	fmt.Println(k.BzImage)
	return nil
}

// buildLab builds the lab and says on stderr what it holds.
func buildLab(ctx context.Context, variant string, keepGoing bool) (*image.Lab, error) {
	start := time.Now()
	l, err := image.Build(ctx, image.Options{Variant: variant, KeepGoing: keepGoing})
	if err != nil {
		return nil, err
	}
	for _, line := range l.Missing() {
		fmt.Fprintln(os.Stderr, "lab: not built: "+line)
	}
	fmt.Fprintf(os.Stderr, "lab: variant %s ready in %s, kernel %s\n",
		variant, time.Since(start).Round(100*time.Millisecond), l.Kernel.BzImage)
	return l, nil
}

// keepGoing is the flag --keep-going of every command that builds.
func keepGoing(c *cobra.Command) bool {
	v, err := c.Flags().GetBool("keep-going")
	return err == nil && v
}
