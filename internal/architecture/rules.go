// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Rule forbids imports. A pattern is a package ("os") or a package with all
// below it ("./internal/live/..."); "./" is the top of this repository.
type Rule struct {
	Name    string
	From    []string    // the packages that the rule binds
	But     []string    // and of those, the packages that it leaves alone
	Never   []string    // what they must not import
	Fine    []string    // and of that, what they may import
	TestsDo []string    // and what their tests may import besides
	Through bool        // nor reach through other packages of this repository
	Why     string      // whole sentences
	Instead string      // what to do instead
	Exempt  []Exemption // single imports that are allowed
}

// Exemption is an import that a rule allows.
type Exemption struct {
	From, To string // patterns
	Tests    bool   // only in test files
	Why      string
}

// Breach is an import that breaks a rule.
type Breach struct {
	Rule *Rule
	From string // package
	Import
	Path []string // from From to what is forbidden, ends included
}

func (b Breach) String() string {
	s := fmt.Sprintf("%s/%s:%d: imports %s", strings.TrimPrefix(b.From, "./"), b.File, b.Line, b.Import.Path)
	if len(b.Path) > 2 {
		s += fmt.Sprintf(", and so reaches %s\n  by %s", b.Path[len(b.Path)-1], strings.Join(b.Path, " -> "))
	}
	return s
}

// lesson is what a breach's author should read.
func (r *Rule) lesson() string {
	return fmt.Sprintf("rule: %s\n%s%s", r.Name, wrap(r.Why, "  "), wrap(r.Instead, "  "))
}

func matches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, path) })
}

func match(pattern, path string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == tree || strings.HasPrefix(path, tree+"/")
	}
	return path == pattern
}

func (r *Rule) binds(pkg string) bool   { return matches(r.From, pkg) && !matches(r.But, pkg) }
func (r *Rule) forbids(imp string) bool { return matches(r.Never, imp) && !matches(r.Fine, imp) }

// check gives the breaches of one rule, and how often each exemption was
// needed.
func (r *Rule) check(g Graph) (breaches []Breach, used []int) {
	used = make([]int, len(r.Exempt))
	for _, p := range g.Paths() {
		if !r.binds(p) {
			continue
		}
		for _, i := range g[p].Imports {
			if i.Path == p { // the package's tests of its outside
				continue
			}
			if path := r.leads(g, p, i, used); path != nil {
				breaches = append(breaches, Breach{Rule: r, From: p, Import: i, Path: append([]string{p}, path...)})
			}
		}
	}
	return breaches, used
}

// exempt tells whether the import is one that the rule allows.
func (r *Rule) exempt(from string, i Import, used []int) bool {
	for n, e := range r.Exempt {
		if match(e.From, from) && match(e.To, i.Path) && (i.Test() || !e.Tests) {
			used[n]++
			return true
		}
	}
	return false
}

// leads gives the way from an import to what the rule forbids, nil if there is
// none. Ways through other packages that the rule binds are left out: they are
// breaches of those.
func (r *Rule) leads(g Graph, from string, i Import, used []int) []string {
	if i.Test() && matches(r.TestsDo, i.Path) {
		return nil
	}
	if r.forbids(i.Path) {
		if r.exempt(from, i, used) {
			return nil
		}
		return []string{i.Path}
	}
	if !r.Through {
		return nil
	}
	seen := map[string]bool{from: true}
	queue := [][]string{{i.Path}}
	for len(queue) > 0 {
		way := queue[0]
		queue = queue[1:]
		at := way[len(way)-1]
		if g[at] == nil || seen[at] || r.binds(at) {
			continue
		}
		seen[at] = true
		for _, next := range g[at].Imports {
			if next.Test() || r.forbids(next.Path) && r.exempt(at, next, used) {
				continue
			}
			path := append(slices.Clone(way), next.Path)
			if r.forbids(next.Path) {
				return path
			}
			queue = append(queue, path)
		}
	}
	return nil
}

// checkRules gives what is wrong by the given rules, in words.
func checkRules(rules []Rule, g Graph) (wrong []string) {
	for n := range rules {
		r := &rules[n]
		breaches, used := r.check(g)
		for n, b := range breaches {
			text := b.String()
			if n == len(breaches)-1 {
				text += "\n" + r.lesson()
			}
			wrong = append(wrong, text)
		}
		for n, e := range r.Exempt {
			if used[n] == 0 {
				wrong = append(wrong, fmt.Sprintf("ruletable.go: rule %q lets %s import %s, but nothing does: take the exemption out", r.Name, e.From, e.To))
			}
		}
	}
	return wrong
}

// checkImports checks all that is said about imports and calls.
func checkImports(w io.Writer, g Graph) error {
	wrong := checkRules(rules, g)
	wrong = append(wrong, checkRooms(g)...)
	for _, s := range wrong {
		fmt.Fprintln(w, s)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("imports: %d breaches of %d rules", len(wrong), len(rules))
	}
	imports := 0
	for _, p := range g {
		imports += len(p.Imports)
	}
	fmt.Fprintf(w, "imports: %d of %d packages keep %d rules\n", imports, len(g), len(rules))
	return nil
}

// printRules prints each rule with its reasons.
func printRules(w io.Writer) error {
	for _, r := range rules {
		fmt.Fprint(w, strings.TrimPrefix(r.lesson(), "rule: "))
		for _, e := range r.Exempt {
			where := ""
			if e.Tests {
				where = " in tests"
			}
			fmt.Fprint(w, wrap(fmt.Sprintf("allowed%s: %s may import %s. %s", where, e.From, e.To, e.Why), "  - "))
		}
		fmt.Fprintln(w)
	}
	return nil
}

// wrap breaks text into lines of at most 80 columns that begin with indent.
func wrap(text, indent string) string {
	var s strings.Builder
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line)+len(word) > 80 && strings.TrimSpace(line) != "" {
			s.WriteString(strings.TrimRight(line, " ") + "\n")
			line = strings.Repeat(" ", len(indent))
		}
		line += word + " "
	}
	return s.String() + strings.TrimRight(line, " ") + "\n"
}
