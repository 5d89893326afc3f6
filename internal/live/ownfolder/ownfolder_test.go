// SPDX-License-Identifier: Apache-2.0

package ownfolder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestCheck(t *testing.T) {
	base := t.TempDir()
	at := func(name string) string { return filepath.Join(base, name) }
	for name, mode := range map[string]fs.FileMode{"ours": 0o700, "read": 0o755, "group": 0o770, "all": 0o777} {
		if err := os.Mkdir(at(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at(name), mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(at("ours"), at("link")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{
		"ours": nil, "read": nil, "group": ErrNotOurs, "all": ErrNotOurs, "file": ErrNotOurs, "link": ErrNotOurs, "none": fs.ErrNotExist,
	} {
		if err := Check(at(name)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	other := "/" // root's
	if os.Geteuid() == 0 {
		other = at("ours")
		if err := os.Chown(other, 1, -1); err != nil {
			t.Fatal(err)
		}
	}
	if err := Check(other); !errors.Is(err, ErrNotOurs) {
		t.Errorf("another user's folder: %v", err)
	}
}
