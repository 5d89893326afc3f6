// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"sandstream/internal/fail"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay/wire"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

// runEnds runs a host that cannot join, and gives why it ended.
func runEnds(t *testing.T, change func(*Config), join ...string) error {
	t.Helper()
	dir := t.TempDir()
	cfg := Config{Join: join, Listen: "127.0.0.1:0", Token: testToken, StateDir: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "s")}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := Run(ctx, cfg)
	if ctx.Err() != nil {
		t.Fatalf("the host still tries to join after 30 s: %v", err)
	}
	return err
}

func TestAnotherRadixEndsTheHost(t *testing.T) {
	for _, radix := range []int{2, 3} {
		first := start(t, nil, func(c *Config) { c.Radix = radix })
		<-first.Joined()
		err := runEnds(t, func(c *Config) { c.Radix = 5 - radix }, first.Self().Addr.String())
		want := map[int]string{
			2: "this overlay has radix 2, this host was started with --radix 3",
			3: "this overlay has radix 3, this host was started with --radix 2",
		}[radix]
		if !errors.Is(err, fail.ErrUsage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestAnotherFamilyEndsTheHost(t *testing.T) {
	err := runEnds(t, nil, "[2001:db8::1]:4455")
	want := "member [2001:db8::1]:4455 has only an IPv6 address, and this host listens on 127.0.0.1:"
	if !errors.Is(err, fail.ErrUsage) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("%v, want a usage error with %q and --listen", err, want)
	}
	// Another member of the right kind will do.
	first := start(t, nil, nil)
	second := start(t, first, func(c *Config) { c.Join = append([]string{"[2001:db8::1]:4455"}, c.Join...) })
	select {
	case <-second.Joined():
	case <-time.After(30 * time.Second):
		t.Error("a host with one member of its own family did not join")
	}
}

func TestPickTheFamily(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	mapped := netip.MustParseAddr("::ffff:192.0.2.1")
	for _, c := range []struct {
		listen string
		ips    []netip.Addr
		want   []netip.Addr
	}{
		{"127.0.0.1:1", []netip.Addr{v6, v4}, []netip.Addr{v4}},
		{"0.0.0.0:1", []netip.Addr{v6, v4}, []netip.Addr{v4}},
		{"0.0.0.0:1", []netip.Addr{mapped}, []netip.Addr{v4}},
		{"0.0.0.0:1", []netip.Addr{v6}, nil},
		{"[2001:db8::2]:1", []netip.Addr{v4, v6}, []netip.Addr{v6}},
		{"[2001:db8::2]:1", []netip.Addr{v4}, nil},
		{"[::]:1", []netip.Addr{v4, v6}, []netip.Addr{v4, v6}},
		{"[::]:1", []netip.Addr{v6, v4}, []netip.Addr{v6, v4}},
	} {
		got, err := pick("m:1", netip.MustParseAddrPort(c.listen), c.ips...)
		if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("from %s to %v: %v (%v), want %v", c.listen, c.ips, got, err, c.want)
		}
	}
}

// copied gives a host another one's key.
func copied(t *testing.T, of *Daemon) func(*Config) {
	return func(c *Config) {
		if err := os.CopyFS(c.StateDir, os.DirFS(of.cfg.StateDir)); err != nil {
			t.Fatal(err)
		}
		keys, err := filepath.Glob(filepath.Join(c.StateDir, "*.key"))
		if err != nil || len(keys) != 1 {
			t.Fatal(keys, err)
		}
		if err := os.Chmod(keys[0], 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A host with a copy of a member's key ends, through whichever member it would join,
// and the one that was first is told, in its status too, and stays.
func TestTwinEndsTheHost(t *testing.T) {
	first := start(t, nil, nil)
	second := start(t, first, nil)
	<-second.Joined()
	silent := "127.0.0.1:1"
	for what, join := range map[string][]string{
		"through its twin":                             {second.Self().Addr.String()},
		"through another member":                       {first.Self().Addr.String()},
		"through its twin or one that does not answer": {silent, second.Self().Addr.String()},
	} {
		begin := time.Now()
		err := runEnds(t, copied(t, second), join...)
		if !errors.Is(err, transport.ErrTwin) || !strings.Contains(err.Error(), "--state") || !strings.Contains(err.Error(), second.Self().Addr.String()) {
			t.Errorf("%s: %v", what, err)
		}
		if d := time.Since(begin); d > 10*time.Second {
			t.Errorf("%s: said after %v", what, d)
		}
	}
	if p := second.problems.list(); len(p) != 1 || !strings.Contains(p[0], "a copy of this host's key") {
		t.Errorf("the first host's problems: %q", p)
	}
	select {
	case err := <-second.membership.failed:
		t.Errorf("the host that was first is to end: %v", err)
	default:
	}
}

// A host that died and comes back at another address is let in again.
func TestRestartElsewhere(t *testing.T) {
	first := start(t, nil, nil)
	second := start(t, first, nil)
	<-second.Joined()
	second.Close()
	third := start(t, first, copied(t, second))
	if third.Self().ID != second.Self().ID || third.Self().Addr == second.Self().Addr {
		t.Fatalf("%v after %v", third.Self(), second.Self())
	}
	select {
	case <-third.Joined():
	case err := <-third.membership.failed:
		t.Errorf("refused: %v", err)
	case <-time.After(60 * time.Second):
		t.Errorf("not a member: %q", third.problems.list())
	}
}

// What keeps a host from becoming a member is said within ten seconds, in the log and
// in its status.
func TestWhyNotAMember(t *testing.T) {
	mute, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	at := mute.LocalAddr().String()
	_, port, _ := net.SplitHostPort(at)
	var log lockedBuffer
	d := start(t, nil, func(c *Config) {
		c.Create, c.Join, c.Log = false, []string{at}, slog.New(slog.NewTextHandler(&log, nil))
	})
	client := overlayapi.Dial(d.cfg.Socket)
	defer client.Close()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		r, err := client.Status(t.Context(), connect.NewRequest(&overlayv1.StatusRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		if p := r.Msg.Problems; len(p) == 1 && strings.Contains(p[0], "host "+at+": no answer") && strings.Contains(p[0], "UDP port "+port) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after 10 s status says %q, state %s", r.Msg.Problems, r.Msg.State)
		}
	}
	if !strings.Contains(log.String(), "no answer") {
		t.Errorf("the log says %s", log.String())
	}
}

// A member that lets the host in but answers no request leads to no ids. That is said
// too.
func TestWhyNoIDs(t *testing.T) {
	id, err := transport.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	mute, err := transport.New(transport.Config{Identity: id, Listen: netip.MustParseAddrPort("127.0.0.1:0"), Token: transport.Token(testToken)})
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	if err := mute.Start(deaf{}); err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	d := start(t, nil, func(c *Config) {
		c.Create, c.Join, c.Log = false, []string{mute.Self().Addr.String()}, slog.New(slog.NewTextHandler(&log, nil))
	})
	const want = "has answered the request for ids"
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		p := d.problems.list()
		if len(p) > 0 && strings.Contains(p[0], want) && strings.Contains(p[0], d.Self().Addr.String()) && strings.Contains(log.String(), "still joining") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after 10 s: problems %q, log %s", p, log.String())
		}
	}
}

type deaf struct{}

func (deaf) Control(wire.Peer, []byte)    {}
func (deaf) Unreachable(wire.Peer, error) {}
func (deaf) Twin(string, bool)            {}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// The name by which others reach a host may change its address: they learn it.
func TestAdvertisedNameMoves(t *testing.T) {
	var now atomic.Pointer[netip.Addr]
	set := func(s string) {
		a := netip.MustParseAddr(s)
		now.Store(&a)
	}
	set("127.0.0.1")
	first := start(t, nil, func(c *Config) {
		c.Listen, c.Advertise, c.resolveEvery = ":0", "host.example:0", 50*time.Millisecond
		c.lookupHost = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{*now.Load()}, nil }
	})
	second := start(t, first, nil)
	<-second.Joined()
	set("127.0.0.2")
	port := first.tr.Self().Addr.Port()
	want := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), port)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var owner netip.AddrPort
		err := second.do(t.Context(), func() {
			for _, p := range second.node.Status(second.now()).Peers {
				for _, z := range p.Zones {
					owner = z.Owner.Addr
				}
			}
		})
		if err == nil && owner == want && first.Self().Addr == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the other host has %s (%v), this one says %s; want %s", owner, err, first.Self().Addr, want)
		}
	}
}

// All hosts may be given one list of members, themselves among them.
func TestOwnAddressAmongTheMembers(t *testing.T) {
	var addrs []string
	for range 2 {
		c, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, c.LocalAddr().String())
		c.Close()
	}
	at := func(i int) func(*Config) { return func(c *Config) { c.Listen = addrs[i] } }
	if err := runEnds(t, at(0), addrs[0]); !errors.Is(err, fail.ErrUsage) || !strings.Contains(err.Error(), "this host itself") {
		t.Errorf("through itself: %v", err)
	}
	early := start(t, nil, func(c *Config) { c.Create, c.Join, c.Listen = false, addrs, addrs[0] })
	time.Sleep(time.Second)
	select {
	case err := <-early.membership.failed:
		t.Fatalf("while the other has not started: %v", err)
	default:
	}
	start(t, nil, at(1))
	select {
	case <-early.Joined():
	case <-time.After(30 * time.Second):
		t.Error("did not join through the other member")
	}
}

// A host that names no address to listen on is reached over both address families, on
// one port.
func TestBothFamiliesOnOnePort(t *testing.T) {
	six, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6")
	}
	six.Close()
	first := start(t, nil, func(c *Config) { c.Listen, c.Advertise = ":0", "127.0.0.1:0" })
	port := first.tr.Self().Addr.Port()
	for _, at := range []string{"127.0.0.1", "::1"} {
		d := start(t, nil, func(c *Config) {
			c.Create, c.Join, c.Listen = false, []string{net.JoinHostPort(at, fmt.Sprint(port))}, ":0"
		})
		select {
		case <-d.Joined():
		case <-time.After(30 * time.Second):
			t.Fatalf("not a member through %s: %q", at, d.problems.list())
		}
		if got := d.Self().Addr.Addr().String(); got != at {
			t.Errorf("a host that joined through %s says that it is at %s", at, got)
		}
	}
}
