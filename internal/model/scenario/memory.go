// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"sandstream/internal/fail"
	"sandstream/internal/model/oracle"
)

// NetworkBytes estimates the memory that one drawn network takes at its peak,
// from above: edge lists, rows, the oracle's places and tables.
func (s *Scenario) NetworkBytes() uint64 {
	nodes, edges, tables, core := 0., 0., 0., 0.
	if s.Graph != nil {
		// The graph is there already; the oracle may need all of it as core.
		nodes = float64(s.Graph.Nodes())
		core = nodes
	} else {
		p := s.Params
		nodes = float64(p.Nodes())
		core = float64(p.T * p.Nt)
		stubs := core * float64(p.K)
		// Sizes vary by about ±√6 around their mean.
		ns2 := float64(p.Ns*p.Ns) + 6
		edges = stubs*(1+p.PStub*ns2/2*1.1) + core*float64(p.Nt)*p.PTransit/2*1.3 + float64(p.T*p.T)*p.PTop + float64(p.ExtraSS+p.ExtraTS)
		tables = stubs * ns2
		// Every extra edge may move a stub or two into the core.
		core += float64(p.Ns) * float64(p.ExtraTS+2*p.ExtraSS)
		core = math.Min(core, nodes)
	}
	bytes := 12*2*edges + 8*2*edges + 4*nodes + 16*nodes + 4*tables + (4+16)*float64(s.Hosts)
	if core <= oracle.MatrixLimit {
		bytes += 4 * core * core
	} else {
		bytes += 8 * 80 * core // hub labels, about
	}
	return uint64(bytes)
}

// CheckMemory refuses work that needs more bytes than this machine has left.
// Its error names the largest number of hosts that fits, when the need grows
// in proportion.
func (s *Scenario) CheckMemory(need uint64) error {
	free, ok := Available()
	if !ok || need <= free {
		return nil
	}
	fits := uint64(float64(s.Hosts) * float64(free) / float64(need) * 0.95)
	return fail.Errorf(fail.ErrUnsupported, "%d hosts need about %s of memory, but %s is available; possible here are about --hosts %d",
		s.Hosts, gib(need), gib(free), fits)
}

func gib(b uint64) string { return fmt.Sprintf("%.1f GiB", float64(b)/(1<<30)) }

// Available is the memory this process can still get: what the kernel calls
// available, and what the control group leaves, whichever is less.
func Available() (bytes uint64, known bool) {
	free, found := uint64(math.MaxUint64), false
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
				if kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64); err == nil {
					free, found = kb<<10, true
				}
			}
		}
	}
	limit, err1 := number("/sys/fs/cgroup/memory.max")
	used, err2 := number("/sys/fs/cgroup/memory.current")
	if err1 == nil && err2 == nil && limit > used {
		free, found = min(free, limit-used), true
	}
	return free, found
}

func number(path string) (uint64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}
