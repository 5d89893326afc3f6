// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"sandstream/internal/live/delivery"
	"sandstream/internal/live/footprint"
	"sandstream/internal/live/transport"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testToken = "0123456789abcdef0123456789abcdef"

// start starts a daemon; join is the daemon to join through, nil for the first.
func start(t *testing.T, join *Daemon, change func(*Config)) *Daemon {
	t.Helper()
	dir := t.TempDir()
	cfg := Config{
		Listen: "127.0.0.1:0", Token: testToken, StateDir: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "s"),
		Version: "test", Log: slog.New(slog.NewTextHandler(logWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if join == nil {
		cfg.Create = true
	} else {
		cfg.Join = []string{join.Self().Addr.String()}
	}
	if change != nil {
		change(&cfg)
	}
	d, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// logWriter shows a daemon's warnings, unless the test is over.
type logWriter struct{ t *testing.T }

func (w logWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Logf("%s", p)
	}
	return len(p), nil
}

func overlayOf(t *testing.T, n int) []*Daemon {
	t.Helper()
	ds := []*Daemon{start(t, nil, nil)}
	for len(ds) < n {
		ds = append(ds, start(t, ds[0], nil))
	}
	for i, d := range ds {
		select {
		case <-d.Joined():
		case <-time.After(time.Minute):
			t.Fatalf("host %d did not join", i)
		}
	}
	return ds
}

func client(t *testing.T, d *Daemon) *overlayapi.Client {
	c := overlayapi.Dial(d.cfg.Socket)
	t.Cleanup(c.Close)
	return c
}

// admitted waits until the only subscription at d is admitted, as it is again soon after a
// machine that stood still has broken its path, and gives it.
func admitted(t *testing.T, d *Daemon) *overlayv1.Subscription {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		r, err := client(t, d).Subscriptions(t.Context(), connect.NewRequest(&overlayv1.SubscriptionsRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		u := r.Msg.Subscriptions
		if len(u) == 1 && u[0].State == "admitted" {
			return u[0]
		}
		if time.Now().After(end) {
			t.Fatalf("not one that is admitted: %v", u)
		}
	}
}

// source publishes numbered payloads, one each 2 ms, until stopped.
type source struct {
	id   string
	stop func() *overlayv1.PublishResponse
}

func publishNumbers(t *testing.T, d *Daemon, a *overlayv1.Announce) source {
	t.Helper()
	s := client(t, d).Publish(t.Context())
	if err := s.Send(&overlayv1.PublishRequest{Kind: &overlayv1.PublishRequest_Announce{Announce: a}}); err != nil {
		t.Fatal(err)
	}
	first, err := s.Receive()
	if err != nil {
		t.Fatal(err)
	}
	quit := make(chan struct{})
	last := make(chan *overlayv1.PublishResponse, 1)
	go func() {
		defer close(last)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for n := uint64(1); ; n++ {
			select {
			case <-tick.C:
				p := &overlayv1.Payloads{Payloads: []*overlayv1.Payload{{Data: binary.BigEndian.AppendUint64(nil, n)}}}
				if s.Send(&overlayv1.PublishRequest{Kind: &overlayv1.PublishRequest_Payloads{Payloads: p}}) != nil {
					return
				}
			case <-quit:
				_ = s.CloseRequest()
				if r, err := s.Receive(); err == nil {
					last <- r
				}
				return
			}
		}
	}()
	var once sync.Once
	return source{first.Stream, func() *overlayv1.PublishResponse {
		once.Do(func() { close(quit) })
		return <-last
	}}
}

// reader subscribes and checks that numbers only rise.
type reader struct {
	mu     sync.Mutex
	last   uint64
	count  int
	wrong  []string
	states []string
	done   chan error
	gaps   uint64
}

func readNumbers(t *testing.T, d *Daemon, r *overlayv1.SubscribeRequest) *reader {
	t.Helper()
	return readNumbersUntil(t.Context(), t, d, r)
}

func readNumbersUntil(ctx context.Context, t *testing.T, d *Daemon, r *overlayv1.SubscribeRequest) *reader {
	t.Helper()
	s, err := client(t, d).Subscribe(ctx, connect.NewRequest(r))
	if err != nil {
		t.Fatal(err)
	}
	x := &reader{done: make(chan error, 1)}
	go func() {
		defer s.Close()
		for s.Receive() {
			x.mu.Lock()
			for _, p := range s.Msg().GetPayloads().GetPayloads() {
				n := binary.BigEndian.Uint64(p.Data)
				if n <= x.last {
					x.wrong = append(x.wrong, fmt.Sprintf("%d after %d", n, x.last))
				}
				if x.last != 0 {
					x.gaps += n - x.last - 1
				}
				x.last = n
				x.count++
			}
			if c := s.Msg().GetChanged(); c != nil {
				x.states = append(x.states, c.State)
			}
			x.mu.Unlock()
		}
		x.done <- s.Err()
	}()
	return x
}

func (x *reader) wait(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		x.mu.Lock()
		good := ok()
		n, states := x.count, slices.Clone(x.states)
		x.mu.Unlock()
		if good {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v; %d payloads, states %v", what, within, n, states)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Five hosts in one process: join, publish, subscribe with a contract; a host on
// the path dies, and the stream resumes, in order and without duplicates.
func TestFiveHosts(t *testing.T) {
	ds := overlayOf(t, 5)
	src := publishNumbers(t, ds[0], &overlayv1.Announce{Name: "numbers", Public: true, RateBps: 100_000})
	var readers []*reader
	for _, d := range ds[1:] {
		readers = append(readers, readNumbers(t, d, &overlayv1.SubscribeRequest{
			Stream: "numbers", Contract: &overlayv1.Contract{LatencyUs: 2_000_000},
		}))
	}
	for _, x := range readers {
		x.wait(t, "payloads", 15*time.Second, func() bool { return x.count > 50 })
	}

	// The table of contracts agrees with what was delivered.
	sub := admitted(t, ds[2])
	if sub.Stream != src.id || len(sub.Path) < 2 || sub.Path[0].Host.Id != ds[0].Self().ID.Hex() ||
		sub.Path[len(sub.Path)-1].Host.Id != ds[2].Self().ID.Hex() || sub.Delivery.Packets < 50 || sub.Delivery.Overrun != 0 {
		t.Errorf("subscription: %v", sub)
	}

	// The host that carries the most for others dies; if none does, any other.
	victim := 4
	for i, d := range ds[1:] {
		s, err := client(t, d).Streams(t.Context(), connect.NewRequest(&overlayv1.StreamsRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Msg.Streams) == 1 && len(s.Msg.Streams[0].Children) > 0 {
			victim = i + 1
		}
	}
	ds[victim].Close()
	killed := time.Now()
	for i, x := range readers {
		if i+1 == victim {
			continue
		}
		x.mu.Lock()
		before := x.count
		x.mu.Unlock()
		x.wait(t, "payloads after the death", 15*time.Second, func() bool { return x.count > before+50 })
	}
	t.Logf("all streams are back %v after the death of host %d", time.Since(killed), victim)

	sent := src.stop()
	for i, x := range readers {
		if i+1 == victim {
			continue
		}
		select {
		case err := <-x.done:
			if err != nil {
				t.Errorf("reader %d: %v", i, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("reader %d is not told of the end; states %v", i, x.states)
			continue
		}
		if len(x.wrong) > 0 {
			t.Errorf("reader %d: out of order: %v", i, x.wrong)
		}
		if s := x.states; s[len(s)-1] != "withdrawn" {
			t.Errorf("reader %d: states %v", i, s)
		}
		t.Logf("reader %d: %d of %d payloads, %d missing", i, x.count, sent.GetPackets(), x.gaps)
	}
}

func TestRefusals(t *testing.T) {
	ds := overlayOf(t, 2)
	c := client(t, ds[1])
	subscribe := func(r *overlayv1.SubscribeRequest) (state, reason string, err error) {
		s, err := c.Subscribe(t.Context(), connect.NewRequest(r))
		if err != nil {
			return "", "", err
		}
		defer s.Close()
		for s.Receive() {
			if m := s.Msg().GetChanged(); m != nil {
				state, reason = m.State, m.Reason
			}
		}
		return state, reason, s.Err()
	}
	src := publishNumbers(t, ds[0], &overlayv1.Announce{Name: "n", Public: true, RateBps: 1000})
	defer src.stop()
	if st, why, err := subscribe(&overlayv1.SubscribeRequest{Stream: "n", Contract: &overlayv1.Contract{MinRateBps: 1e9}}); st != "refused" || why == "" || err != nil {
		t.Errorf("too high a rate: %s, %q, %v", st, why, err)
	}
	if st, why, err := subscribe(&overlayv1.SubscribeRequest{Stream: "nothing"}); st != "refused" || why == "" || err != nil {
		t.Errorf("unknown name: %s, %q, %v", st, why, err)
	}
	for what, r := range map[string]*overlayv1.SubscribeRequest{
		"no stream":   {},
		"zeroes":      {Stream: strings.Repeat("0", 32)},
		"a long name": {Stream: strings.Repeat("x", 65)},
		"unknown SPA": {Stream: "n", Contract: &overlayv1.Contract{Degrade: []string{"magic"}}},
	} {
		if _, _, err := subscribe(r); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, a := range map[string]*overlayv1.Announce{
		"no name":      {Public: true},
		"a long name":  {Name: strings.Repeat("x", 65)},
		"a stream id":  {Name: strings.Repeat("a", 32)},
		"a wrong SPA":  {Name: "x", Pipeline: []*overlayv1.Stage{{Spa: "magic"}}},
		"split as SPA": {Name: "x", Pipeline: []*overlayv1.Stage{{Spa: "split"}}},
		"one weight":   {Name: "x", Split: []uint32{1}},
		"no weight":    {Name: "x", Split: []uint32{1, 0}},
		"a wrong word": {Name: "x", Pipeline: []*overlayv1.Stage{{Spa: "filter", Place: "moon"}}},
		"a wrong knob": {Name: "x", Pipeline: []*overlayv1.Stage{{Spa: "filter", Params: map[string]uint64{"magic": 1}}}},
		"a wide knob":  {Name: "x", Pipeline: []*overlayv1.Stage{{Spa: "filter", Params: map[string]uint64{"keyframes": 99999999999}}}},
	} {
		s := c.Publish(t.Context())
		_ = s.Send(&overlayv1.PublishRequest{Kind: &overlayv1.PublishRequest_Announce{Announce: a}})
		if _, err := s.Receive(); connect.CodeOf(err) != connect.CodeInvalidArgument || strings.Contains(err.Error(), "-34") {
			t.Errorf("%s: %v", what, err)
		}
		_ = s.CloseRequest()
		_ = s.CloseResponse()
	}
	if _, err := c.Trace(t.Context(), connect.NewRequest(&overlayv1.TraceRequest{Stream: "nothing"})); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("trace: %v", err)
	}
	if _, err := c.Withdraw(t.Context(), connect.NewRequest(&overlayv1.WithdrawRequest{Stream: src.id})); err == nil {
		t.Error("another host's stream is withdrawn")
	}
	if _, err := client(t, ds[0]).Withdraw(t.Context(), connect.NewRequest(&overlayv1.WithdrawRequest{Stream: "n"})); err != nil {
		t.Error(err)
	}
}

// A host that is not a member yet lets its users wait for it, publishers and
// subscribers alike; in vain, it says where to look.
func TestUsersWaitForMembership(t *testing.T) {
	const joinWithin = 200 * time.Millisecond
	alone := start(t, nil, func(c *Config) { c.Create, c.Join, c.joinWithin = false, []string{"127.0.0.1:1"}, joinWithin })
	const want = "not a member of the overlay (its log says why; 'overlayd status')"
	begin := time.Now()
	r := readNumbers(t, alone, &overlayv1.SubscribeRequest{Stream: "x"})
	if err := <-r.done; err == nil || !strings.Contains(err.Error(), want) || time.Since(begin) < joinWithin {
		t.Errorf("subscribe: %v after %v", err, time.Since(begin))
	}
	s := client(t, alone).Publish(t.Context())
	_ = s.Send(&overlayv1.PublishRequest{Kind: &overlayv1.PublishRequest_Announce{Announce: &overlayv1.Announce{Name: "x"}}})
	if _, err := s.Receive(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("publish: %v", err)
	}
	_ = s.CloseRequest()
	_ = s.CloseResponse()
}

func TestWrongToken(t *testing.T) {
	first := start(t, nil, nil)
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := Run(ctx, Config{
		Join: []string{first.Self().Addr.String()}, Listen: "127.0.0.1:0", Token: strings.Repeat("x", 32), StateDir: dir,
		Socket: filepath.Join(dir, "s"),
	})
	if !errors.Is(err, transport.ErrToken) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "s")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}

func TestSocketInUse(t *testing.T) {
	first := start(t, nil, nil)
	cfg := first.cfg
	cfg.Listen, cfg.StateDir = "127.0.0.1:0", t.TempDir()
	if d, err := New(t.Context(), cfg); err == nil {
		d.Close()
		t.Fatal("two daemons serve one socket")
	}
	// The first still does.
	if _, err := client(t, first).Status(t.Context(), connect.NewRequest(&overlayv1.StatusRequest{})); err != nil {
		t.Error(err)
	}
	if i, err := os.Stat(cfg.Socket); err != nil || i.Mode().Perm() != 0o660 {
		t.Errorf("socket: %v, %v", i.Mode(), err)
	}
}

// A host that leaves hands its ids over: the other owns all at once.
func TestLeave(t *testing.T) {
	ds := overlayOf(t, 2)
	if _, err := client(t, ds[1]).Leave(t.Context(), connect.NewRequest(&overlayv1.LeaveRequest{})); err != nil {
		t.Fatal(err)
	}
	s, err := client(t, ds[0]).Status(t.Context(), connect.NewRequest(&overlayv1.StatusRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	var own float64
	for _, z := range s.Msg.Zones {
		part := 1.0
		if z.Digits != "*" {
			for range z.Digits {
				part /= 3
			}
		}
		own += part
	}
	if own < 0.999 {
		t.Errorf("the one left owns %.3f of the ids: %v", own, s.Msg.Zones)
	}
}

// Who waits for a stream when the host leaves is told that it does.
func TestLeaveUnderSubscriber(t *testing.T) {
	d := start(t, nil, nil)
	<-d.Joined()
	r := readNumbers(t, d, &overlayv1.SubscribeRequest{Stream: "later"})
	r.wait(t, "a word of the contract", 20*time.Second, func() bool { return len(r.states) > 0 })
	go func() { _ = d.Leave(context.WithoutCancel(t.Context())) }()
	if err := <-r.done; connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), delivery.ErrStopping.Error()) {
		t.Errorf("%v", err)
	}
}

// get asks for a page, under the name host if that is not "".
func get(t *testing.T, url, host string) (int, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Host = host
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func TestHTTP(t *testing.T) {
	d := start(t, nil, func(c *Config) { c.Metrics, c.Web = "127.0.0.1:0", "127.0.0.1:0" })
	<-d.Joined()
	defer http.DefaultClient.CloseIdleConnections()
	code, body := get(t, "http://"+d.control.MetricsAddr()+"/metrics", "")
	for _, want := range []string{"overlayd_member 1", `overlayd_contracts{state="admitted"} 0`, "overlayd_spas_running 0", `overlayd_data_total{counter="malformed"} 0`, "go_goroutines"} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("metrics (%d) lack %q", code, want)
		}
	}
	code, body = get(t, "http://"+d.control.WebAddr()+"/snapshot", "")
	if code != 200 || !strings.Contains(body, `"status":{"self"`) || !strings.Contains(body, `"contracts":{"subscriptions":[]}`) {
		t.Errorf("snapshot: %d %s", code, body)
	}
}

// An idle host is small: state, heap and stacks together, and goroutines.
func TestIdleHosts(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("starts 26 hosts, and says nothing about a program with the race detector in it")
	}
	const n = 24
	footprint.Warm()
	overlayOf(t, 2)
	time.Sleep(4 * time.Second) // QUIC connections close
	before := footprint.Read()
	overlayOf(t, n)
	small := func(s footprint.State) bool { return s.Heap+s.Stacks <= 100_000 && s.Goroutines < 10 }
	each := footprint.Rest(before, n, 6*time.Second, small) // QUIC connections close
	t.Logf("an idle host: %.0f bytes of heap, %.0f of stacks, %.1f goroutines", each.Heap, each.Stacks, each.Goroutines)
	if !small(each) {
		t.Errorf("an idle host takes %.0f bytes and %.1f goroutines; the bounds are 100,000 and 10", each.Heap+each.Stacks, each.Goroutines)
	}
}
