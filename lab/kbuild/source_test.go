// SPDX-License-Identifier: Apache-2.0

package kbuild

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const changeHello = `--- a/hello.c
+++ b/hello.c
@@ -1,3 +1,3 @@
 one
-two
+TWO
 three
--- /dev/null
+++ b/sub/new.c
@@ -0,0 +1 @@
+fresh
--- a/gone.c
+++ /dev/null
@@ -1 +0,0 @@
-old
`

// put writes files below a new folder.
func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := writeFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tree returns the content of every file below dir.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		got[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func series(t *testing.T, patches ...string) []Patch {
	t.Helper()
	dir := t.TempDir()
	var names []string
	for i, text := range patches {
		name := string(rune('a'+i)) + ".patch"
		put(t, dir, map[string]string{name: text})
		names = append(names, name)
	}
	put(t, dir, map[string]string{"series": "# comment\n" + strings.Join(names, "\n") + "\n"})
	s, err := ReadSeries(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestApplySeriesForthAndBack(t *testing.T) {
	root := t.TempDir()
	treeDir, orig := filepath.Join(root, "tree"), filepath.Join(root, "orig")
	pristine := map[string]string{"hello.c": "one\ntwo\nthree\n", "gone.c": "old\n", "other.c": "same\n"}
	patched := map[string]string{"hello.c": "one\nTWO\nthree\n", "sub/new.c": "fresh\n", "other.c": "same\n"}
	put(t, treeDir, pristine)
	apply := func(s []Patch, want map[string]string) {
		t.Helper()
		if err := applySeries(context.Background(), Base{Version: "1"}, Source{Version: "1"}, s, treeDir, orig); err != nil {
			t.Fatal(err)
		}
		if got := tree(t, treeDir); !reflect.DeepEqual(got, want) {
			t.Fatalf("tree is %v, want %v", got, want)
		}
	}
	s := series(t, changeHello)
	apply(s, patched)

	// Again: nothing may be rewritten, or make would recompile.
	old := time.Unix(1000, 0)
	for name := range patched {
		if err := os.Chtimes(filepath.Join(treeDir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	apply(s, patched)
	for name := range patched {
		if st, err := os.Stat(filepath.Join(treeDir, name)); err != nil || !st.ModTime().Equal(old) {
			t.Errorf("%s was rewritten although its content is the same", name)
		}
	}

	// An interrupted application leaves a mixture: the next one repairs it.
	put(t, treeDir, map[string]string{"hello.c": "half"})
	apply(s, patched)
	apply(nil, pristine)
	apply(s, patched)
}

func TestApplySeriesNamesThePatchThatFails(t *testing.T) {
	root := t.TempDir()
	treeDir := filepath.Join(root, "tree")
	// A context line differs: with fuzz the patch would apply.
	put(t, treeDir, map[string]string{"hello.c": "ONE\ntwo\nthree\n", "gone.c": "old\n"})
	s := series(t, changeHello)
	err := applySeries(context.Background(), Base{Version: "6.12.1"}, Source{Version: "6.12.2"}, s, treeDir, filepath.Join(root, "orig"))
	var failed *PatchError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want a PatchError", err)
	}
	for _, want := range []string{"a.patch", "6.12.1", "6.12.2", "hello.c"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the message does not name %q: %v", want, err)
		}
	}
	if got := tree(t, treeDir)["hello.c"]; got != "ONE\ntwo\nthree\n" {
		t.Errorf("the tree was changed: %q", got)
	}
}

func TestTouchedRefusesEscapes(t *testing.T) {
	for _, bad := range []string{
		"--- a/../../etc/passwd\n+++ b/../../etc/passwd\n",
		"--- a//etc/passwd\n+++ b//etc/passwd\n",
		"--- hello.c\n+++ hello.c\n",
		"no diff at all\n",
	} {
		if files, err := touched([]byte(bad)); err == nil {
			t.Errorf("%q was accepted as touching %v", bad, files)
		}
	}
}

func TestTouchedIgnoresRemovedLinesThatLookLikeHeaders(t *testing.T) {
	files, err := touched([]byte("--- a/x.sql\n+++ b/x.sql\n@@ -1,2 +1,1 @@\n--- a comment\n keep\n"))
	if err != nil || !reflect.DeepEqual(files, []string{"x.sql"}) {
		t.Errorf("got %v, %v", files, err)
	}
}

func TestReadBase(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"good":  "# why\npackage: p\nversion: 1~2\ntarball: /t\nsha256: ab # comment\n",
		"short": "package: p\n",
		"odd":   "colour: red\n",
	})
	b, err := ReadBase(filepath.Join(dir, "good"))
	if want := (Base{"p", "1~2", "/t", "ab"}); err != nil || b != want {
		t.Errorf("got %+v, %v", b, err)
	}
	for _, name := range []string{"short", "odd", "absent"} {
		if _, err := ReadBase(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestMirror(t *testing.T) {
	root := t.TempDir()
	src, dst := filepath.Join(root, "src"), filepath.Join(root, "dst")
	put(t, src, map[string]string{"Kbuild": "obj-m", "a.c": "a", "sub/b.h": "b", "notes.md": "n"})
	put(t, dst, map[string]string{"stale.c": "s", "a.o": "object", "uls.mod.c": "generated"})
	if err := Mirror(dst, src, kernelSource); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"Kbuild": "obj-m", "a.c": "a", "sub/b.h": "b", "a.o": "object", "uls.mod.c": "generated"}
	if got := tree(t, dst); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
