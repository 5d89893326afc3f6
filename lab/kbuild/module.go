// SPDX-License-Identifier: Apache-2.0

package kbuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Module builds the out-of-tree module in the project's folder dir (for example
// "kmod") against k and returns the paths of the .ko files, sorted. The sources
// are mirrored into the cache and built there, one copy per variant: the
// project's tree stays clean, and two kernels do not overwrite each other's
// objects. Extra arguments go to make (for example "W=1", "C=2").
func (b *Builder) Module(ctx context.Context, k *Kernel, dir string, extra ...string) ([]string, error) {
	unlock, err := b.reading(ctx, k, k.Variant)
	if err != nil {
		return nil, err
	}
	defer unlock()
	mirrorDir := filepath.Join(b.Cache, "module", k.Variant, dir)
	if err := Mirror(mirrorDir, filepath.Join(b.Project, dir), kernelSource); err != nil {
		return nil, err
	}
	args := append([]string{"O=" + k.Objects, "M=" + mirrorDir, "modules"}, extra...)
	if err := b.make(ctx, nil, k.Tree, args...); err != nil {
		return nil, err
	}
	modules, err := filepath.Glob(filepath.Join(mirrorDir, "*.ko"))
	if err == nil && len(modules) == 0 {
		err = fmt.Errorf("%s: its Kbuild made no module", dir)
	}
	sort.Strings(modules)
	return modules, err
}

// kernelSource says which files a module is made of.
func kernelSource(path string) bool {
	switch filepath.Ext(path) {
	case ".c", ".h", ".S", ".lds":
		return !strings.HasSuffix(path, ".mod.c")
	}
	switch filepath.Base(path) {
	case "Makefile", "Kbuild", "Kconfig":
		return true
	}
	return false
}

// Mirror makes dst hold exactly those files of src that keep accepts, at the same
// relative paths; files that are equal keep their time, files that keep would
// accept but src lacks are removed, all other files of dst (objects) stay.
func Mirror(dst, src string, keep func(path string) bool) error {
	wanted := map[string]bool{}
	err := filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !keep(path) {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		wanted[rel] = true
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		target := filepath.Join(dst, rel)
		if have, err := os.ReadFile(target); err == nil && bytes.Equal(have, data) {
			return nil
		}
		return writeFile(target, data, 0o644)
	})
	if err != nil {
		return err
	}
	return filepath.WalkDir(dst, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() || !keep(path) {
			return err
		}
		rel, err := filepath.Rel(dst, path)
		if err != nil || wanted[rel] {
			return err
		}
		return os.Remove(path)
	})
}
