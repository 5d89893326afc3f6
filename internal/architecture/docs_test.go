// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

var (
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	linkTo   = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	pattern  = regexp.MustCompile(`[*{<…]|NAME|UID|DIR`)
)

// Documents name files and folders of the repository; folders move, documents
// must follow.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	root := filepath.Join("..", "..")
	top := map[string]bool{}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		top[e.Name()] = e.IsDir() && e.Name() != "bin" && e.Name() != "results"
	}
	for _, file := range documents(t, root) {
		text := read(t, file)
		for _, m := range codeSpan.FindAllStringSubmatch(text, -1) {
			name := strings.TrimPrefix(m[1], "./")
			first, _, deeper := strings.Cut(name, "/")
			if !deeper || !top[first] || strings.Contains(name, " ") || strings.HasSuffix(name, "/...") || pattern.MatchString(name) {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Errorf("%s: there is no %s", file, name)
			}
		}
		for _, m := range linkTo.FindAllStringSubmatch(text, -1) {
			to := filepath.Join(filepath.Dir(file), m[1])
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", file, m[1])
			} else if m[2] != "" && !anchors(read(t, to))[m[2]] {
				t.Errorf("%s: %s has no heading %s", file, m[1], m[2])
			}
		}
	}
}

// Prose is wrapped at 80 columns; tables, code and what has no blank are not.
func TestDocumentsAreWrapped(t *testing.T) {
	for _, file := range documents(t, filepath.Join("..", "..")) {
		if strings.HasSuffix(file, "abi.md") { // generated
			continue
		}
		code := false
		for line := range strings.Lines(read(t, file)) {
			line = strings.TrimRight(line, "\n")
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				code = !code
			}
			if code || strings.HasPrefix(line, "    ") && !strings.HasPrefix(strings.TrimSpace(line), "- ") ||
				strings.HasPrefix(line, "|") || strings.HasPrefix(line, "<!--") {
				continue
			}
			if n := utf8.RuneCountInString(line); n > 80 && strings.Contains(strings.TrimSpace(line), " ") {
				t.Errorf("%s: %d columns: %s", file, n, line)
			}
		}
	}
}

func documents(t *testing.T, root string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "CHANGES.md"} {
		list = append(list, filepath.Join(root, name))
	}
	return list
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// anchors are the links to a document's headings, as GitHub makes them.
func anchors(text string) map[string]bool {
	set := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
				return r
			}
			return -1
		}, strings.ToLower(m[1]))
		set["#"+name] = true
	}
	return set
}

// The README's table names every package, so that a stranger finds it.
func TestReadmeNamesPackages(t *testing.T) {
	root := filepath.Join("..", "..")
	g, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, filepath.Join(root, "README.md"))
	_, table, ok := strings.Cut(text, "## Where things are")
	if !ok {
		t.Fatal("README.md does not say where things are")
	}
	words := map[string]bool{}
	for _, m := range codeSpan.FindAllStringSubmatch(table, -1) {
		for _, w := range strings.FieldsFunc(m[1], func(r rune) bool { return strings.ContainsRune("/{},", r) }) {
			words[w] = true
		}
	}
	for _, p := range g.Paths() {
		parts := strings.Split(strings.TrimPrefix(p, "./"), "/")
		deep, special := map[string]int{"internal": 3, "lab": 2}[parts[0]]
		if !special {
			deep = 1
		}
		for _, w := range parts[:min(deep, len(parts))] {
			if !words[w] {
				t.Errorf("README.md does not say where %s is: %s", p, w)
			}
		}
	}
}
