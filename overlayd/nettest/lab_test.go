// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"sandstream/internal/live/netem"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

func TestMain(m *testing.M) {
	code, ran, err := netem.InUserNamespace()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests that need a namespace will be skipped:", err)
	}
	if !ran {
		code = m.Run()
	}
	os.Exit(code)
}

// lab is a cluster under observation.
type lab struct {
	*Cluster
	t       *testing.T
	ctx     context.Context
	flows   *Flows
	owners  *Ownership
	figures *Figures
	killed  map[int]bool
	index   map[string]int // host id → host
	decoded int            // videos without a complaint
}

// newLab builds overlayd and opens the network. Everything ends with the test, at the
// latest after the limit.
func newLab(t *testing.T, hosts int, seed uint64, limit time.Duration) *lab {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	dir := t.TempDir()
	bin := filepath.Join(dir, "overlayd")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "sandstream/overlayd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building overlayd: %v\n%s", err, out)
	}
	flows := NewFlows()
	o := netem.Options{Hosts: hosts, Seed: seed, Watch: flows.Watch}
	if file := os.Getenv("NETTEST_PCAP"); file != "" {
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		o.Capture = f
	}
	n, err := netem.Open(o)
	if errors.Is(err, netem.ErrNotSupported) || errors.Is(err, netem.ErrPermission) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := NewCluster(n, bin, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	stood := watchClock(t, n.Start())
	t.Cleanup(func() { // also where the test ends early
		late, self := flows.Stalls(), stood()
		t.Logf("stalls of this machine: packets were late at %v, this program stood still at %v", late, self)
		if len(late) >= oftenLate || len(self) > 0 {
			// 'make test-overlay' looks for this: if the try fails, it does not count.
			t.Logf("STALLED: by these stalls bounds may be missed")
		}
	})
	l := &lab{
		Cluster: c, t: t, ctx: ctx, flows: flows, owners: NewOwnership(), figures: &Figures{},
		killed: map[int]bool{}, index: map[string]int{},
	}
	t.Cleanup(func() {
		var b bytes.Buffer
		if err := l.figures.Render(&b); err != nil {
			t.Error(err)
		}
		t.Logf("figures:\n%s", b.String())
		if to := os.Getenv("NETTEST_LOGS"); to != "" { // to look at afterwards
			for _, h := range l.Hosts {
				b, err := os.ReadFile(h.Log)
				if err == nil {
					err = os.WriteFile(filepath.Join(to, filepath.Base(h.Log)), b, 0o600)
				}
				if err != nil {
					t.Log(err)
				}
			}
		}
	})
	return l
}

// stoodStill is how long this program, which goes behind daemons and emulator, may be kept
// from running before that spoils a try.
const stoodStill = 250 * time.Millisecond

// oftenLate is how many tenths of a second with late packets spoil a try.
const oftenLate = 5

// watchClock notes when, since start, this program stood still, until the test ends.
func watchClock(t *testing.T, start time.Time) func() []time.Duration {
	var mu sync.Mutex
	var at []time.Duration
	done := make(chan struct{})
	go func() {
		const every = 50 * time.Millisecond
		for last := time.Now(); ; last = time.Now() {
			select {
			case <-done:
				return
			case <-time.After(every):
			}
			if time.Since(last) > every+stoodStill {
				mu.Lock()
				at = append(at, last.Sub(start).Round(every))
				mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() { close(done) })
	return func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(at)
	}
}

// check notes a figure and fails the test if it is out of bounds.
func (l *lab) check(t *testing.T, what, value, bound string, ok bool) {
	t.Helper()
	l.figures.Add(what, value, bound, ok)
	if !ok {
		t.Errorf("%s: %s, must be %s", what, value, bound)
	}
}

// never is check for what must be none whatever the machine does: 'make test-overlay'
// looks for its message and does not try again.
func (l *lab) never(t *testing.T, what, value string, ok bool) {
	t.Helper()
	l.check(t, what, value, "none", ok)
	if !ok {
		t.Errorf("FAULT: %s: %s: no clock has a part in this", what, value)
	}
}

// now is the time that flows count by.
func (l *lab) now() time.Duration { return time.Since(l.Net.Start()) }

// await waits until ask has nothing to complain of. It fails at the deadline, or when a
// daemon ends.
func (l *lab) await(t *testing.T, what string, within time.Duration, ask func() error) time.Duration {
	t.Helper()
	took, err := eventually(l.ctx, within, 100*time.Millisecond, func() error {
		if err := l.Dead(l.killed); err != nil {
			t.Fatal(err)
		}
		return ask()
	})
	if err != nil {
		t.Fatalf("%s: not within %v: %v", what, within, err)
	}
	return took
}

// watchOwners looks at who owns what until the test ends.
func (l *lab) watchOwners() {
	ctx, cancel := context.WithCancel(l.ctx)
	done := make(chan struct{})
	clients := map[int]*overlayapi.Client{}
	for _, h := range l.Hosts {
		clients[h.Index] = h.Client
	}
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for i, s := range poll(ctx, clients) {
				l.owners.Add(i, s)
			}
			select {
			case <-ctx.Done():
			case <-time.After(250 * time.Millisecond):
			}
		}
	}()
	l.t.Cleanup(func() { cancel(); <-done })
}

// subscription is the newest subscription to the stream of that name on host i.
func (l *lab) subscription(i int, stream string) (*overlayv1.Subscription, error) {
	ctx, cancel := context.WithTimeout(l.ctx, 2*time.Second)
	defer cancel()
	r, err := l.Hosts[i].Client.Subscriptions(ctx, connect.NewRequest(&overlayv1.SubscriptionsRequest{}))
	if err != nil {
		return nil, err
	}
	var newest *overlayv1.Subscription
	for _, s := range r.Msg.GetSubscriptions() {
		if s.GetName() == stream && (newest == nil || s.GetId() > newest.GetId()) {
			newest = s
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("host %d has no subscription to %q", i, stream)
	}
	return newest, nil
}

// hops turns a path into hosts.
func (l *lab) hops(path []*overlayv1.Hop) ([]int, error) {
	var hosts []int
	for _, h := range path {
		i, ok := l.index[h.GetHost().GetId()]
		if !ok {
			return nil, fmt.Errorf("the path names the host %q, which is none of ours", h.GetHost().GetId())
		}
		hosts = append(hosts, i)
	}
	return hosts, nil
}

// output collects what a program says, for reading while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(o.b.String())
}
