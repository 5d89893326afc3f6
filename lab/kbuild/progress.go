// SPDX-License-Identifier: Apache-2.0

package kbuild

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// progress counts compiled objects against a known total. On a terminal it
// redraws one line each second, elsewhere it prints a line every 20 s.
type progress struct {
	w     io.Writer
	name  string
	total int
	count int
	tty   bool
	start time.Time
	last  time.Time
}

func newProgress(w io.Writer, name string, total int, tty bool) *progress {
	now := time.Now()
	return &progress{w: w, name: name, total: total, tty: tty, start: now, last: now}
}

// step notes one compiled object.
func (p *progress) step() {
	p.count++
	every := 20 * time.Second
	if p.tty {
		every = time.Second
	}
	now := time.Now()
	if now.Sub(p.last) < every {
		return
	}
	p.last = now
	line := fmt.Sprintf("%s: %d of about %d objects, %s", p.name, p.count, max(p.total, p.count), now.Sub(p.start).Round(time.Second))
	// The estimate means nothing in a rebuild of a few files, or at the very start.
	if left := p.total - p.count; left > 0 && p.count > 50 {
		eta := time.Duration(float64(now.Sub(p.start)) / float64(p.count) * float64(left))
		line += fmt.Sprintf(", at most %s to go", eta.Round(time.Second))
	}
	if p.tty {
		fmt.Fprintf(p.w, "\r\033[K%s", line)
		return
	}
	fmt.Fprintln(p.w, line)
}

// done ends the line and returns the number of objects compiled.
func (p *progress) done() int {
	if p.tty {
		fmt.Fprint(p.w, "\r\033[K")
	}
	return p.count
}

// compiled matches what kbuild prints for one object of the kernel or a module.
var compiled = regexp.MustCompile(`^  (CC|AS|CC \[M\])\s+\S`)

// tailWriter feeds progress and keeps the last lines that are not kbuild's own
// short ones, for an error message.
type tailWriter struct {
	progress *progress
	all      *strings.Builder // everything, if not nil
	partial  []byte
	lines    []string
}

const tailLines = 60

func (t *tailWriter) Write(data []byte) (int, error) {
	if t.all != nil {
		t.all.Write(data)
	}
	t.partial = append(t.partial, data...)
	for {
		line, rest, ok := bytes.Cut(t.partial, []byte("\n"))
		if !ok {
			return len(data), nil
		}
		t.line(string(line))
		t.partial = rest
	}
}

var quietLine = regexp.MustCompile(`^  [A-Z][A-Z0-9_]+( \[M\])?\s+\S+$`)

func (t *tailWriter) line(s string) {
	if t.progress != nil && compiled.MatchString(s) {
		t.progress.step()
	}
	if quietLine.MatchString(s) {
		return
	}
	t.lines = append(t.lines, s)
	if len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
}

func (t *tailWriter) String() string {
	return strings.Join(append(t.lines, string(t.partial)), "\n")
}
