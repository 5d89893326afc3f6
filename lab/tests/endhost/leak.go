// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sandstream/uls"
)

const (
	failedLoads = 1000
	failedKinds = 3 // ways to fail

	// goneMax is what free memory of the machine may be less by, in KiB: half of
	// what one page for each load of one kind would come to. The module's own
	// count is exact; this sees what is not in it, page tables for instance.
	goneMax = failedLoads / failedKinds * 4 / 2
)

// testLeak loads a thousand times what cannot be loaded, and some of what can;
// memory must be where it was.
func testLeak(t *tap) {
	w := newWorld(t)
	dir, err := os.MkdirTemp("", "endhost")
	t.need(err, "temporary folder")
	defer os.RemoveAll(dir)
	faulty := patched(t, dir, "/spa/tests/ud2.spa", setWhen(0))
	c := t.client()
	kinds := [failedKinds]struct {
		o     uls.MapOptions
		words string // of the error
	}{
		{uls.MapOptions{File: "/spa/tests/init-fails.spa"}, "INIT"},
		{uls.MapOptions{File: faulty}, "faulted"},
		{uls.MapOptions{File: "/spa/forward.spa", Budget: time.Hour}, "budget"},
	}
	load := func(n int) {
		var wrong error
		failed := 0
		for i := range n {
			k := kinds[i%failedKinds]
			if i%100 == 99 {
				k.o.Device = "eth0"
			}
			_, err := c.Map(k.o)
			if err != nil && strings.Contains(err.Error(), k.words) {
				failed++
			} else {
				wrong = fmt.Errorf("load %d: %v, want %q", i, err, k.words)
			}
		}
		t.check(failed == n, fmt.Sprint(n, " loads fail as they should"), "%d did; %v", failed, wrong)
	}
	load(100) // caches, per-CPU lists and the like fill up once
	t.stays(fmt.Sprint(failedLoads, " failed loads"), func() { load(failedLoads) })
	const n = 200
	t.stays(fmt.Sprint(n, " that were mapped and unmapped"), func() {
		for range n {
			t.need(mapUnmap(c), "map and unmap")
		}
	})

	// The count moves: one that stood still would find everything in order.
	w.mapOn("/spa/forward.spa", "forward", w.forwardFlow())
	info, err := c.Info()
	t.need(err, "ask the module")
	m := info.Memory
	r := ulsctl("status")
	line := fmt.Sprintf("%d pages (", m.Pages)
	t.check(m.Pages > 30 && m.Allocations > 10 && m.Sockets == 1 && strings.Contains(r.out, line), "an SPA on a device holds memory and a socket", "%+v\n%v", m, r)
	t.note("one SPA on a device: %+v", m)
	t.ok("unmap", "unmap", "forward")
	info = t.holds(uls.Memory{})
	t.check(info.Memory == uls.Memory{}, "nothing when it is gone", "%+v", info.Memory)
	w.waitCarrier()

	t.killedLoaders()
}

// stays checks that memory is the same before and after: the module holds nothing,
// and of the machine's less than goneMax is gone.
func (t *tap) stays(what string, do func()) {
	before := freeMemory(t)
	do()
	info := t.holds(uls.Memory{})
	t.check(info.Memory == uls.Memory{} && info.SlicesUsed == 0, "after "+what+" the module holds nothing", "%+v", info)
	after := freeMemory(t)
	t.check(before-after < goneMax, fmt.Sprintf("and less than %d KiB of the machine's memory are gone", goneMax),
		"%d KiB free before, %d after: %d are gone", before, after, before-after)
	t.note("%s: %+v; free memory: %d KiB before, %d after", what, info.Memory, before, after)
}

// killedLoaders ends loaders in the middle, which must leave nothing.
func (t *tap) killedLoaders() {
	begin := time.Now()
	t.ok("map without a port", "map", "/spa/forward.spa", "--name", "cut")
	whole := time.Since(begin)
	t.ok("unmap", "unmap", "cut")
	const n = 20
	done := 0
	for i := range n {
		cmd := exec.Command("/bin/ulsctl", "map", "/spa/forward.spa", "--name", "cut")
		t.need(cmd.Start(), "start ulsctl")
		time.Sleep(whole * time.Duration(i+1) / n)
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		if ulsctl("unmap", "cut").status == 0 {
			done++
		}
	}
	info := t.holds(uls.Memory{})
	t.check(info.Memory == uls.Memory{} && info.SlicesUsed == 0, "loaders that are killed leave nothing", "%+v", info)
	t.note("%d loaders killed within %v, %d of them had mapped", n, whole.Round(time.Millisecond), done)
}

func mapUnmap(c *uls.Client) error {
	s, err := c.Map(uls.MapOptions{File: "/spa/forward.spa", Budget: 10 * time.Millisecond})
	if err != nil {
		return err
	}
	return c.Unmap(s.Name)
}

// freeMemory is what the machine would have free without this program, in KiB, once
// it is calm: RCU and work items give back memory with a delay.
func freeMemory(t *tap) (now int) {
	debug.FreeOSMemory()
	last, calm := 0, 0
	for tries := 0; calm < 5 && tries < 60; tries++ {
		_ = os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
		time.Sleep(200 * time.Millisecond)
		// MemFree leaves out the free pages on the lists of single CPUs.
		now = t.sum("/proc/meminfo", "MemFree:") + t.sum("/proc/zoneinfo", "count:")*4 + t.sum("/proc/self/status", "RssAnon:")
		calm++
		if now-last > 32 || last-now > 32 {
			calm = 0
		}
		last = now
	}
	return now
}

// sum adds up the numbers behind a word at the beginning of lines.
func (t *tap) sum(file, word string) (sum int) {
	b, err := os.ReadFile(file)
	t.need(err, "read "+file)
	for _, line := range strings.Split(string(b), "\n") {
		if w := strings.Fields(line); len(w) > 1 && w[0] == word {
			n, err := strconv.Atoi(w[1])
			t.need(err, "read "+file)
			sum += n
		}
	}
	return sum
}
