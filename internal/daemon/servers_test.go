// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"sandstream/internal/cli"
)

// A folder that others may write is no place for the control socket.
func TestSocketInAnothersFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if l, err := listenUnix(filepath.Join(dir, "a.sock")); !errors.Is(err, cli.ErrPermission) {
		t.Errorf("%v, %v", l, err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	made := filepath.Join(os.TempDir(), "sandstream-0")
	l, err := listenUnix(filepath.Join(made, "a.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	i, err := os.Stat(made)
	if err != nil {
		t.Fatal(err)
	}
	if i.Mode().Perm() != 0o700 {
		t.Errorf("others may look into %v", i.Mode())
	}
}
