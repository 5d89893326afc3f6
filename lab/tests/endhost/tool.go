// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"sandstream/uls"
)

// result is how ulsctl ended.
type result struct {
	args   []string
	status int
	out    string
	err    string
}

func (r result) String() string {
	return fmt.Sprintf("ulsctl %s\nstatus %d\nstdout: %s\nstderr: %s", strings.Join(r.args, " "), r.status, r.out, r.err)
}

// ulsctl runs the tool.
func ulsctl(args ...string) result { return ulsctlAs(0, args...) }

// ulsctlAs runs it as a user without capabilities, unless uid is 0.
func ulsctlAs(uid uint32, args ...string) result {
	cmd := exec.Command("/bin/ulsctl", args...)
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	r := result{args: args}
	var exit *exec.ExitError
	switch err := cmd.Run(); {
	case errors.As(err, &exit):
		r.status = exit.ExitCode()
	case err != nil:
		r.status = -1
		errs.WriteString(err.Error())
	}
	r.out, r.err = out.String(), errs.String()
	return r
}

// ok checks that ulsctl succeeds.
func (t *tap) ok(what string, args ...string) result {
	r := ulsctl(args...)
	t.must(r.status == 0, what, "%v", r)
	return r
}

// refused checks an exit status and words of the error.
func (t *tap) refused(status int, words string, what string, r result) {
	t.check(r.status == status && strings.Contains(r.err, words) && strings.HasPrefix(r.err, "error: ") && r.out == "",
		fmt.Sprintf("%s: status %d, %q", what, status, words), "%v", r)
}

// fromJSON reads ulsctl's stdout.
func fromJSON[T any](t *tap, r result) (v T) {
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || r.status != 0 {
		t.must(false, "JSON of ulsctl "+strings.Join(r.args, " "), "%v\n%v", err, r)
	}
	return v
}

// client is the package's own connection: a process for each look would be most of
// what the guest does.
func (t *tap) client() *uls.Client {
	if t.c == nil {
		c, err := uls.New()
		t.need(err, "connect to the module")
		t.c = c
	}
	return t.c
}

func (t *tap) stats(name string) uls.Stats {
	spa, err := t.client().SPAByName(name)
	t.need(err, "find "+name)
	s, err := t.client().Stats(spa)
	t.need(err, "statistics of "+name)
	return *s
}

func (t *tap) list() (spas []uls.SPA) {
	all, err := t.client().SPAs()
	t.need(err, "list")
	for _, s := range all {
		spas = append(spas, *s)
	}
	return spas
}

func (t *tap) unmap(name string) { _ = t.client().Unmap(name) }

func counter(s uls.Stats, name string) uint64 {
	for _, c := range s.Counters {
		if c.Name == name {
			return c.Value
		}
	}
	return 1<<64 - 1
}

// events runs ulsctl events until the group ends. The function it returns gives
// what it has printed, once enough of it satisfies the caller or time is over.
func (t *tap) events() (collect func(enough func([]uls.Event) bool) []uls.Event) {
	cmd := exec.Command("/bin/ulsctl", "events", "--json")
	var out syncBuffer
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	t.need(err, "pipe")
	t.need(cmd.Start(), "start ulsctl events")
	// It says when it listens: nothing that happens from here on is missed.
	b := make([]byte, 64)
	n, _ := stderr.Read(b)
	if !strings.HasPrefix(string(b[:n]), "listening") {
		t.must(false, "ulsctl events listens", "%s", b[:n])
	}
	stop := func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}
	t.later(stop)
	return func(enough func([]uls.Event) bool) (evs []uls.Event) {
		wait(5*time.Second, func() bool {
			evs = nil
			for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
				var e uls.Event
				if err := json.Unmarshal([]byte(line), &e); err == nil {
					evs = append(evs, e)
				}
			}
			return enough(evs)
		})
		return evs
	}
}

// atLeast is for collect: n events.
func atLeast(n int) func([]uls.Event) bool {
	return func(evs []uls.Event) bool { return len(evs) >= n }
}

// holds waits until the module holds that and says what it holds: work items give
// back memory of their own accord.
func (t *tap) holds(want uls.Memory) (info *uls.Info) {
	wait(5*time.Second, func() bool {
		var err error
		info, err = t.client().Info()
		t.need(err, "ask the module")
		return info.Memory == want
	})
	return info
}

// nothingLeft checks that a group has cleaned up, the kernel included.
func (t *tap) nothingLeft() {
	info := t.holds(uls.Memory{})
	spas, err := t.client().SPAs()
	ok := err == nil && info.SlicesUsed == 0 && len(spas) == 0
	t.check(ok, "at the end no slice is in use and no SPA listed", "%v %+v %d SPAs", err, info, len(spas))
	t.check(info.Memory == uls.Memory{}, "at the end the module holds nothing", "%+v", info.Memory)
	_, err = os.Stat("/sys/fs/bpf/uls")
	t.check(errors.Is(err, os.ErrNotExist), "at the end nothing is pinned", "/sys/fs/bpf/uls: %v", err)
}
