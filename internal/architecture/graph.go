// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// module is this module's path. In graphs and rules its packages are written
// as "./internal/cli", others by their import paths.
const module = "sandstream"

// guests are packages of the repository that are modules of their own. go list
// would fetch the libraries that they compare us with, so their files are read
// as they are.
var guests = []string{"./experiments/fanout"}

// Import is one import clause.
type Import struct {
	Path string // "./internal/cli", "net/netip", "github.com/spf13/cobra"
	File string // base name of the file that has it
	Line int
}

// Test tells whether only tests import it.
func (i Import) Test() bool { return strings.HasSuffix(i.File, "_test.go") }

// Package is one package of the project.
type Package struct {
	Path    string // "./internal/cli"
	Main    bool
	Imports []Import // in the order of files and lines
}

// Graph is all packages of the project by their paths.
type Graph map[string]*Package

// Paths are the packages in order.
func (g Graph) Paths() []string { return slices.Sorted(maps.Keys(g)) }

// Uses are the project's packages that p imports outside its tests, in order.
func (g Graph) Uses(p string) []string {
	set := map[string]bool{}
	for _, i := range g[p].Imports {
		if !i.Test() && g[i.Path] != nil {
			set[i.Path] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// listed is what `go list -json` says of a package.
type listed struct {
	Dir, ImportPath, Name string

	GoFiles, CgoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
}

// load asks go list for the packages below root, and reads the import clauses
// of their files itself: with line numbers, and of files for other platforms
// and build tags too.
func load(root string) (Graph, error) {
	list, err := goList(root)
	if err != nil {
		return nil, err
	}
	for _, path := range guests {
		files, err := filepath.Glob(filepath.Join(root, path, "*.go"))
		if err != nil {
			return nil, err
		}
		l := listed{ImportPath: module + strings.TrimPrefix(path, "."), Name: "main"}
		for _, f := range files {
			l.Dir = filepath.Dir(f)
			l.GoFiles = append(l.GoFiles, filepath.Base(f))
		}
		list = append(list, l)
	}
	g := Graph{}
	for _, l := range list {
		p := &Package{Path: local(l.ImportPath), Main: l.Name == "main"}
		for _, f := range slices.Concat(l.GoFiles, l.CgoFiles, l.IgnoredGoFiles, l.TestGoFiles, l.XTestGoFiles) {
			if p.Imports, err = addImports(p.Imports, filepath.Join(l.Dir, f)); err != nil {
				return nil, err
			}
		}
		g[p.Path] = p
	}
	return g, nil
}

func goList(dir string) ([]listed, error) {
	cmd := exec.Command("go", "list", "-json=Dir,ImportPath,Name,GoFiles,CgoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var list []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		list = append(list, l)
	}
}

func addImports(list []Import, file string) ([]Import, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	for _, spec := range f.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		list = append(list, Import{Path: local(path), File: filepath.Base(file), Line: fset.Position(spec.Pos()).Line})
	}
	return list, nil
}

// local writes a package of the project as "./internal/cli".
func local(path string) string {
	if path == module {
		return "."
	}
	if rest, ok := strings.CutPrefix(path, module+"/"); ok {
		return "./" + rest
	}
	return path
}
