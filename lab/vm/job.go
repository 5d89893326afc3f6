// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Job is what PID 1 does, step by step; see lab/guest/init/init.c.
type Job struct {
	lines []string
	err   error
}

func (j *Job) step(fields ...string) {
	for _, f := range fields {
		if strings.ContainsAny(f, "\t\n\x00") && j.err == nil {
			j.err = fmt.Errorf("job step %q: a field may hold no tab, newline or NUL", fields)
		}
	}
	j.lines = append(j.lines, strings.Join(fields, "\t"))
}

// Write writes text to a file of the guest, for example a sysctl.
func (j *Job) Write(path, text string) { j.step("write", path, text) }

// Module loads a kernel module; parameters may be empty.
func (j *Job) Module(path, parameters string) { j.step("module", path, parameters) }

// A Program is one program the guest runs to its end.
type Program struct {
	Name string        // how reports call it
	Argv []string      // a path in the guest, or a name in /bin, and arguments
	Dir  string        // working folder; "/" if empty
	Time time.Duration // limit in guest time; a minute if zero, rounded up to seconds
	Hold bool          // send its output when it has ended, not while it runs
}

// Run runs a program.
func (j *Job) Run(p Program) {
	if len(p.Argv) == 0 {
		j.err = fmt.Errorf("program %q has no command", p.Name)
		return
	}
	mode, dir, limit := "stream", p.Dir, p.Time
	if p.Hold {
		mode = "hold"
	}
	if dir == "" {
		dir = "/"
	}
	if limit <= 0 {
		limit = time.Minute
	}
	seconds := int64((limit + time.Second - 1) / time.Second)
	j.step(append([]string{"run", p.Name, strconv.FormatInt(seconds, 10), mode, dir}, p.Argv...)...)
}

// Collect sends every file below a folder of the guest to [Result.Files].
func (j *Job) Collect(dir string) { j.step("collect", dir) }

// Shell opens an interactive shell on the console; see [Shell].
func (j *Job) Shell() { j.step("shell") }

// String is the job as PID 1 reads it.
func (j *Job) String() string { return strings.Join(j.lines, "\n") + "\n" }

func (j *Job) bytes() ([]byte, error) {
	return []byte(j.String()), j.err
}
