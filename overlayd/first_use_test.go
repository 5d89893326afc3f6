// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// firstUse is the block of commands after the marker.
var firstUse = regexp.MustCompile("(?s)<!-- first-use:[^>]*-->\n+```\n(.*?)```\n")

// The three commands of the documentation, exactly as they are written there, in
// a shell, with a built overlayd.
func TestFirstUse(t *testing.T) {
	if testing.Short() {
		t.Skip("builds overlayd and runs it for ten seconds")
	}
	// A short path: those of unix sockets have 107 bytes at most.
	dir, err := os.MkdirTemp("", "ov")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bin", "overlayd"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tried := 0
	for _, file := range []string{"../docs/overlayd-use.md", "../README.md"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := firstUse.FindSubmatch(b)
		if m == nil {
			continue // the README may point to the document instead
		}
		tried++
		shell(t, dir, strings.Replace(string(m[1]), "make demo ", makeDemo(t)+" ", 1))
	}
	if tried == 0 {
		t.Error("no document has the commands of first use")
	}
}

// makeDemo is what `make demo` does when the binary is built.
func makeDemo(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^demo: overlayd .*\n\t@\$\(BIN\)/(overlayd demo) --dir \$\(BIN\)/demo$`).FindSubmatch(b)
	if m == nil {
		t.Fatal("the Makefile's target demo is not the one that the README means")
	}
	return "bin/" + string(m[1]) + " --dir bin/demo"
}

func shell(t *testing.T, dir, commands string) {
	t.Helper()
	if n := len(strings.Split(strings.TrimSpace(commands), "\n")); n != 3 {
		t.Errorf("%d commands, want 3:\n%s", n, commands)
	}
	stop := exec.Command("bin/overlayd", "demo", "--dir", "bin/demo", "--stop")
	stop.Dir = dir
	defer func() {
		if out, err := stop.CombinedOutput(); err != nil {
			t.Errorf("stop: %v\n%s", err, out)
		}
	}()
	c := exec.Command("sh", "-e", "-c", commands)
	c.Dir = dir
	c.Env = append(os.Environ(), "LC_ALL=C")
	out := &strings.Builder{}
	c.Stdout, c.Stderr = out, out
	c.WaitDelay = 5 * time.Second // the publisher goes on in the background
	start := time.Now()
	err := c.Run()
	text := out.String()
	if err != nil && !strings.Contains(err.Error(), "WaitDelay") {
		t.Fatalf("%v\n%s", err, text)
	}
	// Ten payloads: a publisher that stood still for a second sends two dates in one.
	dates := regexp.MustCompile(`(?m)^\w{3} \w{3} +\d+ \d\d:\d\d:\d\d .*\d{4}$`).FindAllString(text, -1)
	if len(dates) < 10 || !strings.Contains(text, "5 hosts") || !strings.Contains(text, "contract admitted") {
		t.Errorf("%d dates arrived, want 10:\n%s", len(dates), text)
	}
	// Each once and in order.
	var last time.Time
	for _, d := range dates {
		at, err := time.Parse(time.UnixDate, d)
		if err != nil || !at.After(last) {
			t.Errorf("%q came after %v: %v", d, last, err)
		}
		last = at
	}
	t.Logf("took %v", time.Since(start))
}
