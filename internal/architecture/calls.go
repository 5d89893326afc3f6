// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"go/ast"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// An import says too little of these packages: the core may use of them only
// what is listed here.
var partly = map[string]struct {
	fine []string
	why  string
}{
	"time": {
		[]string{"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"},
		"The core has no clock: the driver says what time it is, as a time.Duration since some beginning. Take the turn's time instead.",
	},
	"math/rand/v2": {
		[]string{"New", "NewPCG", "PCG", "Rand", "Source"},
		"All chance of the core comes from the seed that New got, or no run could be repeated. Draw from the turn's generator instead.",
	},
}

// checkCalls refuses clocks, chance and concurrency in the core's source.
func checkCalls(w io.Writer, root string) error {
	list, missing, err := sources(root, layers)
	if err != nil {
		return err
	}
	wrong := missing
	for _, f := range list {
		wrong = append(wrong, impurities(f)...)
	}
	for _, s := range wrong {
		fmt.Fprintln(w, s)
	}
	if len(wrong) > 0 {
		return errors.New("calls: the core is not pure, or not complete")
	}
	fmt.Fprintf(w, "calls: no clock, chance or goroutine in %d packages of the core\n", len(list))
	return nil
}

// impurities are the uses of clocks, chance and concurrency in a package.
func impurities(f folder) (wrong []string) {
	for _, file := range f.files {
		imported := map[string]string{} // local name → path
		for _, spec := range file.Imports {
			p, _ := strconv.Unquote(spec.Path.Value)
			name := path.Base(strings.TrimSuffix(p, "/v2"))
			if spec.Name != nil {
				name = spec.Name.Name
			}
			imported[name] = p
		}
		add := func(n ast.Node, what, why string) {
			wrong = append(wrong, fmt.Sprintf("%v: %s\n%s", f.fset.Position(n.Pos()), what, wrap(why, "  ")))
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt, *ast.SelectStmt, *ast.ChanType, *ast.SendStmt:
				add(n, "goroutines and channels", "The core does one thing at a time and ends its turn; what must happen later is a timer, what must happen outside is an effect.")
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if !ok {
					break
				}
				p := imported[x.Name]
				if rule, ok := partly[p]; ok && !slices.Contains(rule.fine, n.Sel.Name) {
					add(n, x.Name+"."+n.Sel.Name, rule.why)
				}
			}
			return true
		})
	}
	return wrong
}
