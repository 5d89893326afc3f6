// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// maxFields is how many fields the state of a machine may have.
const maxFields = 15

// machines are the packages whose structs are counted. Messages and other
// plain data (wire) are not state.
var machines = layers[:len(layers)-1]

// size is how large a struct is.
type size struct {
	at, name        string // file:line; links.Prober
	fields, methods int
}

// checkStructs counts the fields of structs that are state of a machine: those
// with a method on a pointer. Effects, requests and messages have at most
// methods on values, and what is called Config or Status is not state, whatever
// its methods. Fields of an embedded struct are that struct's own; fields of a
// struct without a name are counted here.
func checkStructs(w io.Writer, root string) error {
	list, missing, err := sources(root, machines)
	if err != nil {
		return err
	}
	var all []size
	for _, f := range list {
		all = append(all, sizes(f)...)
	}
	slices.SortStableFunc(all, func(a, b size) int { return cmp.Compare(b.fields, a.fields) })
	tab := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tab, "structs with state, largest first\tfields\tmethods\twhere\n")
	wrong := missing
	for n, s := range all {
		if n < 8 || s.fields > maxFields {
			fmt.Fprintf(tab, "  %s\t%6d\t%7d\t%s\n", s.name, s.fields, s.methods, s.at)
		}
		if s.fields > maxFields {
			wrong = append(wrong, fmt.Sprintf("%s: %s has %d fields; a struct with state may have %d\n%s", s.at, s.name, s.fields, maxFields,
				wrap("Whoever changes one method must know of all fields. Find the fields that change together, give them a struct with methods of its own, and a name.", "  ")))
		}
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	for _, s := range wrong {
		fmt.Fprintln(w, s)
	}
	if len(wrong) > 0 {
		return errors.New("structs: some are too large, or a layer of the core is missing")
	}
	fmt.Fprintf(w, "structs: all %d with state have %d fields or fewer\n", len(all), maxFields)
	return nil
}

// sizes are the structs of a package that have methods on pointers.
func sizes(f folder) (list []size) {
	methods := map[string]int{}
	for _, file := range f.files {
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
				if star, ok := fn.Recv.List[0].Type.(*ast.StarExpr); ok {
					methods[base(star.X)]++
				}
			}
		}
	}
	for _, file := range f.files {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if st, ok := spec.Type.(*ast.StructType); ok && methods[spec.Name.Name] > 0 && !plain(spec.Name.Name) {
				list = append(list, size{
					at:   f.fset.Position(spec.Pos()).String(),
					name: f.path[strings.LastIndex(f.path, "/")+1:] + "." + spec.Name.Name,

					fields: fields(st), methods: methods[spec.Name.Name],
				})
			}
			return true
		})
	}
	return list
}

// plain tells by its name that a type is no state.
func plain(name string) bool {
	return strings.HasSuffix(name, "Config") || strings.HasSuffix(name, "Status")
}

// base is the name of a receiver's type, without type parameters.
func base(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.IndexExpr:
		return base(x.X)
	case *ast.IndexListExpr:
		return base(x.X)
	}
	return ""
}

func fields(st *ast.StructType) (n int) {
	for _, f := range st.Fields.List {
		each := 1
		if inner, ok := f.Type.(*ast.StructType); ok {
			each = fields(inner)
		}
		n += each * max(1, len(f.Names))
	}
	return n
}
