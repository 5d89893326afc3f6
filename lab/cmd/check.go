// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/lab/image"
	"sandstream/lab/kbuild"
	"sandstream/lab/layers"
)

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "checkpatch --strict, sparse and W=1 on patches and modules; the order of kmod's files",
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
	fmt.Fprintf(os.Stderr, "check: checkpatch --strict, W=1 and sparse over %d patches and the modules (about two minutes)\n", len(series))
	style, err := b.Checkpatch(ctx, k.Tree, series, moduleDirs...)
	if err != nil {
		return err
	}
	compiled := moduleDirs
	missing := image.ModuleNeeds(k, "kmod")
	if missing != nil {
		fmt.Fprintln(os.Stderr, "check: kmod is not compiled:", missing)
		compiled = moduleDirs[1:]
	}
	static, err := b.Static(ctx, k, series, compiled...)
	if err != nil {
		return err
	}
	var upward []string
	if missing == nil {
		m, err := kmodLayers(ctx, b, k)
		if err != nil {
			return err
		}
		upward = m.wrong()
	}
	for _, line := range slices.Concat(style, static, upward) {
		fmt.Println(line)
	}
	if n := len(style) + len(static) + len(upward); n > 0 {
		return fmt.Errorf("%d findings in kernel code", n)
	}
	fmt.Printf("check: %d patches, kmod and the lab's modules: no finding; no file of kmod calls upwards\n", len(series))
	return nil
}

// layered is a module's order and what is held against it.
type layered struct {
	order  *layers.Order
	files  []string
	arrows []layers.Arrow
}

func (m layered) wrong() []string { return m.order.Check(m.files, m.arrows) }

// kmodLayers compiles kmod and reads who uses whom.
func kmodLayers(ctx context.Context, b *kbuild.Builder, k *kbuild.Kernel) (layered, error) {
	const dir = "kmod"
	var m layered
	modules, err := b.Module(ctx, k, dir)
	if err != nil {
		return m, err
	}
	source := filepath.Join(b.Project, dir)
	if m.order, err = layers.ReadOrder(source, dir); err != nil {
		return m, err
	}
	if m.files, m.arrows, err = layers.Sources(source); err != nil {
		return m, err
	}
	calls, err := layers.Calls(filepath.Dir(modules[0]), m.files)
	m.arrows = append(m.arrows, calls...)
	return m, err
}

// builder builds the lab's kernel.
func builder() (*kbuild.Builder, kbuild.Variant, error) {
	b, err := image.Builder(image.Options{})
	if err != nil {
		return nil, kbuild.Variant{}, err
	}
	v, err := kbuild.FindVariant("lab")
	return b, v, err
}

func layersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "layers",
		Short: "Who uses whom in kmod, from the top to the bottom; fails if a file uses a higher one",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, v, err := builder()
			if err != nil {
				return err
			}
			k, err := b.Build(c.Context(), v)
			if err != nil {
				return err
			}
			m, err := kmodLayers(c.Context(), b, k)
			if err != nil {
				return err
			}
			fmt.Print(m.order.Table(m.arrows))
			wrong := m.wrong()
			for _, line := range wrong {
				fmt.Fprintln(os.Stderr, line)
			}
			if len(wrong) > 0 {
				return fmt.Errorf("%d findings in the order of kmod's files", len(wrong))
			}
			return nil
		},
	}
}

func treeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "tree",
		Short: "Unpack and patch the kernel source, build nothing; print where it is",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, v, err := builder()
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
