// SPDX-License-Identifier: Apache-2.0

package layers

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// OrderFile is the name of the file with a module's order.
const OrderFile = "layers"

// An Order is the written order of a module's files.
type Order struct {
	Module string     // its folder, as messages name it: "kmod"
	Layers [][]string // the lowest first
	place  map[string]int
}

// ReadOrder reads DIR/layers; module is how messages call the folder.
func ReadOrder(dir, module string) (*Order, error) {
	text, err := os.ReadFile(filepath.Join(dir, OrderFile))
	if err != nil {
		return nil, err
	}
	o := &Order{Module: module, place: map[string]int{}}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		names := strings.Fields(line)
		if len(names) == 0 {
			continue
		}
		for _, n := range names {
			if _, ok := o.place[n]; ok {
				return nil, fmt.Errorf("%s: %s stands in it twice", o.file(), n)
			}
			o.place[n] = len(o.place)
		}
		o.Layers = append(o.Layers, names)
	}
	if len(o.place) == 0 {
		return nil, fmt.Errorf("%s names no file", o.file())
	}
	return o, nil
}

func (o *Order) file() string { return path.Join(o.Module, OrderFile) }

// An Arrow says that a file of the module uses something of another.
type Arrow struct {
	From, To string // files, without their endings
	Symbol   string // the function or variable; empty if it includes the header
	Variable bool
	Header   bool // it is the header of From that includes
}

// text is the arrow as a predicate, whose subject is a file of From.
func (a Arrow) text(module string) string {
	switch {
	case a.Symbol == "":
		return fmt.Sprintf("includes %s/%s.h", module, a.To)
	case a.Variable:
		return fmt.Sprintf("uses %s of %s/%s.c", a.Symbol, module, a.To)
	default:
		return fmt.Sprintf("calls %s of %s/%s.c", a.Symbol, module, a.To)
	}
}

// Sources returns the module's files, sorted, and the arrows of their includes.
func Sources(dir string) (files []string, arrows []Arrow, err error) {
	known := map[string]bool{}
	uses := map[Arrow]bool{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		name, isSource := source(e)
		if !isSource {
			continue
		}
		known[name] = true
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, nil, err
		}
		for _, m := range include.FindAllSubmatch(text, -1) {
			uses[Arrow{From: name, To: string(m[1]), Header: filepath.Ext(e.Name()) == ".h"}] = true
		}
	}
	for a := range uses {
		// Headers of other folders have no place in the order.
		if known[a.To] && a.To != a.From {
			arrows = append(arrows, a)
		}
	}
	return slices.Sorted(maps.Keys(known)), sorted(arrows), nil
}

var include = regexp.MustCompile(`(?m)^[ \t]*#[ \t]*include[ \t]+"([^"/]+)\.h"`)

func source(e fs.DirEntry) (name string, ok bool) {
	ext := filepath.Ext(e.Name())
	if e.IsDir() || ext != ".c" && ext != ".h" || strings.HasSuffix(e.Name(), ".mod.c") {
		return "", false
	}
	return strings.TrimSuffix(e.Name(), ext), true
}

func sorted(arrows []Arrow) []Arrow {
	slices.SortFunc(arrows, func(a, b Arrow) int {
		return strings.Compare(a.From+" "+a.To+" "+a.Symbol, b.From+" "+b.To+" "+b.Symbol)
	})
	return arrows
}

// Check returns one line for each thing that is wrong: files that have no place,
// places that have no file, and arrows against the order.
func (o *Order) Check(files []string, arrows []Arrow) []string {
	var wrong []string
	for _, f := range files {
		if _, ok := o.place[f]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s/%s: it has no place in %s: write it there, above all that it calls", o.Module, f, o.file()))
		}
	}
	for _, layer := range o.Layers {
		for _, n := range layer {
			if !slices.Contains(files, n) {
				wrong = append(wrong, fmt.Sprintf("%s: there is no %s/%s.c or .h: take it out", o.file(), o.Module, n))
			}
		}
	}
	for _, a := range arrows {
		from, ok := o.place[a.From]
		to, okTo := o.place[a.To]
		if ok && okTo && to > from {
			wrong = append(wrong, o.upward(a, arrows))
		}
	}
	return wrong
}

// upward says what is wrong with an arrow that points upwards, and how the calls
// come back if they do.
func (o *Order) upward(a Arrow, arrows []Arrow) string {
	ending := ".c"
	if a.Header {
		ending = ".h"
	}
	text := fmt.Sprintf("%s/%s%s %s", o.Module, a.From, ending, a.text(o.Module))
	if way := wayBack(a, arrows); way != nil {
		for _, b := range way {
			text += ", which " + b.text(o.Module)
		}
		text += ": a circle"
	} else {
		text += fmt.Sprintf(", which stands above %s in %s", a.From, o.file())
	}
	return text + fmt.Sprintf("; a file uses what stands before it in %s: move what both need below them, or leave %s a pointer that %s fills in",
		o.file(), a.From, a.To)
}

// wayBack returns a shortest chain of calls from the end of the call a to its
// beginning, nil if there is none.
func wayBack(a Arrow, arrows []Arrow) []Arrow {
	if a.Symbol == "" {
		return nil
	}
	came := map[string]Arrow{}
	for queue := []string{a.To}; len(queue) > 0; queue = queue[1:] {
		for _, b := range arrows {
			_, seen := came[b.To]
			if b.From != queue[0] || seen || b.To == a.To || b.Symbol == "" {
				continue
			}
			came[b.To] = b
			if b.To != a.From {
				queue = append(queue, b.To)
				continue
			}
			way := []Arrow{b}
			for b.From != a.To {
				b = came[b.From]
				way = append(way, b)
			}
			slices.Reverse(way)
			return way
		}
	}
	return nil
}

// Table prints each file with those it uses, one a line, layers apart.
func (o *Order) Table(arrows []Arrow) string {
	uses := map[string]map[string]bool{}
	for _, a := range arrows {
		if uses[a.From] == nil {
			uses[a.From] = map[string]bool{}
		}
		uses[a.From][a.To] = true
	}
	var b strings.Builder
	for i, layer := range slices.Backward(o.Layers) {
		for _, n := range slices.Backward(layer) {
			var to []string
			for _, l := range o.Layers {
				for _, m := range l {
					if uses[n][m] {
						to = append(to, m)
					}
				}
			}
			b.WriteString(strings.TrimRight(fmt.Sprintf("%-10s %s", n, strings.Join(to, " ")), " ") + "\n")
		}
		if i > 0 {
			b.WriteString("\n")
		}
	}
	return b.String()
}

// Calls returns the arrows of the objects in dir: those of the files that have a
// source, for other objects may have been left there.
func Calls(dir string, files []string) ([]Arrow, error) {
	objects := map[string]*object{}
	for _, f := range files {
		o, err := readObject(filepath.Join(dir, f+".o"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a header alone
		}
		if err != nil {
			return nil, err
		}
		objects[f] = o
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("no objects in %s", dir)
	}
	owner := map[string]string{}
	for f, o := range objects {
		for s := range o.defines {
			owner[s] = f
		}
	}
	var arrows []Arrow
	for f, o := range objects {
		for _, s := range o.uses {
			if to := owner[s]; to != "" && to != f {
				arrows = append(arrows, Arrow{From: f, To: to, Symbol: s, Variable: objects[to].defines[s] == elf.STT_OBJECT})
			}
		}
	}
	return sorted(arrows), nil
}
