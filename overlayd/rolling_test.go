// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Sixteen daemons are upgraded one by one to a build with a raised minor number, while
// a stream runs from one to another that are left for last. What is lost is no more
// than the restart of a relay costs without any upgrade.
func TestRollingUpgrade(t *testing.T) {
	const hosts = 16
	b := newBuilds(t)
	m := &mixed{builds: b}
	now, next := b.this(""), b.this("wire_next")
	for i := range hosts {
		m.start(i, now)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	end := m.publish(ctx, 0, "rolling")
	defer end()
	const sub = hosts - 1
	var out lockedBuffer
	s := exec.CommandContext(ctx, m.hosts[sub].program, "subscribe", "rolling", "--socket", m.socket(sub))
	s.Stdout = &out
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = s.Process.Signal(syscall.SIGINT)
		_ = s.Wait()
	})
	defer stop()
	come := func() int { n, _ := sequence(out.String()); return len(n) }
	waitFor := func(n int) {
		t.Helper()
		for end := time.Now().Add(60 * time.Second); come() < n; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d numbers have come, want %d", come(), n)
			}
		}
	}
	waitFor(50)
	// restart ends a host as an operator would, and starts another build in its place.
	restart := func(i int, program string) {
		t.Helper()
		h := m.hosts[i]
		_ = h.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-h.ended:
			if err != nil {
				t.Errorf("host %d ended with %v: %s", i, err, h.log.String())
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("host %d does not end", i)
		}
		m.startAt(i, program, h.addr)
		waitFor(come() + 25)
	}
	lost := func() int { _, n := sequence(out.String()); return n }
	// Today's price: each of them once, with the build that it has.
	for i := 1; i < sub; i++ {
		restart(i, now)
	}
	price := lost()
	for i := 1; i < sub; i++ {
		restart(i, next)
	}
	paid := lost() - price
	numbers, _ := sequence(out.String())
	t.Logf("of %d numbers %d were lost while 14 of 16 hosts were restarted, and %d while they were upgraded", len(numbers)+price+paid, price, paid)
	// A relay's restart may happen to cost up to the time in which a path is mended.
	const mended = 100 // numbers: 2 s
	if paid > price+mended {
		t.Errorf("the upgrade lost %d numbers, restarts without it %d", paid, price)
	}
	for i := 1; i < sub; i++ {
		if s := m.status(i); s.State != "member" {
			t.Errorf("host %d is %s", i, s.State)
		}
	}
	stop()
}
