// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "helper" {
		helpers[os.Args[2]](os.Args[3:])
		return
	}
	os.Exit(m.Run())
}

// A check that cannot fail proves nothing: change a register under the bystander
// with ptrace, and it must say which.
func TestBystanderNotices(t *testing.T) {
	if !cpuFlags()["avx"] {
		t.Skip("no AVX")
	}
	for _, c := range []struct {
		want   string
		change func(tid int) error
	}{
		{"r12", gpr(func(r *unix.PtraceRegs) { r.R12 ^= 1 << 40 })},
		{"rax", gpr(func(r *unix.PtraceRegs) { r.Rax++ })},
		{"rbp", gpr(func(r *unix.PtraceRegs) { r.Rbp = 0 })},
		{"rflags", gpr(func(r *unix.PtraceRegs) { r.Eflags ^= 1 << 10 })},
		{"gs base", gpr(func(r *unix.PtraceRegs) { r.Gs_base++ })},
		{"es", gpr(func(r *unix.PtraceRegs) { r.Es = 0x2b })},
		{"ymm", fpr(160 + 3*16)},
		{"mxcsr", fpr(25)},
	} {
		t.Run(c.want, func(t *testing.T) { notices(t, c.want, c.change) })
	}
}

func notices(t *testing.T, want string, change func(int) error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := helperCommand("bystander", "0")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	b := make([]byte, 200)
	n, err := out.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	var tid int
	if _, err := fmt.Sscanf(string(b[:n]), "checking: thread %d", &tid); err != nil {
		t.Fatalf("%q: %v", b[:n], err)
	}
	stop := make(chan struct{})
	rest := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(out)
		close(stop)
		rest <- string(all)
	}()
	// Some changes fall between a comparison and the next load, or into Go code.
	for end := time.Now().Add(30 * time.Second); ; {
		if time.Now().After(end) {
			_ = cmd.Process.Kill()
			t.Fatalf("changes went unnoticed for 30 s; it said %q", <-rest)
		}
		if err := stopped(tid, want, change); err != nil {
			break // it is gone
		}
		select {
		case <-stop:
		case <-time.After(3 * time.Millisecond):
			continue
		}
		break
	}
	said := <-rest
	err = cmd.Wait()
	if _, ok := err.(*exec.ExitError); !ok || !strings.Contains(said, ": "+want) {
		t.Errorf("it ended with %v and said %q, want it to name %s", err, said, want)
	}
}

// stopped stops the thread, changes it, and lets it go on. Only code of the
// checking function is disturbed: Go's own would crash.
func stopped(tid int, what string, change func(int) error) error {
	if err := unix.PtraceAttach(tid); err != nil {
		return err
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(tid, &ws, unix.WALL, nil); err != nil {
		return err
	}
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		return err
	}
	var err error
	if inLoop(tid, r.Rip, what) {
		err = change(tid)
	}
	if e := unix.PtraceDetach(tid); err == nil {
		err = e
	}
	return err
}

// inLoop tells by the next instruction whether the thread is in the waiting loop
// that watches this register. General registers are watched in the first (DECL
// 136(SP) and its jump), flags in the second (LEAQ -1(CX) CX, JCXZQ); the rest in
// both.
func inLoop(tid int, rip uint64, what string) bool {
	code := make([]byte, 8)
	if _, err := unix.PtracePeekText(tid, uintptr(rip), code); err != nil {
		return false
	}
	first := strings.HasPrefix(string(code), "\xff\x8c\x24\x88") || strings.HasPrefix(string(code), "\x75\xf7")
	second := strings.HasPrefix(string(code), "\x48\x8d\x49\xff") || code[0] == 0xe3
	switch {
	case what == "rflags":
		return second
	case what[0] == 'r':
		return first
	}
	return first || second
}

func gpr(f func(*unix.PtraceRegs)) func(int) error {
	return func(tid int) error {
		var r unix.PtraceRegs
		if err := unix.PtraceGetRegs(tid, &r); err != nil {
			return err
		}
		f(&r)
		return unix.PtraceSetRegs(tid, &r)
	}
}

// fpr flips a bit of the FXSAVE area.
func fpr(at int) func(int) error {
	return func(tid int) error {
		const getFP, setFP = 14, 15
		b := make([]byte, 512)
		if _, _, e := unix.Syscall6(unix.SYS_PTRACE, getFP, uintptr(tid), 0, uintptr(unsafe.Pointer(&b[0])), 0, 0); e != 0 {
			return e
		}
		b[at] ^= 0x20
		if _, _, e := unix.Syscall6(unix.SYS_PTRACE, setFP, uintptr(tid), 0, uintptr(unsafe.Pointer(&b[0])), 0, 0); e != 0 {
			return e
		}
		return nil
	}
}
