// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const sandboxlib = "../../../sandboxlib"

// The committed modules are what the sources give, byte for byte, with the
// compiler they were made by.
func TestModulesAreCurrent(t *testing.T) {
	for _, tool := range []string{"clang", "wasm-ld", "llvm-ar", "make"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("not compared with the sources: %s is not installed (Debian: clang lld llvm make)", tool)
		}
	}
	made, err := os.ReadFile("testdata/compiler")
	if err != nil {
		t.Fatal(err)
	}
	have, err := exec.CommandContext(t.Context(), "clang", "-dumpversion").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, have) {
		t.Skipf("not compared with the sources: they were made by clang %s, here is %s",
			bytes.TrimSpace(made), bytes.TrimSpace(have))
	}
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "make", "-s", "-C", sandboxlib, "O="+dir, "wasm").CombinedOutput()
	if err != nil {
		t.Fatalf("make: %v\n%s", err, out)
	}
	files, err := filepath.Glob("*/*.wasm")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d modules: %v", len(files), err)
	}
	for _, f := range files {
		built := strings.Replace(f, "testdata", "tests", 1)
		built = filepath.Join(dir, "wasm", strings.TrimPrefix(built, "wasm/"))
		want, err := os.ReadFile(built)
		if err != nil {
			t.Errorf("%s: its source is gone: %v", f, err)
			continue
		}
		got, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what its source gives: run `make -C sandboxlib wasm-modules` and commit", f)
		}
	}
}
