// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"sandstream/uls"
)

const kfpu = "/sys/module/kfpu/parameters/"

func (t *tap) kfpuNumber(name string) uint64 {
	b, err := os.ReadFile(kfpu + name)
	t.need(err, name)
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	t.need(err, name)
	return n
}

// testKernelFPU calls SPAs on top of kernel code that is using the FPU. One without
// FPU is called and changes nothing; one with it is not called, as there is nowhere
// to put what that code has in the registers.
func testKernelFPU(t *tap) {
	if _, err := os.Stat(kfpu); err != nil {
		t.skip("kernel code that uses the FPU", "kfpu.ko of lab/guest/kfpu is not loaded")
		return
	}
	dir, err := os.MkdirTemp("", "endhost")
	t.need(err, "temporary folder")
	defer os.RemoveAll(dir)
	c := t.client()
	const ms, every = 200, 100 // µs between ticks
	for _, v := range []struct {
		name  string
		fpu   bool
		ticks bool // it must be called meanwhile
	}{{"general-regs", false, true}, {"sse", true, false}, {"x87", true, false}} {
		changes := []change{setManifest(func(m *manifest) { m.TickUS = every }), setWhen(2)}
		if v.fpu {
			changes = append(changes, setManifest(func(m *manifest) { m.Flags |= 2 }))
		}
		file := patched(t, dir, "/spa/tests/"+v.name+".spa", changes...)
		s, err := mapOnCPU(c, 0, uls.MapOptions{File: file, Name: v.name})
		if !t.check(err == nil, v.name+": mapped", "%v", err) {
			continue
		}
		calls := func() uint64 {
			st, err := c.Stats(s)
			t.need(err, "statistics")
			return st.Contexts["kernel"]
		}
		bad, rounds, before := t.kfpuNumber("bad"), t.kfpuNumber("rounds"), calls()
		done := make(chan error)
		go func() {
			setAffinity(0) // the thread ends with this function
			done <- os.WriteFile(kfpu+"run", []byte(strconv.Itoa(ms)), 0)
		}()
		t.need(<-done, "kernel code that uses the FPU")
		over := calls() - before
		bad, rounds = t.kfpuNumber("bad")-bad, t.kfpuNumber("rounds")-rounds
		t.check(bad == 0 && rounds > 100, fmt.Sprintf("%s: kernel code finds its FPU registers as it left them", v.name), "%d of %d looks found others", bad, rounds)
		if v.ticks {
			t.check(over > 20, v.name+": called on top of it", "%d ticks in %d ms", over, ms)
		}
		t.note("%s: %d ticks on top of kernel code that uses the FPU, %d looks at its registers", v.name, over, rounds)
		ticks := func() uint64 {
			st, err := c.Stats(s)
			t.need(err, "statistics")
			return st.Upcalls["tick"]
		}
		then := ticks()
		t.check(wait(5*time.Second, func() bool { return ticks() > then+10 }), v.name+": called again afterwards", "%d ticks, then %d", then, ticks())
		t.unmap(s.Name)
	}
}
