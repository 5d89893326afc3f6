// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// makeIn runs make in the tree.
func makeIn(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is missing")
	}
	out, err := exec.Command("make", append([]string{"-C", ".."}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("make %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// overlayd needs Go and nothing else: on a machine that has Go, and not one of the
// packages of the laboratory, nothing is installed for it.
func TestBuildNeedsGoAlone(t *testing.T) {
	for _, target := range []string{"overlayd", "demo", "install", "overlayd-docs"} {
		out := makeIn(t, "-n", target)
		if !strings.Contains(out, "lab/deps.sh go\n") || strings.Contains(out, "lab/deps.sh\n") {
			t.Errorf("make %s installs more than Go:\n%s", target, out)
		}
	}
	dir := t.TempDir()
	said := filepath.Join(dir, "installed")
	for name, text := range map[string]string{
		"apt-get":    "echo apt-get \"$@\" >>" + said,
		"apt-cache":  "echo '  Candidate: 1'",
		"sudo":       "echo sudo \"$@\" >>" + said,
		"dpkg-query": "exit 1", // nothing is installed
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	deps := func(args ...string) string {
		c := exec.Command("sh", append([]string{"../lab/deps.sh"}, args...)...)
		c.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		b, _ := os.ReadFile(said)
		return string(b)
	}
	if got := deps("go"); got != "" {
		t.Errorf("for Go programs: %s", got)
	}
	if got := deps(); !strings.Contains(got, "qemu-system-x86") || !strings.Contains(got, "clang") {
		t.Errorf("the test does not see what is installed: %q", got)
	}
}

// What is installed is there, and is taken away again.
func TestInstall(t *testing.T) {
	if testing.Short() {
		t.Skip("builds overlayd")
	}
	dir := t.TempDir()
	files := func() (list []string) {
		_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, _ error) error {
			if !d.IsDir() {
				list = append(list, strings.TrimPrefix(p, dir))
			}
			return nil
		})
		return list
	}
	args := []string{"BIN=" + t.TempDir(), "DESTDIR=" + dir, "PREFIX=/opt/x"}
	makeIn(t, append(args, "install")...)
	have := files()
	for _, want := range []string{
		"/opt/x/bin/overlayd", "/opt/x/lib/systemd/system/overlayd.service", "/opt/x/share/man/man8/overlayd.8", "/opt/x/share/man/man8/overlayd-subscribe.8",
		"/opt/x/share/bash-completion/completions/overlayd", "/opt/x/share/zsh/site-functions/_overlayd", "/opt/x/share/fish/vendor_completions.d/overlayd.fish",
	} {
		if !slices.Contains(have, want) {
			t.Errorf("%s is not installed, but %v", want, have)
		}
	}
	unit, err := os.ReadFile(filepath.Join(dir, "opt/x/lib/systemd/system/overlayd.service"))
	if err != nil || !strings.Contains(string(unit), "ExecStart=/opt/x/bin/overlayd run") {
		t.Errorf("the unit starts another program: %v\n%s", err, unit)
	}
	if out, err := exec.Command(filepath.Join(dir, "opt/x/bin/overlayd"), "token").Output(); err != nil || len(out) < 32 {
		t.Errorf("what is installed does not run: %v", err)
	}
	makeIn(t, append(args, "uninstall")...)
	if left := files(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Hosts of two kinds are one overlay. The program of the other kind runs in an emulator.
func TestMixedArchitectures(t *testing.T) {
	qemu := os.Getenv("QEMU_ARM64")
	if qemu == "" {
		t.Skip("names no emulator: QEMU_ARM64=qemu-aarch64-static, see 'make test-arm64'")
	}
	m := newMachine(t)
	build := exec.Command("go", "build", "-o", m.path("arm64"), ".")
	build.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m.host("1")
	native := m.program
	m.program = m.path("emulated")
	if err := os.WriteFile(m.program, []byte("#!/bin/sh\nexec '"+qemu+"' '"+m.path("arm64")+"' \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.host("2")
	for _, c := range []struct{ publisher, subscriber, at, to string }{{native, m.path("emulated"), "1", "2"}, {m.path("emulated"), native, "2", "1"}} {
		name := "from" + c.at
		m.program = c.subscriber
		sub := m.start(c.to, nil, "subscribe", name, "--wait")
		m.program = c.publisher
		pub := m.start(c.at, strings.NewReader(strings.Repeat("a line\n", 5000)), "publish", name, "--public", "--wait-readers", "1", "--spa", "transform@source")
		if got := pub.status(); got != 0 {
			t.Errorf("publish: status %d: %s", got, pub.errs)
		}
		sub.says("contract withdrawn")
		until(t, "all of it arrives", func() bool { return sub.out.String() == strings.Repeat("a line\n", 5000) })
	}
}
