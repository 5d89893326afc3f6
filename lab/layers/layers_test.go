// SPDX-License-Identifier: Apache-2.0

package layers

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func order(t *testing.T, text string) *Order {
	t.Helper()
	dir := t.TempDir()
	put(t, dir, map[string]string{OrderFile: text})
	o, err := ReadOrder(dir, "mod")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestReadOrder(t *testing.T) {
	o := order(t, "# why\n\nlow middle # left first\nhigh\n")
	if want := [][]string{{"low", "middle"}, {"high"}}; !reflect.DeepEqual(o.Layers, want) {
		t.Errorf("layers %v, want %v", o.Layers, want)
	}
	for text, want := range map[string]string{"a b\na\n": "a stands in it twice", "# nothing\n": "names no file"} {
		dir := t.TempDir()
		put(t, dir, map[string]string{OrderFile: text})
		if _, err := ReadOrder(dir, "mod"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
	if _, err := ReadOrder(t.TempDir(), "mod"); err == nil {
		t.Error("a module without an order is accepted")
	}
}

func TestCheck(t *testing.T) {
	down := []Arrow{
		{From: "port", To: "upcall", Symbol: "upcall_run"},
		{From: "spa", To: "port", Symbol: "port_lock"},
		{From: "spa", To: "upcall"},
	}
	for name, tc := range map[string]struct {
		files  []string
		arrows []Arrow
		want   []string // one piece of each message
	}{
		"all is well": {arrows: down},
		"a circle of two": {
			arrows: append([]Arrow{{From: "port", To: "spa", Symbol: "spa_abort"}}, down...),
			want:   []string{"mod/port.c calls spa_abort of mod/spa.c, which calls port_lock of mod/port.c: a circle"},
		},
		"a circle of three": {
			arrows: append([]Arrow{{From: "upcall", To: "spa", Symbol: "spa_abort"}}, down...),
			want: []string{"mod/upcall.c calls spa_abort of mod/spa.c, which calls port_lock of mod/port.c, " +
				"which calls upcall_run of mod/upcall.c: a circle; a file uses what stands before it in mod/layers"},
		},
		"a variable of a higher file": {
			arrows: []Arrow{{From: "upcall", To: "spa", Symbol: "spa_lock", Variable: true}},
			want:   []string{"mod/upcall.c uses spa_lock of mod/spa.c, which stands above upcall"},
		},
		"upwards, and not back": {
			arrows: []Arrow{{From: "upcall", To: "port", Symbol: "port_frames"}},
			want:   []string{"mod/upcall.c calls port_frames of mod/port.c, which stands above upcall in mod/layers"},
		},
		"a header of a higher file": {
			arrows: append([]Arrow{{From: "upcall", To: "spa"}, {From: "port", To: "spa", Header: true}}, down...),
			want: []string{
				"mod/upcall.c includes mod/spa.h, which stands above upcall in mod/layers",
				"mod/port.h includes mod/spa.h, which stands above port",
			},
		},
		"a file without a place": {
			files: []string{"upcall", "port", "spa", "new"},
			want:  []string{"mod/new: it has no place in mod/layers"},
		},
		"a place without a file": {
			files: []string{"upcall", "spa"},
			want:  []string{"mod/layers: there is no mod/port.c or .h"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.files == nil {
				tc.files = []string{"upcall", "port", "spa"}
			}
			got := order(t, "upcall port\nspa\n").Check(tc.files, tc.arrows)
			if len(got) != len(tc.want) {
				t.Fatalf("%d messages %q, want %d", len(got), got, len(tc.want))
			}
			for i := range got {
				if !strings.Contains(got[i], tc.want[i]) {
					t.Errorf("message %q, want one with %q", got[i], tc.want[i])
				}
			}
		})
	}
}

func TestTable(t *testing.T) {
	got := order(t, "low middle\nhigh\n").Table([]Arrow{
		{From: "high", To: "middle", Symbol: "m"}, {From: "high", To: "low", Symbol: "l"}, {From: "high", To: "low"},
	})
	if want := "high       low middle\n\nmiddle\nlow\n"; got != want {
		t.Errorf("table %q, want %q", got, want)
	}
}

// A module of three files: high calls low and enters its own function in low's
// table; middle only includes a header; high leaves low a pointer.
var module = map[string]string{
	"low.h":    "struct ops { int (*back)(void); };\nextern struct ops ops;\nint low(void);\n",
	"low.c":    "#include <stddef.h>\n#include \"low.h\"\nstruct ops ops;\nint low(void) { return ops.back(); }\n",
	"middle.h": "#include \"low.h\"\n",
	"table.c":  "int high(void);\nint (*const table[])(void) = { high };\n",
	"high.c": "#include \"middle.h\"\n#include \"sub/other.h\"\nstatic int back(void) { return 1; }\n" +
		"int high(void) { ops.back = back; return low(); }\n",
	"m.mod.c":   "int x;\n",
	"sub/x.txt": "",
}

func compile(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, dir, files)
	put(t, dir, map[string]string{"sub/other.h": ""})
	for name := range files {
		if filepath.Ext(name) != ".c" {
			continue
		}
		cmd := exec.Command("gcc", "-O2", "-fno-pic", "-c", name)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("gcc %s: %v\n%s", name, err, out)
		}
	}
	return dir
}

func TestObjects(t *testing.T) {
	dir := compile(t, module)
	files, includes, err := Sources(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"high", "low", "middle", "table"}; !reflect.DeepEqual(files, want) {
		t.Errorf("files %v, want %v", files, want)
	}
	if want := []Arrow{{From: "high", To: "middle"}, {From: "middle", To: "low", Header: true}}; !reflect.DeepEqual(includes, want) {
		t.Errorf("includes %v, want %v", includes, want)
	}
	calls, err := Calls(dir, files)
	if err != nil {
		t.Fatal(err)
	}
	// The table's entry is a call-back.
	want := []Arrow{{From: "high", To: "low", Symbol: "low"}, {From: "high", To: "low", Symbol: "ops", Variable: true}}
	if !reflect.DeepEqual(calls, want) {
		t.Errorf("calls %v, want %v", calls, want)
	}
	put(t, dir, map[string]string{OrderFile: "low middle table\nhigh\n"})
	o, err := ReadOrder(dir, "mod")
	if err != nil {
		t.Fatal(err)
	}
	if wrong := o.Check(files, append(includes, calls...)); wrong != nil {
		t.Errorf("%q", wrong)
	}
}

// The same module with a call upwards.
func TestObjectsInACircle(t *testing.T) {
	files := map[string]string{}
	for name, text := range module {
		files[name] = text
	}
	files["low.c"] = "int high(void);\nint low(void);\nint ops[2];\nint low(void) { return high() + 1; }\n"
	dir := compile(t, files)
	names, _, err := Sources(dir)
	if err != nil {
		t.Fatal(err)
	}
	calls, err := Calls(dir, names)
	if err != nil {
		t.Fatal(err)
	}
	wrong := order(t, "low middle table\nhigh\n").Check(names, calls)
	const want = "mod/low.c calls high of mod/high.c, which calls low of mod/low.c: a circle"
	if len(wrong) != 1 || !strings.Contains(wrong[0], want) {
		t.Errorf("%q, want one message with %q", wrong, want)
	}
	if _, err := Calls(t.TempDir(), names); err == nil {
		t.Error("a folder without objects is accepted")
	}
	put(t, dir, map[string]string{"low.o": "no object"})
	if _, err := Calls(dir, names); err == nil {
		t.Error("a file that is no object is accepted")
	}
}
