// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// minCover is the percentage of a machine's statements that its own tests must
// reach.
const minCover = 85

// covered are the packages that are tested alone: the core without its Node,
// which the whole-network tests in simnet are for.
var covered = layers[1:]

// count is the statements of a file or package, and those that tests reached.
type count struct{ all, hit int }

func (c count) percent() float64 {
	if c.all == 0 {
		return 0
	}
	return 100 * float64(c.hit) / float64(c.all)
}

// checkCover runs the tests of each given package and counts what they reach of
// that package: tests of others do not count.
func checkCover(w io.Writer, root string, paths []string) error {
	list, missing, err := sources(root, paths)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		files, err := runTests(w, root, list)
		if err != nil {
			return err
		}
		low, err := printCover(w, list, files)
		if err != nil {
			return err
		}
		missing = append(missing, low...)
	}
	for _, s := range missing {
		fmt.Fprintln(w, s)
	}
	if len(missing) > 0 {
		return errors.New("cover: a machine's own tests reach too little of it, or a layer of the core is missing")
	}
	return nil
}

// runTests gives the counts of each file ("internal/overlay/wire/zone.go").
// Without -coverpkg a package's tests count for that package alone.
func runTests(w io.Writer, root string, list []folder) (map[string]count, error) {
	dir, err := os.MkdirTemp("", "cover")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	profile := filepath.Join(dir, "profile")
	args := []string{"test", "-coverprofile=" + profile}
	for _, f := range list {
		args = append(args, f.path)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		fmt.Fprintf(w, "%s", out)
		return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	text, err := os.ReadFile(profile)
	if err != nil {
		return nil, err
	}
	return parseProfile(text)
}

// parseProfile reads lines "sandstream/internal/overlay/wire/zone.go:33.34,34.11 1 1":
// a block, its number of statements, how often it ran.
func parseProfile(text []byte) (map[string]count, error) {
	files := map[string]count{}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		line := s.Text()
		if strings.HasPrefix(line, "mode:") {
			continue
		}
		file, rest, ok := strings.Cut(line, ":")
		words := strings.Fields(rest)
		if !ok || len(words) != 3 {
			return nil, fmt.Errorf("cover: %q is not a line of a profile", line)
		}
		statements, err1 := strconv.Atoi(words[1])
		runs, err2 := strconv.Atoi(words[2])
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("cover: %q: %w", line, err)
		}
		file = strings.TrimPrefix(file, module+"/")
		c := files[file]
		c.all += statements
		if runs > 0 {
			c.hit += statements
		}
		files[file] = c
	}
	return files, nil
}

// printCover prints the table and says what is under the limit.
func printCover(w io.Writer, list []folder, files map[string]count) (low []string, err error) {
	tab := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tab, "covered by its own tests\tstatements\treached\t\n")
	for _, f := range list {
		var sum count
		var own []string
		for name, c := range files {
			if path.Dir(name) == strings.TrimPrefix(f.path, "./") {
				sum.all, sum.hit = sum.all+c.all, sum.hit+c.hit
				own = append(own, name)
			}
		}
		fmt.Fprintf(tab, "  %s\t%10d\t%6.1f %%\t\n", short(f.path), sum.all, sum.percent())
		if sum.percent() < minCover {
			missed := func(name string) int { return files[name].all - files[name].hit }
			slices.SortFunc(own, func(a, b string) int {
				return cmp.Or(missed(b)-missed(a), strings.Compare(a, b))
			})
			text := fmt.Sprintf("%s: its own tests reach %.1f %% of its statements, less than %d %%; missed are", f.path, sum.percent(), minCover)
			for _, name := range own[:min(3, len(own))] {
				text += fmt.Sprintf("\n  %d of %d in %s", missed(name), files[name].all, name)
			}
			low = append(low, text+"\n"+wrap("A machine is tested without the others: add a script or a table to the tests of its package. What only a whole network can reach may be in the wrong package.", "  "))
		}
	}
	return low, tab.Flush()
}
