// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"
)

// shareSlack is how much less, or more, than their share processes may keep.
const shareSlack = 0.02

// full says whether the long version of a group is wanted: "GROUP=full".
func (t *tap) full() bool { return t.param == "full" }

// testTicks: ticks of many SPAs do not add up. Each by itself keeps to a tenth of
// a CPU, and all together to what processes do not keep.
func testTicks(t *tap) {
	length := 400 * time.Millisecond
	var names []string
	budget := func(int) time.Duration { return 500 * time.Microsecond }
	alone := t.alone(length, 1, 0)
	for _, n := range []int{1, 5, 9, 11} {
		more := t.admitMany(n-len(names), 0, fmt.Sprint("ticks", n, "-"), budget, nil)
		names = append(names, more...)
		w := soon(hogSetup(1)+time.Duration(n)*5*time.Millisecond, length)
		collect := t.hogs(w, 1, 0)
		t.arm(w, names...)
		got := kept(collect(), alone, 0)
		w.wait()
		ticks := uint64(0)
		for _, name := range names {
			ticks += counter(t.stats(name), "ticks")
		}
		met := t.check(got >= 0.5-shareSlack, fmt.Sprintf("beside %d SPAs that tick a process keeps half of its CPU", n),
			"it kept %.1f %%; the SPAs ticked %d times in all windows", 100*got, ticks)
		t.row("ticks", map[string]any{"spas": n, "kept": got, "met": met})
	}
}
