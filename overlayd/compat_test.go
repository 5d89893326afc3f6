// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// before is the last commit before the protocol's core was taken apart into machines.
const before = "d34f992efd439a894425439a57204d8ede0dccfe"

// Daemons built from the tree before the core was taken apart, and daemons built from
// this one, form one overlay and carry streams, whoever publishes.
func TestOldAndNewAreOneOverlay(t *testing.T) {
	if testing.Short() {
		t.Skip("builds overlayd twice and runs six of it")
	}
	dir, err := os.MkdirTemp("", "ov") // the path of a unix socket has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	programs := []string{filepath.Join(dir, "new"), filepath.Join(dir, "old")}
	must := func(c *exec.Cmd) {
		t.Helper()
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c.Args, err, out)
		}
	}
	if err := exec.Command("git", "cat-file", "-e", before+"^{commit}").Run(); err != nil {
		t.Skipf("needs the commit %s in the clone's history: git fetch --unshallow", before)
	}
	tree := filepath.Join(dir, "tree")
	must(exec.Command("sh", "-e", "-c", `mkdir "$1"; git -C "$(git rev-parse --show-toplevel)" archive "$2" | tar -x -C "$1"`, "sh", tree, before))
	must(exec.Command("go", "build", "-o", programs[0], "."))
	old := exec.Command("go", "build", "-o", programs[1], "./overlayd")
	old.Dir = tree
	must(old)

	m := mixed{t: t, dir: dir, programs: programs}
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(strings.Repeat("0123456789abcdef", 2)), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		m.start(i)
	}
	// One publisher of either kind, and subscribers on all other hosts.
	for pub := range 2 {
		m.stream(pub)
	}
	m.bound()
}

// bound asks an old publisher for what it does not know: a new host is told why nothing
// comes of it, and other subscribers are none the worse.
func (m *mixed) bound() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	p := exec.CommandContext(ctx, m.program(1), "publish", "plain", "--public", "--socket", m.socket(1))
	in, err := p.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		m.t.Fatal(err)
	}
	defer func() { _, _ = p.Process.Kill(), p.Wait() }()
	fmt.Fprintln(in, "something")
	s := exec.CommandContext(ctx, m.program(2), "subscribe", "plain", "--jitter", "5ms", "--socket", m.socket(2))
	if err := s.Start(); err != nil {
		m.t.Fatal(err)
	}
	defer func() { _, _ = s.Process.Kill(), s.Wait() }()
	const want = "does not answer a request with a bound on jitter"
	for {
		out, _ := exec.Command(m.program(2), "contracts", "--socket", m.socket(2)).CombinedOutput()
		if strings.Contains(string(out), want) {
			break
		}
		if ctx.Err() != nil {
			m.t.Fatalf("after 60 s nothing says that a host %s:\n%s", want, out)
		}
		time.Sleep(100 * time.Millisecond)
	}
	m.stream(3) // an old one publishes to all
}

// mixed is an overlay of hosts that are new and old in turn.
type mixed struct {
	t        *testing.T
	dir      string
	programs []string
	first    string
	status   []func() hostStatus
}

type hostStatus struct {
	State string
	Self  struct{ Addr string }
}

func (m *mixed) program(i int) string { return m.programs[i%len(m.programs)] }
func (m *mixed) socket(i int) string  { return filepath.Join(m.dir, fmt.Sprint(i, ".sock")) }

func (m *mixed) start(i int) {
	m.t.Helper()
	args := []string{
		"run", "--listen", "127.0.0.1:0", "--token-file", filepath.Join(m.dir, "token"), "--state", filepath.Join(m.dir, fmt.Sprint("state", i)),
		"--socket", m.socket(i),
	}
	if i == 0 {
		args = append(args, "--create")
	} else {
		args = append(args, "--join", m.first)
	}
	var log bytes.Buffer
	c := exec.Command(m.program(i), args...)
	c.Stderr = &log
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		_, _ = c.Process.Kill(), c.Wait()
		if m.t.Failed() {
			m.t.Logf("host %d (%s): %s", i, filepath.Base(m.program(i)), log.String())
		}
	})
	status := func() (s hostStatus) {
		out, err := exec.Command(m.program(i), "status", "--json", "--socket", m.socket(i)).Output()
		if err == nil {
			err = json.Unmarshal(out, &s)
		}
		if err != nil {
			s.State = err.Error()
		}
		return s
	}
	m.status = append(m.status, status)
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		s := status()
		if s.State == "member" {
			if i == 0 {
				m.first = s.Self.Addr
			}
			return
		}
		if time.Now().After(end) {
			m.t.Fatalf("host %d (%s) is %s after 60 s", i, filepath.Base(m.program(i)), s.State)
		}
	}
}

// stream publishes numbers at one host, and expects twenty in a row at all others.
func (m *mixed) stream(pub int) {
	const want = 20
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	name := fmt.Sprint("numbers", pub)
	p := exec.CommandContext(ctx, m.program(pub), "publish", name, "--public", "--socket", m.socket(pub))
	in, err := p.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			fmt.Fprintln(in, i)
			time.Sleep(20 * time.Millisecond)
		}
	}()
	defer func() { _, _ = p.Process.Kill(), p.Wait() }()
	type got struct {
		host int
		out  []byte
		err  error
	}
	ended := make(chan got)
	n := 0
	for i := range m.status {
		if i == pub {
			continue
		}
		n++
		go func() {
			c := exec.CommandContext(ctx, m.program(i), "subscribe", name, "--socket", m.socket(i), "--count", fmt.Sprint(want))
			out, err := c.Output()
			ended <- got{i, out, err}
		}()
	}
	for range n {
		g := <-ended
		var numbers []int
		for w := range strings.FieldsSeq(string(g.out)) {
			var v int
			if _, err := fmt.Sscan(w, &v); err != nil {
				m.t.Errorf("host %d received %q", g.host, w)
			}
			numbers = append(numbers, v)
		}
		row := len(numbers) >= want
		for i := 1; i < len(numbers); i++ {
			row = row && numbers[i] == numbers[i-1]+1
		}
		if g.err != nil || !row {
			m.t.Errorf("%s publishes: host %d (%s) received %v, %v", filepath.Base(m.program(pub)), g.host, filepath.Base(m.program(g.host)), numbers, g.err)
		}
	}
}
