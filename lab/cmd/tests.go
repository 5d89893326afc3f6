// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"sandstream/lab/vm"
)

// A vmTest is one boot. It passes when every program ends with status 0 and
// printed no "not ok" line, and the kernel complained of nothing.
//
// Programs report in TAP ("ok 1 - what", "not ok 2 - what", "ok 3 - what # SKIP
// why") or as Go test binaries do (-test.v); each line counts as one check.
// A test that needs a part of the project that is not in this tree is skipped, and
// says so.
type vmTest struct {
	name        string
	needs       []string // parts ("kmod"), guest paths, or "patch:WORD" for a patch with WORD in its name
	variant     string   // kernel variant; "lab" if empty
	cpus        int      // 1 if zero
	memory      int      // MiB, 512 if zero
	mitigations bool     // boot with mitigations=auto
	exact       bool     // guest time is a count of instructions
	repeat      int      // run so often; every byte that comes back must be the same
	ports       int      // e1000e ports, all on hub 1
	generator   bool     // one more port on it for the traffic generator: load "ulsgen"
	modules     []string // load first: "NAME" or "NAME parameters", for example "uls"
	append      []string // kernel parameters
	programs    [][]string
	goTest      string        // a Go package whose tests run in the guest, for example "./uls"
	allowed     []string      // regular expressions for console lines that are part of the test
	limit       time.Duration // host time; 3 minutes if zero
	expect      error         // the run must end with this error: a test of the harness itself
}

// vmTests is every test that needs a machine. Add one line here and a program in
// lab/tests/NAME or lab/tests/module.
var vmTests = []vmTest{
	{
		name: "boot", cpus: 2, ports: 2, mitigations: true,
		programs: [][]string{{"/tests/boot/boot", "2", "2"}},
	},
	{
		name: "repeat", exact: true, repeat: 2, ports: 2,
		programs: [][]string{{"/tests/repeat/repeat", "eth0", "eth1", "1000", "8"}},
	},
	{
		name: "repeat-2cpu", exact: true, repeat: 2, cpus: 2, ports: 2,
		programs: [][]string{{"/tests/repeat/repeat", "eth0", "eth1", "200", "8"}},
	},
	// The harness: what must not pass does not.
	{
		name: "harness-panic", expect: vm.ErrSplat,
		programs: [][]string{{"/bin/sh", "-c", "echo ok 1 - about to crash; echo c >/proc/sysrq-trigger; sleep 60"}},
	},
	{
		name: "harness-warning", cpus: 2, expect: vm.ErrSplat,
		programs: [][]string{{"/bin/sh", "-c", "echo 'WARNING: pretended' >/dev/kmsg; echo ok 1 - went on"}},
	},
	{
		name: "harness-hang", expect: vm.ErrTimeout, limit: 20 * time.Second,
		programs: [][]string{{"/bin/sh", "-c", "echo ok 1 - started; kill -STOP $$"}},
	},
	{
		name: "harness-early-end", expect: vm.ErrNoVerdict,
		programs: [][]string{{"/bin/sh", "-c", "echo ok 1 - started; poweroff -f"}},
	},
	{
		name: "boot-debug", variant: "debug", cpus: 2, ports: 2, memory: 1024,
		programs: [][]string{{"/tests/boot/boot", "2", "2"}}, limit: 6 * time.Minute,
	},
	// XDP and AF_XDP zero copy of e1000e, without a sandbox. Exact, so that one thread
	// emulates both CPUs: with two, the kernel's patching of its own text is not safe.
	{
		name: "xdp", exact: true, cpus: 2, ports: 2, needs: []string{"patch:e1000e", "/tests/xdp/xdptest"},
		programs: [][]string{{"/tests/xdp/xdptest", "selftest", "eth0", "eth1", "-l", "20"}}, limit: 10 * time.Minute,
	},
	{
		name: "xdp-debug", variant: "debug", exact: true, cpus: 2, ports: 2, memory: 1024, needs: []string{"patch:e1000e", "/tests/xdp/xdptest"},
		programs: [][]string{{"/tests/xdp/xdptest", "selftest", "eth0", "eth1", "-l", "5"}}, limit: 30 * time.Minute,
	},
	// The module, through raw netlink. Exact, as all that has budgets in it: an SPA's
	// deadline is in guest time, and on a busy host guest time would run away from it.
	{
		name: "module", exact: true, cpus: 2, ports: 2, modules: []string{"uls"}, needs: []string{"/tests/module/uls-ktest"},
		programs: [][]string{{"/tests/module/uls-ktest"}}, limit: 10 * time.Minute,
	},
	{
		name: "module-mitigations", exact: true, mitigations: true, ports: 2, modules: []string{"uls"}, needs: []string{"/tests/module/uls-ktest"},
		programs: [][]string{{"/tests/module/uls-ktest"}}, limit: 10 * time.Minute,
	},
	{
		name: "module-debug", exact: true, variant: "debug", cpus: 2, ports: 2, memory: 1024, modules: []string{"uls"}, needs: []string{"/tests/module/uls-ktest"},
		programs: [][]string{{"/tests/module/uls-ktest"}}, limit: 20 * time.Minute,
	},
	// The kernel-thread forwarder, a contender of the experiments.
	{
		name: "kforward", exact: true, cpus: 2, modules: []string{"kforward"}, needs: []string{"/tests/kforward/kforward"},
		programs: [][]string{{"/tests/kforward/kforward"}},
	},
	{
		name: "kforward-debug", exact: true, variant: "debug", cpus: 2, memory: 1024, modules: []string{"kforward"}, needs: []string{"/tests/kforward/kforward"},
		programs: [][]string{{"/tests/kforward/kforward"}}, limit: 6 * time.Minute,
	},
	// The end host from user level: ulsctl, SPAs, two ports on one wire. Time is a
	// count of instructions: a busy host must not make an SPA overrun its budget.
	{
		name: "plain-zerocopy", exact: true, ports: 2, modules: []string{"uls"}, needs: []string{"patch:e1000e", "/tests/endhost/endhost"},
		programs: [][]string{{"/tests/endhost/endhost", "plain"}}, limit: 5 * time.Minute,
	},
	{
		name: "endhost", exact: true, ports: 2, memory: 768, modules: []string{"uls", "kfpu"}, needs: []string{"/bin/ulsctl", "/tests/endhost/endhost"},
		programs: [][]string{endHost("cli", "path", "contexts", "limit", "faults", "survivors", "isolation", "registers", "kernel-fpu", "replace", "refuse")},
		limit:    10 * time.Minute,
	},
	{
		name: "endhost-2cpu", exact: true, cpus: 2, ports: 2, memory: 768, modules: []string{"uls", "kfpu"}, needs: []string{"/bin/ulsctl", "/tests/endhost/endhost"},
		programs: [][]string{endHost("path", "contexts", "drain", "limit", "waits", "faults", "faults-port", "survivors", "isolation", "region", "registers", "kernel-fpu", "replace", "leak", "unplug")},
		limit:    15 * time.Minute,
	},
	// Network namespaces that end under an SPA.
	{
		name: "namespace", exact: true, cpus: 2, ports: 2, memory: 768, modules: []string{"uls"}, needs: []string{"/bin/ulsctl", "/tests/endhost/endhost"},
		programs: [][]string{endHost("namespace")}, limit: 6 * time.Minute,
	},
	{
		name: "endhost-debug", exact: true, variant: "debug", cpus: 2, ports: 2, memory: 2048, modules: []string{"uls", "kfpu"},
		needs:    []string{"/bin/ulsctl", "/tests/endhost/endhost"},
		programs: [][]string{endHost("path", "faults", "isolation", "kernel-fpu", "replace", "refuse")},
		limit:    20 * time.Minute,
	},
	// Several tenants, hostile ones: what is left to whom. One CPU: the time of each is
	// then exact.
	{
		name: "tenants", exact: true, ports: 2, memory: 768, modules: []string{"uls"}, needs: []string{"/bin/ulsctl", "/tests/endhost/endhost"},
		programs: [][]string{endHost("ticks")},
		limit:    10 * time.Minute,
	},
	{
		name: "neighbour", exact: true, ports: 2, generator: true, modules: []string{"uls", "ulsgen"}, needs: []string{"/bin/ulsctl", "/tests/endhost/endhost"},
		programs: [][]string{endHost("neighbour")},
		limit:    10 * time.Minute,
	},
}

// endHost is the command of lab/tests/endhost for groups of its checks.
func endHost(groups ...string) []string { return append([]string{"/tests/endhost/endhost"}, groups...) }
