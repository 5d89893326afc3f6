// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machine is an overlay of programs of their own, so that they can be killed.
type machine struct {
	t       *testing.T // of the part that runs
	whole   *testing.T
	dir     string
	program string
}

// newMachine starts two hosts; the streams are published at the first.
func newMachine(t *testing.T) *machine {
	t.Helper()
	if testing.Short() {
		t.Skip("runs an overlay")
	}
	dir, err := os.MkdirTemp("", "ov") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, whole: t, dir: dir, program: filepath.Join(dir, "overlayd")}
	if err := os.Symlink(self, m.program); err != nil { // see TestMain
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path("token"), []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

// run runs a part of the test.
func (m *machine) run(name string, f func(t *testing.T)) {
	all := m.t
	defer func() { m.t = all }()
	all.Run(name, func(t *testing.T) {
		m.t = t
		f(t)
	})
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

// host starts the daemon n; the first creates the overlay.
func (m *machine) host(n string) *process {
	m.t.Helper()
	args := []string{"run", "--listen", "127.0.0.1:0", "--token-file", m.path("token"), "--state", m.path("state" + n)}
	if n == "1" {
		args = append(args, "--create")
	} else {
		args = append(args, "--join", m.address())
	}
	p := m.start(n, nil, args...)
	until(m.t, "host "+n+" is a member", func() bool { return strings.Contains(m.ask(n, "status"), "member") })
	return p
}

// ask runs a command that ends by itself.
func (m *machine) ask(n string, args ...string) string {
	out, _ := exec.Command(m.program, append(args, "--socket", m.path(n))...).Output()
	return string(out)
}

func (m *machine) address() string {
	for l := range strings.Lines(m.ask("1", "status")) {
		if f := strings.Fields(l); len(f) == 2 && f[0] == "address" {
			return f[1]
		}
	}
	m.t.Fatal("the first host has no address")
	return ""
}

// process is a program that runs at a host.
type process struct {
	t         *testing.T
	cmd       *exec.Cmd
	out, errs *words
	done      chan error
}

func (m *machine) start(n string, in io.Reader, args ...string) *process {
	m.t.Helper()
	p := &process{t: m.t, cmd: exec.Command(m.program, append(args, "--socket", m.path(n))...), out: &words{}, errs: &words{}, done: make(chan error, 1)}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = in, p.out, p.errs
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	whole := m.t
	if args[0] == "run" { // a host outlives the part that started it
		whole = m.whole
	}
	whole.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// status waits for the end, and gives the exit status.
func (p *process) status() int {
	p.t.Helper()
	select {
	case err := <-p.done:
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
			p.t.Fatal(err)
		}
	case <-time.After(60 * time.Second):
		p.t.Fatalf("it does not end; it has said %s", p.errs)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) says(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !strings.Contains(p.errs.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%q is not said, but %s", text, p.errs)
		}
	}
}

// delivers waits for output that there was not before.
func (p *process) delivers() {
	p.t.Helper()
	before := len(p.out.String())
	until(p.t, "it delivers", func() bool { return len(p.out.String()) > before })
}

// ticks is an input without end: a line each 20 ms. It ends with its reader.
func ticks(t *testing.T) io.Reader {
	r, w, err := os.Pipe() // a file, so that no goroutine of the command holds on to it
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			if _, err := io.WriteString(w, "tick\n"); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { r.Close(); w.Close() })
	return r
}

func (m *machine) publish(name string, args ...string) *process {
	m.t.Helper()
	p := m.start("1", ticks(m.t), append([]string{"publish", name, "--public"}, args...)...)
	p.says("publishing " + name)
	return p
}

func (m *machine) subscribe(name string, args ...string) *process {
	m.t.Helper()
	p := m.start("2", nil, append([]string{"subscribe", name}, args...)...)
	p.delivers()
	return p
}

// The end of a stream is told as what it is, by the exit status too.
func TestEndsTellTheTruth(t *testing.T) {
	m := newMachine(t)
	first := m.host("1")
	second := m.host("2")

	m.run("by the publisher's word", func(t *testing.T) {
		pub := m.publish("word")
		sub := m.subscribe("word")
		pub.signal(syscall.SIGTERM)
		if got := sub.status(); got != 0 {
			t.Errorf("status %d: %s", got, sub.errs)
		}
		sub.says("contract withdrawn")
	})
	m.run("the program is killed", func(t *testing.T) {
		pub := m.publish("killed")
		sub := m.subscribe("killed", "--wait=0")
		pub.signal(syscall.SIGKILL)
		if got := sub.status(); got != 6 {
			t.Errorf("status %d, want 6: %s", got, sub.errs)
		}
		sub.says("broken off")
	})
	m.run("it is published anew after a crash", func(t *testing.T) {
		pub := m.publish("anew")
		sub := m.subscribe("anew")
		pub.signal(syscall.SIGKILL)
		sub.says("waiting for anew to be published anew, at most 10s")
		pub = m.publish("anew")
		sub.says("anew is published anew")
		sub.delivers()
		pub.signal(syscall.SIGTERM)
		if got := sub.status(); got != 0 {
			t.Errorf("status %d: %s", got, sub.errs)
		}
	})
	m.run("it is waited for", func(t *testing.T) {
		sub := m.start("2", nil, "subscribe", "later", "--wait")
		pub := m.publish("later", "--wait-readers", "1")
		sub.delivers()
		pub.signal(syscall.SIGTERM)
		sub.says("waiting for later to be published anew\n")
		pub = m.publish("later")
		sub.says("later is published anew")
		sub.delivers()
		pub.signal(syscall.SIGKILL)
		sub.signal(syscall.SIGINT)
		if got := sub.status(); got != 0 {
			t.Errorf("status %d after an interrupt: %s", got, sub.errs)
		}
	})
	m.run("all of a short stream arrives", func(t *testing.T) {
		sub := m.start("2", nil, "subscribe", "short", "--wait")
		var all strings.Builder
		for range 10000 {
			all.WriteString("a line of text\n")
		}
		pub := m.start("1", strings.NewReader(all.String()), "publish", "short", "--public", "--wait-readers", "1")
		pub.says("waiting for 1 readers")
		if got := pub.status(); got != 0 {
			t.Errorf("status %d: %s", got, pub.errs)
		}
		sub.says("contract withdrawn")
		if got := sub.out.String(); got != all.String() {
			t.Errorf("%d of %d bytes", len(got), all.Len())
		}
	})
	m.run("a host is put out", func(t *testing.T) {
		m.publish("secret")
		sub := m.subscribe("secret")
		var have struct{ Holders []struct{ Host string } }
		if err := json.Unmarshal([]byte(m.ask("1", "subscribers", "secret", "--json")), &have); err != nil || len(have.Holders) != 1 {
			t.Fatalf("who has the key: %+v, %v", have, err)
		}
		m.ask("1", "evict", "secret", have.Holders[0].Host)
		if got := sub.status(); got != 7 {
			t.Errorf("status %d, want 7: %s", got, sub.errs)
		}
		sub.says("the publisher has put this subscriber out")
		again := m.start("2", nil, "subscribe", "secret")
		if got := again.status(); got != 7 || again.out.String() != "" {
			t.Errorf("again: status %d, want 7: %q, %s", got, again.out, again.errs)
		}
	})
	m.run("no readers come", func(t *testing.T) {
		pub := m.start("1", ticks(t), "publish", "alone", "--wait-readers", "2", "--wait-timeout", "300ms")
		if got := pub.status(); got != 5 {
			t.Errorf("status %d, want 5: %s", got, pub.errs)
		}
		pub.says("0 of 2 readers came within 300ms")
	})
	m.run("the subscriber's daemon is started anew", func(t *testing.T) {
		m.publish("lasting")
		sub := m.subscribe("lasting")
		none := m.subscribe("lasting", "--wait=0")
		second.signal(syscall.SIGKILL)
		sub.says("which is gone, at most 1m0s")
		if got := none.status(); got != 1 || !strings.Contains(none.errs.String(), "is gone: it was stopped or has died") {
			t.Errorf("without waiting: status %d, %s", got, none.errs)
		}
		_ = second.status()
		second = m.host("2")
		sub.says("is back")
		sub.says("lasting goes on")
		sub.delivers()
	})
	m.run("the publisher's daemon is killed", func(t *testing.T) {
		pub := m.publish("lost")
		sub := m.subscribe("lost", "--wait=1s")
		first.signal(syscall.SIGKILL)
		if got := sub.status(); got != 6 {
			t.Errorf("status %d, want 6: %s", got, sub.errs)
		}
		sub.says("its publisher has died, or cannot be reached")
		if got := pub.status(); got != 1 {
			t.Errorf("publish: status %d: %s", got, pub.errs)
		}
	})
}
