// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/lab/image"
	"sandstream/lab/vm"
)

func testCommand() *cobra.Command {
	var pattern, variant string
	var list bool
	s := &suite{labs: map[string]*image.Lab{}}
	c := &cobra.Command{
		Use:   "test",
		Short: "Run the VM tests; each prints its checks, a count comes last",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			match, err := regexp.Compile(pattern)
			if err != nil {
				return fail.Usagef("--run: %w", err)
			}
			s.keepGoing = keepGoing(c)
			tests := choose(match, variant)
			if list {
				for _, t := range tests {
					fmt.Println(t.name)
				}
				return nil
			}
			return s.runAll(c.Context(), tests)
		},
	}
	c.Flags().StringVar(&pattern, "run", "", "only tests whose name matches this regular expression")
	c.Flags().StringVar(&variant, "variant", "", "only tests of this kernel variant")
	c.Flags().StringVar(&s.out, "out", "", "keep each run's console, report and command here")
	c.Flags().IntVar(&s.jobs, "jobs", min(2, runtime.NumCPU()), "virtual CPUs that run at a time")
	c.Flags().BoolVar(&list, "list", false, "name the tests, run none")
	return c
}

// choose returns the tests whose name matches, of one variant if it is given.
func choose(match *regexp.Regexp, variant string) []vmTest {
	var tests []vmTest
	for _, t := range vmTests {
		if t.variant == "" {
			t.variant = "lab"
		}
		if match.MatchString(t.name) && (variant == "" || variant == t.variant) {
			tests = append(tests, t)
		}
	}
	return tests
}

// A suite runs tests, as many at a time as there are jobs.
type suite struct {
	out       string
	keepGoing bool
	jobs      int
	labs      map[string]*image.Lab
}

// runAll builds what the tests need and runs them. A test prints when it has
// ended, all its lines together.
func (s *suite) runAll(ctx context.Context, tests []vmTest) error {
	for _, t := range tests {
		if s.labs[t.variant] == nil {
			l, err := buildLab(ctx, t.variant, s.keepGoing)
			if err != nil {
				return err
			}
			s.labs[t.variant] = l
		}
	}
	var (
		total record
		mu    sync.Mutex
		wg    sync.WaitGroup
		slots = make(chan struct{}, max(1, s.jobs))
	)
	for _, t := range tests {
		// Only this loop takes slots, so a test that takes two cannot wait for one
		// that does the same.
		need := min(t.slots(), cap(slots))
		for range need {
			slots <- struct{}{}
		}
		wg.Go(func() {
			r := s.run(ctx, t)
			for range need {
				<-slots
			}
			mu.Lock()
			defer mu.Unlock()
			fmt.Print(r.text.String())
			total.add(r)
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return total.verdict()
}

// slots is the number of host CPUs a test keeps busy: an exact machine runs all
// its virtual CPUs in one thread.
func (t vmTest) slots() int {
	if t.exact {
		return 1
	}
	return max(1, t.cpus)
}

// missing returns what a test needs and the lab has not; or "".
func (t vmTest) missing(l *image.Lab) string {
	needs := t.needs
	for _, m := range t.modules {
		name, _, _ := strings.Cut(m, " ")
		needs = append(needs, "/lib/modules/"+name+".ko")
	}
	for _, need := range needs {
		if word, ok := strings.CutPrefix(need, "patch:"); ok {
			if !l.HasPatch(word) {
				return "a patch named *" + word + "*"
			}
		} else if !l.Has(need) {
			return need
		}
	}
	return ""
}

// run runs one test.
func (s *suite) run(ctx context.Context, t vmTest) *record {
	r := &record{test: t.name}
	l := s.labs[t.variant]
	if need := t.missing(l); need != "" {
		r.skip(t.name, need+" is not in this tree")
		return r
	}
	r.printf("# %s (kernel %s)", t.name, t.variant)
	var first *vm.Result
	for round := 1; round <= max(1, t.repeat) && ctx.Err() == nil; round++ {
		dir := ""
		if s.out != "" {
			dir = filepath.Join(s.out, fmt.Sprintf("%s.%d", t.name, round))
		}
		got, err := boot(ctx, l, t, dir)
		if t.expect != nil {
			r.check(fmt.Sprintf("the run fails: %v", t.expect), errors.Is(err, t.expect), fmt.Sprintf("got: %v", err))
			continue
		}
		r.run(got, err)
		if err != nil {
			break
		}
		if first == nil {
			first = got
			continue
		}
		diff := difference(first, got)
		r.check(fmt.Sprintf("run %d gives the same bytes as run 1", round), diff == nil, fmt.Sprint(diff))
	}
	return r
}

// boot runs the machine of a test once.
func boot(ctx context.Context, l *image.Lab, t vmTest, dir string) (*vm.Result, error) {
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
	if t.generator {
		addGenerator(&m)
	}
	if t.exact && t.ports > 0 {
		pcaps, err := os.MkdirTemp("", "sandstream-pcap-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(pcaps)
		m.NICs[0].Pcap = filepath.Join(pcaps, "port0.pcap")
	}
	c := vm.Config{Machine: m, Image: image, Job: job, Time: limit, Dir: dir}
	for _, expression := range t.allowed {
		re, err := regexp.Compile(expression)
		if err != nil {
			return nil, err
		}
		c.Allowed = append(c.Allowed, re)
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
