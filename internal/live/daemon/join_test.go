// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sandstream/internal/fail"
	"sandstream/internal/live/transport"
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
		want   netip.Addr
	}{
		{"127.0.0.1:1", []netip.Addr{v6, v4}, v4},
		{"0.0.0.0:1", []netip.Addr{v6, v4}, v4},
		{"0.0.0.0:1", []netip.Addr{mapped}, v4},
		{"0.0.0.0:1", []netip.Addr{v6}, netip.Addr{}},
		{"[2001:db8::2]:1", []netip.Addr{v4, v6}, v6},
		{"[2001:db8::2]:1", []netip.Addr{v4}, netip.Addr{}},
		{"[::]:1", []netip.Addr{v4, v6}, v4},
		{"[::]:1", []netip.Addr{v6, v4}, v6},
	} {
		got, err := pick("m:1", netip.MustParseAddrPort(c.listen), c.ips...)
		if got != c.want || (err == nil) != c.want.IsValid() {
			t.Errorf("from %s to %v: %v (%v), want %v", c.listen, c.ips, got, err, c.want)
		}
	}
}

// A host with a copy of a member's key finds itself there, and must not wait for
// ever; but it may be named among the members that all hosts are given.
func TestTwinEndsTheHost(t *testing.T) {
	first := start(t, nil, nil)
	<-first.Joined()
	copied := func(c *Config) {
		if err := os.CopyFS(c.StateDir, os.DirFS(first.cfg.StateDir)); err != nil {
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
	err := runEnds(t, copied, first.Self().Addr.String())
	if !errors.Is(err, transport.ErrSelf) || !strings.Contains(err.Error(), "this very key") || !strings.Contains(err.Error(), "--state") {
		t.Errorf("through its twin: %v", err)
	}
	silent := "127.0.0.1:1"
	if err := runEnds(t, copied, silent, first.Self().Addr.String()); !errors.Is(err, transport.ErrSelf) {
		t.Errorf("through its twin or one that does not answer: %v", err)
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
