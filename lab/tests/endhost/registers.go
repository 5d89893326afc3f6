// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sandstream/uls"
)

// registers is what a bystander's registers must hold; registers_amd64.s knows
// the offsets.
type registers struct {
	general   [16]uint64 // RAX RBX RCX RDX RSI RDI RBP R8..R15
	vectors   [16][4]uint64
	flags     uint64
	fsBase    uint64
	gsBase    uint64
	mxcsr     uint32
	pkru      uint32
	selectors [8]uint16 // DS ES FS GS
	features  uint64    // 1: FSGSBASE, 2: PKU
	got       uint64    // what the bad one held
}

func checkRegisters(s *registers, rounds uint64) (bad uint64)

func baseAndSelectors(s *registers)

var registerNames = []string{
	"none", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
	16: "", 20: "ymm0-15", 21: "rflags", 22: "ds", 23: "es", 24: "fs", 25: "gs", 26: "fs base", 27: "gs base",
	28: "pkru", 29: "mxcsr", 30: "x87 stack",
}

func cpuFlags() map[string]bool {
	flags := map[string]bool{}
	b, _ := os.ReadFile("/proc/cpuinfo")
	for _, line := range strings.Split(string(b), "\n") {
		if name, rest, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "flags" {
			for _, f := range strings.Fields(rest) {
				flags[f] = true
			}
			break
		}
	}
	return flags
}

// bystander checks all its registers without pause until its input ends. It
// prints how often it did; a difference ends it at once, with status 1.
//
//	bystander CPU
func bystander(args []string) {
	helperCPU(args)
	debug.SetGCPercent(-1) // the checking function cannot be stopped by the collector
	// Asked in the loop: another goroutine would wait for this one to be preempted,
	// which an assembly function never is.
	stop := func() bool {
		in := []unix.PollFd{{Fd: 0, Events: unix.POLLIN}}
		n, err := unix.Poll(in, 0)
		return err == nil && n > 0
	}
	s := &registers{mxcsr: 0x1fa0, pkru: 0x55555550, gsBase: 0x7000_1234_5000}
	have := cpuFlags()
	if have["fsgsbase"] {
		s.features |= 1
	}
	if have["ospke"] {
		s.features |= 2
	}
	fmt.Println("checking: thread", unix.Gettid(), "fsgsbase", have["fsgsbase"], "pku", have["ospke"], "avx", have["avx"])
	var rounds uint64
	for rounds%1000 != 0 || !stop() {
		for i := range s.general {
			s.general[i] = 0x1111111111111111*uint64(i+1) ^ rounds
		}
		for i := range s.vectors {
			for j := range s.vectors[i] {
				s.vectors[i][j] = 0xfedcba9876543210 + rounds + uint64(16*i+j)
			}
		}
		// IF and the reserved bit, then two complementary patterns of the rest.
		s.flags = 0x202 | []uint64{0x200c91, 0x000444}[rounds/100%2]
		baseAndSelectors(s)
		if bad := checkRegisters(s, 100); bad != 0 {
			fmt.Printf("round %d: %s is %#x; general %#x flags %#x bases %#x %#x selectors %x\n",
				rounds, registerNames[bad], s.got, s.general, s.flags, s.fsBase, s.gsBase, s.selectors)
			os.Exit(1)
		}
		rounds += 100
	}
	fmt.Println("rounds", rounds)
}

// testRegisters runs bystanders on all CPUs while SPAs that spoil every register
// they may are called over them. "registers=N" makes N upcalls of the first,
// "registers=N,NAME" does only that one.
func testRegisters(t *tap) {
	if !cpuFlags()["avx"] {
		t.skip("bystander's registers", "this CPU has no AVX")
		return
	}
	want := uint64(20000)
	number, only, _ := strings.Cut(t.param, ",")
	if number != "" {
		n, err := strconv.ParseUint(number, 10, 64)
		t.need(err, "number of upcalls")
		want = n
	}
	dir, err := os.MkdirTemp("", "endhost")
	t.need(err, "temporary folder")
	defer os.RemoveAll(dir)
	// Half a million upcalls and more shall not take minutes of guest time; the bystander still gets most of it.
	every := uint32(100)
	if want >= 5e5 {
		every = 50
	}
	tick := setManifest(func(m *manifest) { m.TickUS = every })
	fpu := setManifest(func(m *manifest) { m.Flags |= 2 })
	for _, c := range []struct {
		name    string
		n       uint64
		changes []change
	}{
		{"general-regs", want, nil},
		{"popf-leak", want / 20, nil},
		{"selectors", want / 20, nil},
		{"wrfsgsbase", want / 20, nil},
		{"bad-stack", want / 20, nil},
		{"sse", want / 20, []change{fpu}},
		{"x87", want / 20, []change{fpu}},
	} {
		if only != "" && only != c.name {
			continue
		}
		file := patched(t, dir, "/spa/tests/"+c.name+".spa", append(c.changes, tick, setWhen(2))...)
		t.bystanders(file, c.name, c.n)
	}
}

func (t *tap) bystanders(file, name string, n uint64) {
	var watchers []*watcher
	for cpu := range cpus() {
		watchers = append(watchers, t.watch(cpu))
	}
	c := t.client()
	var spas []*uls.SPA
	for cpu := range cpus() {
		s, err := mapOnCPU(c, cpu, uls.MapOptions{File: file, Name: fmt.Sprint(name, cpu), Budget: 10 * time.Millisecond})
		if !t.check(err == nil, fmt.Sprintf("%s: mapped on CPU %d", name, cpu), "%v", err) {
			return
		}
		t.later(func() { t.unmap(s.Name) })
		spas = append(spas, s)
	}
	over := func(s *uls.SPA) uint64 {
		st, err := c.Stats(s)
		if err != nil {
			return 0
		}
		return st.Contexts["user"]
	}
	for i, s := range spas {
		what := fmt.Sprintf("%s: %d upcalls over the bystander on CPU %d", name, n, i)
		ok := wait(30*time.Second+time.Duration(n)*2*time.Millisecond, func() bool {
			time.Sleep(100 * time.Millisecond) // the less we run, the more it is the bystander
			return over(s) >= n || watchers[i].ended()
		})
		ok = ok && over(s) >= n
		st, _ := c.Stats(s)
		t.check(ok, what, "%d of %d; %+v", over(s), n, st)
	}
	// Without ticks the bystanders get to hear that they should end.
	counts := make([]uint64, len(spas))
	for i, s := range spas {
		counts[i] = over(s)
		t.unmap(s.Name)
	}
	for i, w := range watchers {
		out, err := w.finish()
		rounds := uint64(0)
		if j := strings.LastIndex(out, "rounds "); j >= 0 {
			rounds, _ = strconv.ParseUint(strings.TrimSpace(out[j+7:]), 10, 64)
		}
		t.check(err == nil && rounds > 0, fmt.Sprintf("%s: it saw no register change on CPU %d", name, i), "%v\n%s", err, out)
		t.note("%s CPU %d: %d upcalls, %d rounds of checking; %s", name, i, counts[i], rounds, strings.SplitN(out, "\n", 2)[0])
	}
}

// mapOnCPU commits on a CPU: the ticks of an SPA come there.
func mapOnCPU(c *uls.Client, cpu int, o uls.MapOptions) (s *uls.SPA, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		setAffinity(cpu) // the thread ends with this function
		s, err = c.Map(o)
	}()
	<-done
	return s, err
}

// watcher is a running bystander.
type watcher struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  syncBuffer
	done chan error
	over atomic.Bool
}

func (t *tap) watch(cpu int) *watcher {
	w := &watcher{done: make(chan error, 1)}
	cmd := helperCommand("bystander", strconv.Itoa(cpu))
	w.cmd = cmd
	var err error
	w.in, err = cmd.StdinPipe()
	t.need(err, "pipe")
	out, err := cmd.StdoutPipe()
	t.need(err, "pipe")
	cmd.Stderr = &w.out
	t.need(cmd.Start(), "start a bystander")
	started := make(chan struct{})
	go func() {
		s := bufio.NewScanner(out)
		for first := true; s.Scan(); first = false {
			fmt.Fprintln(&w.out, s.Text())
			if first {
				close(started)
			}
		}
		w.done <- cmd.Wait()
		w.over.Store(true)
	}()
	<-started
	t.later(func() { w.in.Close(); _ = cmd.Process.Kill() })
	return w
}

func (w *watcher) ended() bool { return w.over.Load() }

func (w *watcher) finish() (string, error) {
	w.in.Close()
	select {
	case err := <-w.done:
		return w.out.String(), err
	case <-time.After(20 * time.Second):
		// Where does it hang?
		_ = w.cmd.Process.Signal(syscall.SIGQUIT)
		select {
		case <-w.done:
		case <-time.After(10 * time.Second):
		}
		return w.out.String(), fmt.Errorf("it does not end")
	}
}
