// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"
	"testing"

	"sandstream/lab/vm"
)

// What a program prints decides a test: every way of not passing must count.
func TestRecordProgram(t *testing.T) {
	for _, c := range []struct {
		name, output, how       string
		passed, failed, skipped int
	}{
		{"all well", "ok 1 - a\nok 2 - b\n1..2\n", "exit 0", 2, 0, 0},
		{"one check failed, status 0", "ok 1 - a\nnot ok 2 - b\n", "exit 0", 1, 1, 0},
		{"all checks passed, status 1", "ok 1 - a\n", "exit 1", 1, 1, 0},
		{"killed", "ok 1 - a\n", "signal 11", 1, 1, 0},
		{"timed out", "ok 1 - a\n", "timeout", 1, 1, 0},
		{"guest gone", "ok 1 - a\n", "", 1, 1, 0},
		{"silent", "", "exit 0", 0, 1, 0},
		{"talks, checks nothing", "okay so far\nnotok\n", "exit 0", 0, 1, 0},
		{"skip is not a pass", "ok 1 - a # SKIP no such NIC\n", "exit 0", 0, 0, 1},
		{"Go tests", "=== RUN   TestA\n--- PASS: TestA (0.00s)\n    --- FAIL: TestB/x (0.1s)\n--- SKIP: TestC (0.00s)\n", "exit 1", 1, 2, 1},
		{"fewer checks than planned", "1..3\nok 1 - a\nok 2 - b\n", "exit 0", 2, 1, 0},
		{"carriage returns", "ok 1 - a\r\nnot ok 2 - b\r\n", "exit 0", 1, 1, 0},
	} {
		r := &record{test: "t"}
		r.program(vm.ProgramResult{Name: "p", How: c.how, Output: []byte(c.output)})
		if r.passed != c.passed || r.failed != c.failed || r.skipped != c.skipped {
			t.Errorf("%s: %d passed, %d failed, %d skipped\n%s", c.name, r.passed, r.failed, r.skipped, r.text.String())
		}
	}
}

func TestRecordRunFailsWithoutVerdict(t *testing.T) {
	r := &record{test: "t"}
	r.run(&vm.Result{Programs: []vm.ProgramResult{{Name: "p", How: "exit 0", Output: []byte("ok 1 - a\n")}}, Command: "qemu x"}, vm.ErrNoVerdict)
	if r.failed != 1 || !strings.Contains(r.text.String(), "# to repeat: qemu x") {
		t.Errorf("%d failed\n%s", r.failed, r.text.String())
	}
	r = &record{test: "t"}
	r.run(nil, errors.New("no QEMU"))
	if r.failed != 1 {
		t.Errorf("a run that never was: %d failed", r.failed)
	}
}

func TestVerdictNeedsAPassedCheck(t *testing.T) {
	if err := (&record{}).verdict(); err == nil {
		t.Error("nothing ran, and that is called good")
	}
	var total record
	total.add(&record{test: "a", passed: 1})
	if err := total.verdict(); err != nil {
		t.Error(err)
	}
	total.add(&record{test: "b", passed: 1, failed: 1})
	if err := total.verdict(); err == nil || !strings.Contains(err.Error(), "b") {
		t.Errorf("got %v", err)
	}
}

func TestDifference(t *testing.T) {
	base := func() *vm.Result {
		return &vm.Result{
			Console: "c", KernelLog: "k\n", Programs: []vm.ProgramResult{{Name: "p", How: "exit 0", Output: []byte("o")}},
			Files: map[string]vm.File{"/results/x": {Data: []byte("1\n2\n")}},
		}
	}
	if err := difference(base(), base()); err != nil {
		t.Errorf("equal runs differ: %v", err)
	}
	for name, change := range map[string]func(*vm.Result){
		"console":    func(r *vm.Result) { r.Console = "d" },
		"kernel log": func(r *vm.Result) { r.KernelLog = "l\n" },
		"output":     func(r *vm.Result) { r.Programs[0].Output = nil },
		"status":     func(r *vm.Result) { r.Programs[0].How = "exit 1" },
		"program":    func(r *vm.Result) { r.Programs = nil },
		"file":       func(r *vm.Result) { r.Files["/results/x"] = vm.File{Data: []byte("1\n3\n")} },
		"more files": func(r *vm.Result) { r.Files["/y"] = vm.File{} },
		"other file": func(r *vm.Result) { r.Files = map[string]vm.File{"/y": {}} },
	} {
		changed := base()
		change(changed)
		if difference(base(), changed) == nil {
			t.Errorf("a change of the %s is not seen", name)
		}
	}
}

// Names are unique, so that --run and the folders of --out mean one test.
func TestTableIsWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range vmTests {
		if v.name == "" || seen[v.name] {
			t.Errorf("name %q is empty or taken", v.name)
		}
		seen[v.name] = true
		if len(v.programs) == 0 && v.goTest == "" {
			t.Errorf("%s runs nothing", v.name)
		}
		if v.repeat > 1 && !v.exact {
			t.Errorf("%s: only exact runs repeat", v.name)
		}
	}
}
