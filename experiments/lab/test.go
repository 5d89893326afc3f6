// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/lab"
	"sandstream/internal/vm"
)

func testCommand() *cobra.Command {
	var pattern, out, variant string
	var list bool
	c := &cobra.Command{
		Use:   "test",
		Short: "Run the VM tests; each prints its checks, a count comes last",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			match, err := regexp.Compile(pattern)
			if err != nil {
				return cli.Usagef("--run: %w", err)
			}
			s := &suite{out: out, keepGoing: keepGoing(c), labs: map[string]*lab.Lab{}}
			for _, t := range vmTests {
				if t.variant == "" {
					t.variant = "lab"
				}
				if !match.MatchString(t.name) || (variant != "" && variant != t.variant) {
					continue
				}
				if list {
					fmt.Println(t.name)
					continue
				}
				if err := s.run(c.Context(), t); err != nil {
					return err
				}
			}
			if list {
				return nil
			}
			fmt.Printf("%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
			if s.failed > 0 {
				return fmt.Errorf("%d checks failed: %s", s.failed, strings.Join(s.broken, ", "))
			}
			if s.passed == 0 {
				return errors.New("no test ran")
			}
			return nil
		},
	}
	c.Flags().StringVar(&pattern, "run", "", "only tests whose name matches this regular expression")
	c.Flags().StringVar(&variant, "variant", "", "only tests of this kernel variant")
	c.Flags().StringVar(&out, "out", "", "keep each run's console, report and command here")
	c.Flags().BoolVar(&list, "list", false, "name the tests, run none")
	return c
}

// A suite runs tests and counts checks.
type suite struct {
	out                     string
	keepGoing               bool
	labs                    map[string]*lab.Lab
	passed, failed, skipped int
	broken                  []string // names of tests with a failed check
}

// run runs one test. An error means that the suite cannot go on: the lab does not
// build, or the user pressed Ctrl-C.
func (s *suite) run(ctx context.Context, t vmTest) error {
	l := s.labs[t.variant]
	if l == nil {
		var err error
		if l, err = buildLab(ctx, t.variant, s.keepGoing); err != nil {
			return err
		}
		s.labs[t.variant] = l
	}
	for _, need := range t.needs {
		if !l.Has(need) {
			s.skip(t.name, need+" is not in this tree")
			return nil
		}
	}
	fmt.Printf("# %s (kernel %s)\n", t.name, t.variant)
	before := s.failed
	var first *vm.Result
	for i := range max(1, t.repeat) {
		r, err := s.boot(ctx, l, t, i)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if t.expect != nil {
			s.check(t.name, fmt.Sprintf("the run fails: %v", t.expect), errors.Is(err, t.expect), fmt.Sprintf("got: %v", err))
			continue
		}
		s.report(t, r, err)
		if err != nil {
			break
		}
		if first == nil {
			first = r
			continue
		}
		diff := difference(first, r)
		s.check(t.name, fmt.Sprintf("run %d gives the same bytes as run 1", i+1), diff == nil, fmt.Sprint(diff))
	}
	if s.failed > before {
		s.broken = append(s.broken, t.name)
	}
	return nil
}

// boot runs the machine of a test once.
func (s *suite) boot(ctx context.Context, l *lab.Lab, t vmTest, round int) (*vm.Result, error) {
	job := &vm.Job{}
	for _, m := range t.modules {
		name, parameters, _ := strings.Cut(m, " ")
		job.Module("/lib/modules/"+name+".ko", parameters)
	}
	image := l.Image
	programs := t.programs
	if t.goTest != "" {
		path, err := l.GoTest(ctx, t.goTest)
		if err != nil {
			return nil, err
		}
		image = image.Clone()
		if err := image.AddFile("/tests/go/"+filepath.Base(path), path); err != nil {
			return nil, err
		}
		programs = append(programs, []string{"/tests/go/" + filepath.Base(path), "-test.v"})
	}
	limit := t.limit
	if limit == 0 {
		limit = 3 * time.Minute
	}
	// The guest should end a program that hangs, and tell what it printed, before
	// the host ends the guest.
	programTime := limit * 8 / 10
	if errors.Is(t.expect, vm.ErrTimeout) {
		programTime = 10 * limit
	}
	for _, argv := range programs {
		job.Run(vm.Program{Name: strings.Join(argv, " "), Argv: argv, Time: programTime, Hold: t.exact})
	}
	job.Collect("/results")
	m := l.Machine()
	m.CPUs, m.Memory, m.Mitigations, m.Exact, m.Append = t.cpus, t.memory, t.mitigations, t.exact, t.append
	m.NICs = hubPorts(t.ports)
	if t.exact && t.ports > 0 {
		dir, err := os.MkdirTemp("", "sandstream-pcap-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		m.NICs[0].Pcap = filepath.Join(dir, "port0.pcap")
	}
	c := vm.Config{Machine: m, Image: image, Job: job, Time: limit}
	for _, expression := range t.allowed {
		re, err := regexp.Compile(expression)
		if err != nil {
			return nil, err
		}
		c.Allowed = append(c.Allowed, re)
	}
	if s.out != "" {
		c.Dir = filepath.Join(s.out, fmt.Sprintf("%s.%d", t.name, round+1))
	}
	r, err := vm.Run(ctx, c)
	if err == nil && t.exact && t.ports > 0 {
		data, perr := os.ReadFile(m.NICs[0].Pcap)
		if perr != nil {
			return r, perr
		}
		r.Files["port0.pcap"] = vm.File{Path: "port0.pcap", Data: data}
	}
	return r, err
}

// report prints and counts what a run gave.
func (s *suite) report(t vmTest, r *vm.Result, err error) {
	if r != nil {
		for _, p := range r.Programs {
			s.program(t.name, p)
		}
		for _, line := range r.Remarks {
			fmt.Println("# init: " + line)
		}
	}
	elapsed := ""
	if r != nil {
		elapsed = fmt.Sprintf(" (%.1f s)", r.Elapsed.Seconds())
	}
	s.check(t.name, "the guest reported and its kernel is well"+elapsed, err == nil, fmt.Sprint(err))
	if err != nil && r != nil {
		for _, line := range vm.Splats(r.Console) {
			fmt.Println("# console: " + line)
		}
		fmt.Println("# to repeat: " + r.Command)
	}
}

var (
	tapLine = regexp.MustCompile(`^(not )?ok\b[ 0-9]*-? *(.*)$`)
	goLine  = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (.*)$`)
	skipped = regexp.MustCompile(`(?i)\s*# *skip\b:?\s*(.*)$`)
)

// program counts the checks a program printed, and the way it ended.
func (s *suite) program(test string, p vm.ProgramResult) {
	lines, seen := strings.Split(string(p.Output), "\n"), 0
	for _, line := range lines {
		line = strings.TrimRight(line, "\r ")
		if m := tapLine.FindStringSubmatch(line); m != nil {
			seen++
			if why := skipped.FindStringSubmatch(m[2]); why != nil {
				s.skip(test+": "+skipped.ReplaceAllString(m[2], ""), why[1])
			} else {
				s.check(test, m[2], m[1] == "", "")
			}
		} else if m := goLine.FindStringSubmatch(line); m != nil {
			seen++
			if m[1] == "SKIP" {
				s.skip(test+": "+m[2], "the Go test skipped itself")
			} else {
				s.check(test, m[2], m[1] == "PASS", "")
			}
		}
	}
	if p.OK() && seen > 0 {
		return
	}
	how := p.How
	if how == "" {
		how = "the guest ended before it"
	} else if p.OK() {
		how += ", but it printed no check at all"
	}
	s.check(test, p.Name, false, how)
	for _, line := range lines[max(0, len(lines)-40):] {
		fmt.Println("#   " + line)
	}
}

func (s *suite) check(test, what string, good bool, detail string) {
	if good {
		s.passed++
		fmt.Printf("ok - %s: %s\n", test, what)
		return
	}
	s.failed++
	if detail != "" {
		detail = ": " + strings.ReplaceAll(detail, "\n", "\n# ")
	}
	fmt.Printf("not ok - %s: %s%s\n", test, what, detail)
}

func (s *suite) skip(what, why string) {
	s.skipped++
	fmt.Printf("ok - %s # SKIP %s\n", what, why)
}

// difference returns nil if two runs gave the same bytes.
func difference(a, b *vm.Result) error {
	if a.Console != b.Console {
		return errors.New("the consoles differ")
	}
	if a.KernelLog != b.KernelLog {
		return fmt.Errorf("the kernel logs differ: %s", firstDifference(a.KernelLog, b.KernelLog))
	}
	for i, p := range a.Programs {
		if i >= len(b.Programs) || p.How != b.Programs[i].How || !bytes.Equal(p.Output, b.Programs[i].Output) {
			return fmt.Errorf("the output of %s differs", p.Name)
		}
	}
	if len(a.Files) != len(b.Files) {
		return fmt.Errorf("%d files against %d", len(a.Files), len(b.Files))
	}
	var names []string
	for name := range a.Files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if !bytes.Equal(a.Files[name].Data, b.Files[name].Data) {
			return fmt.Errorf("%s differs: %s", name, firstDifference(string(a.Files[name].Data), string(b.Files[name].Data)))
		}
	}
	return nil
}

// firstDifference quotes the first line in which two texts differ.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range x {
		if i >= len(y) {
			return fmt.Sprintf("line %d: %.80q against nothing", i+1, x[i])
		}
		if x[i] != y[i] {
			return fmt.Sprintf("line %d: %.80q against %.80q", i+1, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d lines against %d", len(x), len(y))
}
