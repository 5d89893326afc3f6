// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sandstream/internal/fail"
)

// A folder that others may write is no place for the control socket.
func TestSocketInAnothersFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if l, err := listenUnix(filepath.Join(dir, "a.sock")); !errors.Is(err, fail.ErrPermission) {
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

// Addresses that cannot be are wrong usage, and say so.
func TestWrongAddresses(t *testing.T) {
	for _, addr := range []string{"foo", "7080", "127.0.0.1:nothing", "127.0.0.1:70000"} {
		if l, err := listenTCP("web", addr); fail.Status(err) != 2 || !strings.Contains(err.Error(), "--web") {
			t.Errorf("%s: %v, %v", addr, l, err)
		}
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 108))
	if l, err := listenUnix(long); fail.Status(err) != 2 || !strings.Contains(err.Error(), "at most 107") {
		t.Errorf("%v, %v", l, err)
	}
}
