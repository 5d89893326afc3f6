// SPDX-License-Identifier: Apache-2.0

// Command endhost checks user-level sandboxing end to end, from user space, in the
// lab's virtual machine: patched kernel, module loaded, ulsctl in /bin, SPAs in
// /spa, two e1000e ports on one wire. It prints TAP.
//
//	endhost GROUP...
//
// eth0 (10.0.1.1) stays where the SPAs are mapped; eth1 (10.0.1.2) moves to a
// network namespace of its own, the source and sink of all traffic:
//
//	+---------------- guest ----------------+
//	|  root namespace    :   "peer"         |
//	|  10.0.1.1 eth0     :   eth1 10.0.1.2  |
//	+------------|-------:-----|------------+
//	             +--- QEMU hub +
//
// With two CPUs the program itself runs on CPU 1 and eth0's interrupts on CPU 0.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// groups are what can be asked for; each begins and ends with nothing mapped.
var groups = map[string]func(*tap){
	"cli":         testCLI,
	"path":        testPath,
	"contexts":    testContexts,
	"drain":       testDrain,
	"limit":       testLimit,
	"waits":       testWaits,
	"faults":      testFaults,
	"faults-port": testFaultsPort,
	"survivors":   testSurvivors,
	"isolation":   testIsolation,
	"region":      testRegion,
	"registers":   testRegisters,
	"kernel-fpu":  testKernelFPU,
	"replace":     testReplace,
	"refuse":      testRefuse,
	"leak":        testLeak,
	"unplug":      testUnplug,
	"namespace":   testNamespace,
	"plain":       testPlain,
	"ticks":       testTicks,
	"neighbour":   testNeighbour,
}

// helpers are what the program runs itself as, in another process.
var helpers = map[string]func([]string){
	"burn-user":   burnUser,
	"burn-kernel": burnKernel,
	"touch":       touch,
	"bystander":   bystander,
	"tenant":      tenantHelper,
	"pour":        pour,
	"work":        work,
}

func main() {
	args := os.Args[1:]
	if len(args) > 1 && args[0] == "helper" && helpers[args[1]] != nil {
		helpers[args[1]](args[2:])
		return
	}
	if len(args) == 0 {
		var names []string
		for name := range groups {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintf(os.Stderr, "usage: endhost GROUP...: %s\n", strings.Join(names, " "))
		os.Exit(2)
	}
	pinMain()
	t := &tap{}
	for _, name := range args {
		group, _, _ := strings.Cut(name, "=")
		if groups[group] == nil {
			fmt.Fprintf(os.Stderr, "endhost: no group %q\n", group)
			os.Exit(2)
		}
		t.run(name, groups[group])
	}
	os.Exit(t.end())
}

// pinMain restricts the program to the last CPU and starts it anew, so that all
// threads of the Go runtime are there and CPU 0 is left to eth0.
func pinMain() {
	last := runtime.NumCPU() - 1
	if os.Getenv("VMTEST_PINNED") != "" || last == 0 {
		return
	}
	setAffinity(last)
	env := append(os.Environ(), "VMTEST_PINNED=1")
	err := unix.Exec("/proc/self/exe", os.Args, env)
	fmt.Fprintln(os.Stderr, "endhost: exec itself:", err)
	os.Exit(1)
}

// setAffinity binds the calling thread; threads it starts inherit that.
func setAffinity(cpu int) {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		fmt.Fprintf(os.Stderr, "endhost: bind to CPU %d: %v\n", cpu, err)
		os.Exit(1)
	}
}

// cpus is the number of CPUs of the machine; runtime.NumCPU counts only those the
// program is bound to.
func cpus() int {
	b, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return 1
	}
	first, last := 0, 0
	if n, _ := fmt.Sscanf(string(b), "%d-%d", &first, &last); n < 2 {
		return 1
	}
	return last + 1
}
