// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"sandstream/lab/vm"
)

// A record counts checks and keeps what is to be printed about them.
type record struct {
	test                    string // name
	text                    strings.Builder
	passed, failed, skipped int
	broken                  []string // names of tests with a failed check
}

func (r *record) printf(format string, args ...any) { fmt.Fprintf(&r.text, format+"\n", args...) }

// add adds the counts of another record.
func (r *record) add(o *record) {
	r.passed += o.passed
	r.failed += o.failed
	r.skipped += o.skipped
	if o.failed > 0 {
		r.broken = append(r.broken, o.test)
	}
}

// verdict prints the count, and returns an error unless all is well.
func (r *record) verdict() error {
	fmt.Printf("%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	switch {
	case r.failed > 0:
		return fmt.Errorf("%d checks failed, in: %s", r.failed, strings.Join(r.broken, ", "))
	case r.passed == 0:
		return errors.New("no test ran")
	}
	return nil
}

func (r *record) check(what string, good bool, detail string) {
	if good {
		r.passed++
		r.printf("ok - %s: %s", r.test, what)
		return
	}
	r.failed++
	if detail != "" {
		detail = ": " + strings.ReplaceAll(detail, "\n", "\n# ")
	}
	r.printf("not ok - %s: %s%s", r.test, what, detail)
}

func (r *record) skip(what, why string) {
	r.skipped++
	r.printf("ok - %s # SKIP %s", what, why)
}

// run notes what one run of a machine gave.
func (r *record) run(result *vm.Result, err error) {
	elapsed := ""
	if result != nil {
		for _, p := range result.Programs {
			r.program(p)
		}
		for _, line := range result.Remarks {
			r.printf("# init: %s", line)
		}
		elapsed = fmt.Sprintf(" (%.1f s)", result.Elapsed.Seconds())
	}
	r.check("the guest reported and its kernel is well"+elapsed, err == nil, fmt.Sprint(err))
	if err != nil && result != nil {
		for _, line := range vm.Splats(result.Console) {
			r.printf("# console: %s", line)
		}
		r.printf("# to repeat: %s", result.Command)
	}
}

var (
	tapLine = regexp.MustCompile(`^(not )?ok\b[ 0-9]*-? *(.*)$`)
	goLine  = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (.*)$`)
	plan    = regexp.MustCompile(`^1\.\.([0-9]+)$`)
	skipped = regexp.MustCompile(`(?i)\s*# *skip\b:?\s*(.*)$`)
)

// line counts a line of a program's output if it is a check, and says whether it is.
func (r *record) line(line string) bool {
	if m := tapLine.FindStringSubmatch(line); m != nil {
		if why := skipped.FindStringSubmatch(m[2]); why != nil {
			r.skip(r.test+": "+skipped.ReplaceAllString(m[2], ""), why[1])
		} else {
			r.check(m[2], m[1] == "", "")
		}
		return true
	}
	m := goLine.FindStringSubmatch(line)
	if m == nil {
		return false
	}
	if m[1] == "SKIP" {
		r.skip(r.test+": "+m[2], "the Go test skipped itself")
	} else {
		r.check(m[2], m[1] == "PASS", "")
	}
	return true
}

// program counts the checks a program printed, and the way it ended. A program
// that ends well without a single check has tested nothing: that fails too.
func (r *record) program(p vm.ProgramResult) {
	lines, seen, failed := strings.Split(string(p.Output), "\n"), 0, r.failed
	planned := ""
	for _, line := range lines {
		line = strings.TrimRight(line, "\r ")
		if r.line(line) {
			seen++
		} else if m := plan.FindStringSubmatch(line); m != nil {
			planned = m[1]
		}
	}
	if planned != "" && planned != fmt.Sprint(seen) {
		r.check(p.Name, false, fmt.Sprintf("planned %s checks, made %d", planned, seen))
	}
	how := p.How
	switch {
	case how == "":
		how = "the guest ended before it"
	case p.OK() && seen == 0:
		how = "it printed no check at all"
	case p.OK():
		if r.failed == failed {
			return
		}
		how = ""
	}
	if how != "" {
		r.check(p.Name, false, how)
	}
	for _, line := range lines[max(0, len(lines)-40):] {
		r.printf("#   %s", line)
	}
}
