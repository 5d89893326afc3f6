// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sandstream/internal/host/shm"
	"sandstream/uls"
)

// areas are what a slice consists of; offsets from its base.
var areas = []struct {
	name   string
	offset uint64
}{
	{"info page", shm.OffInfo},
	{"counters", shm.OffCounters},
	{"mailbox", shm.OffMbox},
	{"log", shm.OffLog},
	{"text", shm.OffImage},
	{"heap", shm.OffHeap},
	{"stack of CPU 0", shm.OffStacks + shm.StackStride - 4096},
	{"frame pool", shm.OffPool},
	{"RX ring", shm.OffRings},
	{"TX ring", shm.OffRings + shm.RingStride},
	{"fill ring", shm.OffRings + 2*shm.RingStride},
	{"completion ring", shm.OffRings + 3*shm.RingStride},
	{"frames", shm.OffUmem},
	{"last frames", shm.OffUmem + 16<<20 - 4096},
}

// testIsolation lets one sandbox reach for everything another one has, while that
// one forwards frames.
func testIsolation(t *tap) {
	w := newWorld(t)
	w.mapOn("/spa/forward.spa", "victim", w.forwardFlow())
	victim := find(t.list(), "victim")
	f := w.newFlood(outPort)
	defer f.close()
	for _, a := range areas {
		for _, how := range []string{"read", "write"} {
			addr := uint64(victim.Base) + a.offset
			name := "neighbour-" + how
			// Without a port; it does its worst in the first tick.
			_, err := t.client().Map(uls.MapOptions{
				File: "/spa/tests/" + name + ".spa", Name: "thief", Budget: 5 * time.Millisecond,
				Params: map[string]string{"when": "2", "arg": fmt.Sprint(addr)},
			})
			t.must(err == nil, fmt.Sprintf("map an SPA that will %s the victim's %s", how, a.name), "%v", err)
			var thief *uls.SPA
			wait(5*time.Second, func() bool {
				thief = find(t.list(), "thief")
				return thief != nil && thief.State == uls.StateAborted
			})
			ok := thief != nil && thief.Abort != nil && thief.Abort.Vector == pageFault && uint64(thief.Abort.Address) == addr
			t.check(ok, fmt.Sprintf("it cannot %s it", how), "%+v", thief)
			t.check(thief == nil || counter(t.stats("thief"), "survived") == 0, "nor did it survive", "%+v", t.stats("thief"))
			t.unmap("thief")
			err = f.run(20)
			t.check(err == nil, "the victim forwards on", "%v", err)
		}
	}
	// What is mapped is mapped indeed: the victim itself reaches the same addresses.
	s := t.stats("victim")
	t.check(s.Aborts == 0 && counter(s, "forwarded") == 20*2*uint64(len(areas)), "the victim saw every frame", "%+v", s)
	t.ok("unmap", "unmap", "victim")
}

// touch is the helper that reads and writes addresses of the region as an
// ordinary process: it prints what becomes of each.
//
//	touch CPU ROUNDS ADDRESS...
func touch(args []string) {
	helperCPU(args)
	rounds, _ := strconv.Atoi(args[1])
	debug.SetPanicOnFault(true)
	for range rounds {
		for _, a := range args[2:] {
			addr, err := strconv.ParseUint(a, 0, 64)
			if err != nil {
				os.Exit(2)
			}
			fmt.Println(a, "read", access(uintptr(addr), false))
			fmt.Println(a, "write", access(uintptr(addr), true))
			fmt.Println(a, "syscall", throughKernel(uintptr(addr)))
		}
	}
}

// access returns "SIGSEGV" and the address the kernel reported, or what was read.
func access(addr uintptr, write bool) (what string) {
	defer func() {
		if r := recover(); r != nil {
			if e, ok := r.(interface{ Addr() uintptr }); ok {
				what = fmt.Sprintf("SIGSEGV %#x", e.Addr())
				return
			}
			what = fmt.Sprint(r)
		}
	}()
	p := (*uint64)(*(*unsafe.Pointer)(unsafe.Pointer(&addr))) // an address of no Go object
	if write {
		*p = 1
		return "written"
	}
	return fmt.Sprintf("value %#x", *p)
}

// throughKernel asks the kernel to read and to write the address on the
// process's behalf.
func throughKernel(addr uintptr) string {
	fds := make([]int, 2)
	if err := unix.Pipe(fds); err != nil {
		return err.Error()
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	if _, _, e := unix.Syscall(unix.SYS_WRITE, uintptr(fds[1]), addr, 8); e != unix.EFAULT {
		return fmt.Sprint("write(2): ", e)
	}
	if _, err := unix.Write(fds[1], []byte("12345678")); err != nil {
		return err.Error()
	}
	if _, _, e := unix.Syscall(unix.SYS_READ, uintptr(fds[0]), addr, 8); e != unix.EFAULT {
		return fmt.Sprint("read(2): ", e)
	}
	return "EFAULT"
}

// testRegion: an ordinary process that touches the region gets SIGSEGV, on each
// CPU, also while upcalls run.
func testRegion(t *tap) {
	w := newWorld(t)
	w.mapOn("/spa/forward.spa", "forward", w.forwardFlow())
	base := uint64(find(t.list(), "forward").Base)
	var addrs []string
	for _, a := range areas {
		addrs = append(addrs, fmt.Sprintf("%#x", base+a.offset))
	}
	addrs = append(addrs, fmt.Sprintf("%#x", uint64(shm.RegionBase)), fmt.Sprintf("%#x", base+shm.SliceSize))
	for cpu := range cpus() {
		t.touches(cpu, 1, addrs, "quiet")
	}
	for cpu := range cpus() {
		f := w.newFlood(outPort)
		f.window = 16
		done := make(chan error)
		before := t.stats("forward").Upcalls["rx"]
		go func() { done <- f.run(2000) }()
		t.touches(cpu, 10, addrs, "while upcalls run")
		during := t.stats("forward").Upcalls["rx"]
		err := <-done
		f.close()
		t.check(err == nil, fmt.Sprintf("CPU %d: forwarding goes on meanwhile", cpu), "%v", err)
		t.check(during > before, fmt.Sprintf("CPU %d: there were upcalls meanwhile", cpu), "%d before, %d after", before, during)
	}
	t.ok("unmap", "unmap", "forward")
}

func (t *tap) touches(cpu, rounds int, addrs []string, when string) {
	args := append([]string{"helper", "touch", strconv.Itoa(cpu), strconv.Itoa(rounds)}, addrs...)
	cmd := exec.Command("/proc/self/exe", args...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	var bad []string
	lines := 0
	for s := bufio.NewScanner(strings.NewReader(string(out))); s.Scan(); lines++ {
		w := strings.Fields(s.Text())
		good := len(w) >= 3 && ((w[1] == "syscall" && w[2] == "EFAULT") || (w[2] == "SIGSEGV" && len(w) == 4 && w[3] == w[0]))
		if !good {
			bad = append(bad, s.Text())
		}
	}
	want := 3 * rounds * len(addrs)
	t.check(err == nil && len(bad) == 0 && lines == want,
		fmt.Sprintf("CPU %d, %s: %d accesses of a process end in SIGSEGV or EFAULT", cpu, when, want),
		"%d lines; %v\n%s", lines, err, strings.Join(bad[:min(len(bad), 10)], "\n"))
}
