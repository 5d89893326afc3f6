// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// source is a folder of one made-up file.
func source(t *testing.T, text string) folder {
	t.Helper()
	f := folder{path: "./internal/overlay/links", fset: token.NewFileSet()}
	file, err := parser.ParseFile(f.fset, "a.go", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	f.files = []*ast.File{file}
	return f
}

func TestCalls(t *testing.T) {
	for body, wrong := range map[string]bool{
		`const d time.Duration = 3 * time.Second`:       false,
		`func f(r *rand.Rand) int { return r.IntN(3) }`: false,
		`var r = rand.New(rand.NewPCG(1, 2))`:           false,
		`var now = time.Now`:                            true,
		`var t time.Time`:                               true,
		`func f() { time.Sleep(1) }`:                    true,
		`func f() { time.AfterFunc(1, f) }`:             true,
		`var n = rand.IntN(3)`:                          true,
		`func f() { go f() }`:                           true,
		`var c chan int`:                                true,
		`func f() { select {} }`:                        true,
	} {
		got := impurities(source(t, "package links\nimport (\"time\"; \"math/rand/v2\")\n"+body))
		if (len(got) > 0) != wrong {
			t.Errorf("%s: %q", body, got)
		}
		if wrong && (len(got) == 0 || !strings.HasPrefix(got[0], "a.go:3:") || !strings.Contains(got[0], "The core ") && !strings.Contains(got[0], "of the core")) {
			t.Errorf("%s: the message does not teach: %q", body, got)
		}
	}
	if got := impurities(source(t, "package links\nimport clock \"time\"\nvar now = clock.Now\n")); len(got) != 1 {
		t.Errorf("an import under another name: %q", got)
	}
}

func TestSizes(t *testing.T) {
	got := sizes(source(t, `package links
type peer struct { a, b int; c string; inner struct { d, e int }; wide }
func (p *peer) f() {}
func (p *peer) g() {}
type wide struct { a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q int } // plain data
func (w wide) f() {}
type Config struct { a int }
func (c *Config) check() {}
type table[K comparable] struct { m map[K]int }
func (t *table[K]) f() {}
`))
	words := make([]string, len(got))
	for n, s := range got {
		words[n] = fmt.Sprint(s.name, " ", s.fields, " ", s.methods)
	}
	if want := "links.peer 6 2, links.table 1 1"; strings.Join(words, ", ") != want {
		t.Errorf("%v, want %s", words, want)
	}
}

// house writes a made-up repository and gives its folder.
func house(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[name]), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestLargeStruct(t *testing.T) {
	files := map[string]string{}
	for _, l := range layers {
		files[l+"/a.go"] = "package " + filepath.Base(l) + "\ntype s struct { a, b, c, d, e, f, g, h, i, j, k, l, m, n, o int }\nfunc (*s) f() {}\n"
	}
	if err := checkStructs(io.Discard, house(t, files)); err != nil {
		t.Errorf("15 fields: %v", err)
	}
	files[layers[2]+"/b.go"] = "package " + filepath.Base(layers[2]) + "\ntype t struct { a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p int }\nfunc (*t) f() {}\n"
	var out strings.Builder
	if err := checkStructs(&out, house(t, files)); err == nil || !strings.Contains(out.String(), "zones.t has 16 fields") {
		t.Errorf("16 fields: %v\n%s", err, &out)
	}
}

func TestMissingLayer(t *testing.T) {
	root := t.TempDir()
	for name, check := range map[string]func(io.Writer) error{
		"structs": func(w io.Writer) error { return checkStructs(w, root) },
		"calls":   func(w io.Writer) error { return checkCalls(w, root) },
		"cover":   func(w io.Writer) error { return checkCover(w, root, covered) },
	} {
		var out strings.Builder
		if err := check(&out); err == nil || !strings.Contains(out.String(), "./internal/overlay/links has no source") {
			t.Errorf("%s with a layer missing: %v\n%s", name, err, &out)
		}
	}
}

func TestProfile(t *testing.T) {
	files, err := parseProfile([]byte(`mode: set
sandstream/internal/overlay/links/a.go:1.2,3.4 6 1
sandstream/internal/overlay/links/a.go:4.2,5.4 2 0
sandstream/internal/overlay/links/b.go:1.2,3.4 1 3
sandstream/internal/overlay/zones/c.go:1.2,3.4 17 2
sandstream/internal/overlay/zones/c.go:4.2,5.4 3 0
`))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	low, err := printCover(&out, []folder{{path: "./internal/overlay/links"}, {path: "./internal/overlay/zones"}}, files)
	if err != nil || len(low) != 1 || !strings.Contains(low[0], "reach 77.8 %") || !strings.Contains(low[0], "2 of 8 in internal/overlay/links/a.go") {
		t.Errorf("%v %v\n%s", low, err, &out)
	}
	if !strings.Contains(out.String(), "overlay/zones") || !strings.Contains(out.String(), "85.0 %") {
		t.Errorf("the table:\n%s", &out)
	}
	if _, err := parseProfile([]byte("a.go\n")); err == nil {
		t.Error("nonsense was read as a profile")
	}
}

// Two machines of a made-up module: what the tests of one reach of the other
// does not count.
func TestCoverAlone(t *testing.T) {
	zones, links := "./internal/overlay/zones", "./internal/overlay/links"
	files := map[string]string{"go.mod": "module sandstream\n\ngo 1.26\n"}
	for _, l := range []string{zones, links} {
		name := filepath.Base(l)
		files[l+"/a.go"] = "package " + name + "\n\nfunc F() int { return 1 }\n"
		files[l+"/a_test.go"] = "package " + name + "\n\nimport \"testing\"\n\nfunc TestF(t *testing.T) { F() }\n"
	}
	files[zones+"/b_test.go"] = "package zones\n\nimport (\n\t\"testing\"\n\n\t\"sandstream/internal/overlay/links\"\n)\n\nfunc TestG(t *testing.T) { links.F() }\n"
	root := house(t, files)
	var out strings.Builder
	if err := checkCover(&out, root, []string{zones, links}); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if err := os.Remove(filepath.Join(root, links, "a_test.go")); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := checkCover(&out, root, []string{zones, links}); err == nil || !strings.Contains(out.String(), links+": its own tests reach 0.0 %") || strings.Contains(out.String(), zones+": its own") {
		t.Errorf("%v\n%s", err, &out)
	}
}
