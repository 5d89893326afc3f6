// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// versionOne is a commit whose hosts speak version 1 of the wire.
const versionOne = "d34f992efd439a894425439a57204d8ede0dccfe"

// builds makes overlayd: this one, and others by name.
type builds struct {
	t   *testing.T
	dir string
}

func newBuilds(t *testing.T) *builds {
	t.Helper()
	if testing.Short() {
		t.Skip("builds overlayd more than once and runs several of it")
	}
	dir, err := os.MkdirTemp("", "ov") // the path of a unix socket has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(strings.Repeat("0123456789abcdef", 2)), 0o600); err != nil {
		t.Fatal(err)
	}
	return &builds{t: t, dir: dir}
}

func (b *builds) must(c *exec.Cmd) {
	b.t.Helper()
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
}

// this builds the tree as it is, with a build tag of internal/live/transport or none.
func (b *builds) this(tag string) string {
	b.t.Helper()
	program := filepath.Join(b.dir, "overlayd"+tag)
	b.must(exec.Command("go", "build", "-tags", tag, "-o", program, "."))
	return program
}

// old builds a commit.
func (b *builds) old(commit string) string {
	b.t.Helper()
	if err := exec.Command("git", "cat-file", "-e", commit+"^{commit}").Run(); err != nil {
		b.t.Skipf("needs the commit %s in the clone's history: git fetch --unshallow", commit)
	}
	tree, program := filepath.Join(b.dir, "tree"), filepath.Join(b.dir, "overlayd-old")
	b.must(exec.Command("sh", "-e", "-c", `mkdir "$1"; git -C "$(git rev-parse --show-toplevel)" archive "$2" | tar -x -C "$1"`, "sh", tree, commit))
	c := exec.Command("go", "build", "-o", program, "./overlayd")
	c.Dir = tree
	b.must(c)
	return program
}

// mixed is an overlay of hosts of several builds.
type mixed struct {
	*builds
	first string
	hosts []*mixedHost
}

type mixedHost struct {
	program string
	addr    string
	cmd     *exec.Cmd
	log     lockedBuffer
	ended   chan error
}

// lockedBuffer is written by a process and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type hostStatus struct {
	State    string
	Version  string
	Problems []string
	Self     struct{ Addr string }
}

func (m *mixed) socket(i int) string { return filepath.Join(m.dir, fmt.Sprint(i, ".sock")) }

func (m *mixed) status(i int) (s hostStatus) {
	out, err := exec.Command(m.hosts[i].program, "status", "--json", "--socket", m.socket(i)).Output()
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		s.State = err.Error()
	}
	return s
}

// run starts host i and does not wait.
func (m *mixed) run(i int, program, listen string) *mixedHost {
	m.t.Helper()
	args := []string{
		"run", "--listen", listen, "--token-file", filepath.Join(m.dir, "token"), "--state", filepath.Join(m.dir, fmt.Sprint("state", i)),
		"--socket", m.socket(i),
	}
	if m.first == "" {
		args = append(args, "--create")
	} else {
		args = append(args, "--join", m.first)
	}
	h := &mixedHost{program: program, cmd: exec.Command(program, args...), ended: make(chan error, 1)}
	h.cmd.Stderr = &h.log
	if err := h.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		h.ended <- h.cmd.Wait()
		close(done)
	}()
	m.t.Cleanup(func() {
		_ = h.cmd.Process.Kill()
		<-done
		if m.t.Failed() {
			m.t.Logf("host %d (%s): %s", i, filepath.Base(program), h.log.String())
		}
	})
	if i < len(m.hosts) {
		m.hosts[i] = h
	} else {
		m.hosts = append(m.hosts, h)
	}
	return h
}

// start starts host i, and waits until it is a member.
func (m *mixed) start(i int, program string) {
	m.t.Helper()
	m.startAt(i, program, anyPort)
}

const anyPort = "127.0.0.1:0"

// startAt is start at an address.
func (m *mixed) startAt(i int, program, listen string) {
	m.t.Helper()
	h := m.run(i, program, listen)
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		s := m.status(i)
		if s.State == "member" {
			if h.addr = s.Self.Addr; m.first == "" {
				m.first = h.addr
			}
			return
		}
		if time.Now().After(end) {
			m.t.Fatalf("host %d (%s) is %s after 60 s", i, filepath.Base(program), s.State)
		}
	}
}

// says waits until a host's log has all of some words.
func (m *mixed) says(h *mixedHost, within time.Duration, words ...string) {
	m.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		missing := ""
		for _, w := range words {
			if !strings.Contains(h.log.String(), w) {
				missing = w
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			m.t.Fatalf("%s does not say %q within %v:\n%s", filepath.Base(h.program), missing, within, h.log.String())
		}
	}
}

// ends waits until a host has ended with a status.
func (m *mixed) ends(h *mixedHost, within time.Duration, status int) {
	m.t.Helper()
	select {
	case err := <-h.ended:
		h.ended <- err
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != status {
			m.t.Errorf("%s ended with %v, want status %d", filepath.Base(h.program), err, status)
		}
	case <-time.After(within):
		m.t.Errorf("%s has not ended within %v: %s", filepath.Base(h.program), within, h.log.String())
	}
}

// Hosts of version 1 of the wire are told apart from hosts that do not answer, and both
// sides are told what to do, as far as the old one can.
func TestVersionOneIsRefused(t *testing.T) {
	b := newBuilds(t)
	now, old := b.this(""), b.old(versionOne)
	t.Run("old joins new", func(t *testing.T) {
		m := &mixed{builds: &builds{t, b.dir}}
		m.start(0, now)
		h := m.run(1, old, anyPort)
		m.says(h, 10*time.Second, "run the same version of overlayd on both")
		m.says(m.hosts[0], time.Second, "speaks version 1 of the wire, this one version 2 of the wire", "upgrade overlayd there")
		if s := m.status(0); s.State != "member" {
			t.Errorf("the member is %s", s.State)
		}
	})
	t.Run("new joins old", func(t *testing.T) {
		m := &mixed{builds: &builds{t, t.TempDir()}}
		m.dir = b.dir + "/2"
		if err := os.Mkdir(m.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(b.dir+"/token", m.dir+"/token"); err != nil {
			t.Fatal(err)
		}
		m.start(0, old)
		h := m.run(1, now, anyPort)
		m.ends(h, 10*time.Second, 3)
		m.says(h, 0, "host "+m.first+" speaks version 1 of the wire, this one version 2 of the wire", "upgrade overlayd there")
		m.says(m.hosts[0], time.Second, "refused a host", "the other host speaks version 2 of the wire", "upgrade overlayd here")
	})
}

// A build that speaks another version only is refused by this one, with words on both
// sides, whoever joins.
func TestAnotherVersionIsRefused(t *testing.T) {
	b := newBuilds(t)
	now, future := b.this(""), b.this("wire_future")
	for i, c := range []struct {
		member, joins, upgrade string
	}{{now, future, "there"}, {future, now, "here"}} {
		m := &mixed{builds: &builds{t, filepath.Join(b.dir, fmt.Sprint(i))}}
		if err := os.Mkdir(m.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(b.dir+"/token", m.dir+"/token"); err != nil {
			t.Fatal(err)
		}
		m.start(0, c.member)
		h := m.run(1, c.joins, anyPort)
		m.ends(h, 10*time.Second, 3)
		m.says(h, 0, "no common version of the wire: host "+m.first+" speaks version ", "upgrade overlayd "+c.upgrade)
		m.says(m.hosts[0], time.Second, "refused a host", "no common version of the wire", "version 3 of the wire", "version 2 of the wire")
	}
}

// Daemons of this build and of one with a raised minor number, features, fields and
// bits that this one does not know form one overlay and carry streams, whoever
// publishes.
func TestNextMinorIsOneOverlay(t *testing.T) {
	b := newBuilds(t)
	m := &mixed{builds: b}
	programs := []string{b.this(""), b.this("wire_next")}
	for i := range 6 {
		m.start(i, programs[i%2])
	}
	for pub := range 2 {
		m.stream(pub)
	}
}

// stream publishes numbers at one host, and expects twenty in a row at all others.
func (m *mixed) stream(pub int) {
	const want = 20
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	name := fmt.Sprint("numbers", pub)
	end := m.publish(ctx, pub, name)
	defer end()
	type got struct {
		host int
		out  []byte
		err  error
	}
	ended := make(chan got)
	n := 0
	for i := range m.hosts {
		if i == pub {
			continue
		}
		n++
		go func() {
			c := exec.CommandContext(ctx, m.hosts[i].program, "subscribe", name, "--socket", m.socket(i), "--count", fmt.Sprint(want))
			out, err := c.Output()
			ended <- got{i, out, err}
		}()
	}
	for range n {
		g := <-ended
		numbers, missing := sequence(string(g.out))
		if g.err != nil || len(numbers) < want || missing > 0 {
			m.t.Errorf("%s publishes: host %d (%s) received %v, %v", filepath.Base(m.hosts[pub].program), g.host, filepath.Base(m.hosts[g.host].program), numbers, g.err)
		}
	}
}

// publish publishes numbers, one in 20 ms, until end is called.
func (m *mixed) publish(ctx context.Context, host int, name string) (end func()) {
	m.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	p := exec.CommandContext(ctx, m.hosts[host].program, "publish", name, "--public", "--socket", m.socket(host))
	in, err := p.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		m.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			fmt.Fprintln(in, i)
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return func() {
		cancel()
		<-done
		_ = p.Wait()
	}
}

// sequence reads numbers, and counts those between the first and the last that are
// missing. One that is out of order counts as missing.
func sequence(out string) (numbers []int, missing int) {
	for w := range strings.FieldsSeq(out) {
		var v int
		if _, err := fmt.Sscan(w, &v); err != nil {
			missing++
			continue
		}
		numbers = append(numbers, v)
		if n := len(numbers); n > 1 && v != numbers[n-2]+1 {
			missing += max(1, v-numbers[n-2]-1)
		}
	}
	return numbers, missing
}
