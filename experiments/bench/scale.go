// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"sandstream/internal/report/results"
	"sandstream/internal/report/stats"
)

// bound is what a size may take.
type bound struct {
	seconds float64
	bytes   float64
}

// bounds are the project's promises, by number of hosts.
var bounds = map[int]bound{
	1 << 16: {1, math.Inf(1)},
	1 << 20: {10, 1 << 30},
	1 << 24: {300, 16 << 30},
}

// scale runs the penalty experiment for each size as a process of its own.
func scale(ctx context.Context, r *results.Run, seed uint64, sizes []int, repeat int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	t := &results.Table{
		Name:  "scale",
		Title: "Six curves of Figure 4, every node a host, from generation to tables",
		Note: "medians over runs; CPU: user + system time of all threads\n" +
			"growth: CPU per host and per log2 of the hosts, over that of the first row (at most 1: not faster than log M)",
		Columns: []string{"hosts", "runs", "wall (s)", "CPU (s)", "peak memory (MB)", "CPU per host (ns)", "growth", "bound (s)", "bound (MB)", "met"},
	}
	base := 0.0
	bar := r.Progress("bench: sizes", len(sizes))
	defer bar.Done()
	for _, hosts := range sizes {
		runs := repeat
		if hosts > 1<<17 {
			runs = 1
		}
		var wall, cpu, peak []float64
		for range runs {
			w, c, m, err := measure(ctx, self, hosts, seed)
			if err != nil {
				_ = r.Table(t) // what is finished
				return fmt.Errorf("%d hosts: %w", hosts, err)
			}
			wall, cpu, peak = append(wall, w), append(cpu, c), append(peak, m)
		}
		w, c, m := stats.Quantile(wall, .5), stats.Quantile(cpu, .5), stats.Quantile(peak, .5)
		perHost := c * 1e9 / float64(hosts)
		perLog := perHost / math.Log2(float64(hosts))
		if base == 0 {
			base = perLog
		}
		cells := []any{hosts, runs, w, c, m / 1e6, perHost, perLog / base}
		if b, ok := bounds[hosts]; ok {
			cells = append(cells, b.seconds, b.bytes/1e6, w <= b.seconds && m <= b.bytes)
		} else {
			cells = append(cells, nil, nil, nil)
		}
		t.Row(cells...)
		bar.Add(1)
	}
	return r.Table(t)
}

// measure runs one size: wall and CPU seconds, peak resident bytes.
func measure(ctx context.Context, self string, hosts int, seed uint64) (wall, cpu, peak float64, err error) {
	cmd := exec.CommandContext(ctx, self, "penalty", "--hosts", strconv.Itoa(hosts), "--seed", strconv.FormatUint(seed, 10),
		"--seeds", "1", "--curves", "paper", "--placement", "hosts-are-nodes", "--results", "", "--no-progress")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, 0, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	wall = time.Since(start).Seconds()
	s := cmd.ProcessState
	cpu = (s.UserTime() + s.SystemTime()).Seconds()
	if u, ok := s.SysUsage().(*syscall.Rusage); ok {
		peak = float64(u.Maxrss) * 1024
	}
	return wall, cpu, peak, nil
}
