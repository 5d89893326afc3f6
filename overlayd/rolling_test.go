// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"
)

// Sixteen daemons are upgraded one by one to a build with a raised minor number, while
// a stream runs from one to another, which stay. What is lost is no more than the
// restarts of relays cost without any upgrade.
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
	defer m.publish(ctx, 0, "rolling")()
	// Today's price: the relays, with the build that they have.
	r := m.behindRelays(ctx, "rolling")
	r.waitFor(50)
	old := 0
	for old < 3 {
		relays := r.relays()
		if len(relays) == 0 {
			break
		}
		r.restart(relays[0], now)
		old++
	}
	price := r.lost()
	r.stop()

	// Those paths may be direct now: another listener, whose relays are upgraded first,
	// and then who has become one.
	r = m.behindRelays(ctx, "rolling")
	defer r.stop()
	r.waitFor(50)
	before, passed := r.lost(), 0
	var left []int
	for i := 1; i < hosts; i++ {
		if i != r.host {
			left = append(left, i)
		}
	}
	for len(left) > 0 {
		i := left[0]
		for _, h := range r.relays() {
			if slices.Contains(left, h) {
				i = h
				passed++
				break
			}
		}
		left = slices.DeleteFunc(left, func(h int) bool { return h == i })
		r.restart(i, next)
	}
	paid := r.lost() - before
	t.Logf("%d numbers came; %d were lost while %d relays were restarted, and %d while 14 of 16 hosts were upgraded, of which %d were relays then",
		r.come(), price, old, paid, passed)
	if passed == 0 {
		t.Error("no host was upgraded while it was a relay: this shows nothing")
	}
	// Whether a restart costs anything is a matter of chance: of what is on the way, and
	// of the time in which a path is mended.
	const mended = 100 // numbers: 2 s
	if paid > passed*max(price/max(old, 1), mended) {
		t.Errorf("the upgrade of %d relays lost %d numbers, %d restarts without it %d", passed, paid, old, price)
	}
	for i := 1; i < hosts; i++ {
		if s := m.status(i); s.State != "member" {
			t.Errorf("host %d is %s", i, s.State)
		}
	}
}

// listener is a subscriber of a mixed overlay.
type listener struct {
	*mixed
	host int
	cmd  *exec.Cmd
	out  *lockedBuffer
	name string
}

// behindRelays subscribes at a host to which the stream comes over another one.
func (m *mixed) behindRelays(ctx context.Context, name string) *listener {
	m.t.Helper()
	for i := len(m.hosts) - 1; i > 0; i-- {
		r := &listener{mixed: m, host: i, name: name, out: new(lockedBuffer)}
		r.cmd = exec.CommandContext(ctx, m.hosts[i].program, "subscribe", name, "--socket", m.socket(i))
		r.cmd.Stdout = r.out
		if err := r.cmd.Start(); err != nil {
			m.t.Fatal(err)
		}
		r.waitFor(5)
		if len(r.relays()) > 0 {
			return r
		}
		r.stop()
	}
	m.t.Fatal("no host is behind a relay")
	return nil
}

func (r *listener) stop() {
	_ = r.cmd.Process.Signal(syscall.SIGINT)
	_ = r.cmd.Wait()
}

func (r *listener) come() int { n, _ := sequence(r.out.String()); return len(n) }
func (r *listener) lost() int { _, n := sequence(r.out.String()); return n }

func (r *listener) waitFor(n int) {
	r.t.Helper()
	for end := time.Now().Add(60 * time.Second); r.come() < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%d numbers have come, want %d", r.come(), n)
		}
	}
}

// relays are the hosts that the stream comes over.
func (r *listener) relays() []int {
	out, err := exec.Command(r.hosts[r.host].program, "trace", r.name, "--json", "--socket", r.socket(r.host)).Output()
	var trace struct {
		Path []struct{ Host struct{ Addr string } }
	}
	if err != nil || json.Unmarshal(out, &trace) != nil {
		return nil
	}
	var found []int
	for _, h := range trace.Path {
		for i := 1; i < len(r.hosts); i++ {
			if i != r.host && r.hosts[i].addr == h.Host.Addr {
				found = append(found, i)
			}
		}
	}
	return found
}

// restart ends a host as an operator would, and starts a build in its place.
func (r *listener) restart(i int, program string) {
	r.t.Helper()
	h := r.hosts[i]
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-h.ended:
		if err != nil {
			r.t.Errorf("host %d ended with %v: %s", i, err, h.log.String())
		}
	case <-time.After(30 * time.Second):
		r.t.Fatalf("host %d does not end", i)
	}
	r.startAt(i, program, h.addr)
	r.waitFor(r.come() + 25)
}
