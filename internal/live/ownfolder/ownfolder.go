// SPDX-License-Identifier: Apache-2.0

// Package ownfolder tells whether a folder is this user's alone to write: in
// places where anybody can make folders, another user may have been first.
package ownfolder

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrNotOurs is why a folder is not used.
var ErrNotOurs = errors.New("not this user's alone")

// Check gives ErrNotOurs unless dir is a folder (no link to one) that belongs to
// the effective user and that no other user may write, and fs.ErrNotExist if there
// is nothing.
func Check(dir string) error {
	i, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := i.Sys().(*syscall.Stat_t)
	switch {
	case !i.IsDir():
		return fmt.Errorf("%s is no folder: %w", dir, ErrNotOurs)
	case !ok || int(st.Uid) != os.Geteuid():
		return fmt.Errorf("folder %s belongs to another user: %w", dir, ErrNotOurs)
	case i.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("other users may write folder %s (mode %#o): %w", dir, i.Mode().Perm(), ErrNotOurs)
	}
	return nil
}
