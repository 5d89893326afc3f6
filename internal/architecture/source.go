// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// folder is the parsed source of one package of the core, without its tests.
type folder struct {
	path  string // "./internal/overlay/links"
	fset  *token.FileSet
	files []*ast.File
}

// sources parses the given packages; which of them have no source yet is said
// in missing.
func sources(root string, paths []string) (list []folder, missing []string, err error) {
	for _, path := range paths {
		f := folder{path: path, fset: token.NewFileSet()}
		names, err := filepath.Glob(filepath.Join(root, path, "*.go"))
		if err != nil {
			return nil, nil, err
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, nil, err
			}
			shown := strings.TrimPrefix(path, "./") + "/" + filepath.Base(name)
			file, err := parser.ParseFile(f.fset, shown, text, parser.SkipObjectResolution)
			if err != nil {
				return nil, nil, err
			}
			f.files = append(f.files, file)
		}
		if len(f.files) == 0 {
			missing = append(missing, fmt.Sprintf("%s has no source: it is one of the core's layers (internal/architecture/ruletable.go)", path))
			continue
		}
		list = append(list, f)
	}
	return list, missing, nil
}
