// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"sandstream/internal/overlay/wire"
)

func TestControlBothWays(t *testing.T) {
	a, b := newHost(t, nil), newHost(t, nil)
	// No session yet: the message waits for the handshake.
	if err := a.SendControl(b.Self(), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b hears a", func() bool { return len(b.got()) == 1 })
	if want := a.Self().ID.String() + ": hello"; b.got()[0] != want {
		t.Errorf("b got %q, want %q", b.got()[0], want)
	}
	if err := b.SendControl(a.Self(), []byte("hello yourself")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a hears b", func() bool { return len(a.got()) == 1 })
	if n := a.Stats().Handshakes + b.Stats().Handshakes; n != 2 {
		t.Errorf("%d sides of handshakes, want the two of one", n)
	}
}

func TestLongMessages(t *testing.T) {
	a, b := newHost(t, nil), newHost(t, nil)
	for _, size := range []int{maxSealed, maxSealed + 1, MaxMessage} {
		b.clear()
		msg := bytes.Repeat([]byte("x"), size)
		if err := a.SendControl(b.Self(), msg); err != nil {
			t.Fatal(err)
		}
		eventually(t, "b gets it whole", func() bool { return len(b.got()) == 1 })
		if got := b.got()[0]; !strings.HasSuffix(got, ": "+string(msg)) {
			t.Errorf("%d bytes came as %d", size, len(got))
		}
	}
	if err := a.SendControl(b.Self(), make([]byte, MaxMessage+1)); !errors.Is(err, ErrTooLong) {
		t.Errorf("a message that is too long: %v", err)
	}
	// The other side may use the connection that a has opened, or make one.
	if err := b.SendControl(a.Self(), make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a gets it", func() bool { return len(a.got()) == 1 })
}

func TestWrongToken(t *testing.T) {
	a := newHost(t, func(c *Config) { c.Token = Token("another token, also of 32 characters") })
	b := newHost(t, nil)
	_, err := a.Connect(context.Background(), b.Self().Addr)
	if !errors.Is(err, ErrToken) {
		t.Fatalf("wrong token: %v", err)
	}
	if !strings.Contains(err.Error(), "give this host the token") {
		t.Errorf("the error names no way out: %v", err)
	}
	if a.up(b.Self().ID) || b.up(a.Self().ID) || a.Stats().Sessions+b.Stats().Sessions != 0 {
		t.Error("there is a session in spite of the wrong token")
	}
	// In the background the same is told to the handler.
	if err := a.SendControl(b.Self(), []byte("let me in")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the handler is told", func() bool { return len(a.failures()) == 1 })
	if err := a.failures()[0]; !errors.Is(err, ErrToken) {
		t.Errorf("told %v", err)
	}
	if len(b.got()) != 0 {
		t.Errorf("b got %q", b.got())
	}
}

// Who listens without knowing the token can not make a member believe it.
func TestListenerWithoutToken(t *testing.T) {
	b := newHost(t, nil)
	impostor := newHost(t, func(c *Config) { c.Token = Token("this one was never told the real one") })
	if _, err := b.Connect(context.Background(), impostor.Self().Addr); !errors.Is(err, ErrToken) {
		t.Errorf("connected to a host without the token: %v", err)
	}
}

func TestProofIsBound(t *testing.T) {
	bind, x, y := bytes.Repeat([]byte{1}, 32), wire.HostID{1}, wire.HostID{2}
	whole := testToken.proof(dialler, bind, x, y)
	for name, other := range map[string][32]byte{
		"side":    testToken.proof(listener, bind, x, y),
		"session": testToken.proof(dialler, bytes.Repeat([]byte{2}, 32), x, y),
		"hosts":   testToken.proof(dialler, bind, y, x),
		"token":   Token("x").proof(dialler, bind, x, y),
	} {
		if whole == other {
			t.Errorf("the proof does not depend on the %s", name)
		}
	}
}

func TestOtherHostAtAddress(t *testing.T) {
	a, b := newHost(t, nil), newHost(t, nil)
	other := wire.Peer{ID: wire.HostID{1, 2, 3}, Addr: b.Self().Addr}
	if err := a.SendControl(other, []byte("for somebody else")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the handshake fails", func() bool { return len(a.failures()) == 1 })
	if err := a.failures()[0]; !errors.Is(err, ErrOtherID) {
		t.Errorf("told %v", err)
	}
	if len(b.got()) != 0 {
		t.Error("a message went to the wrong host")
	}
	if _, err := a.Connect(context.Background(), a.Self().Addr); !errors.Is(err, ErrSelf) {
		t.Errorf("connecting to oneself: %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	a := newHost(t, func(c *Config) { c.HandshakeTimeout = 1e8 })
	dead := wire.Peer{ID: wire.HostID{9}, Addr: netip.MustParseAddrPort("127.0.0.1:1")}
	if err := a.SendControl(dead, []byte("anybody?")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the handler is told", func() bool { return len(a.failures()) == 1 })
	if err := a.failures()[0]; !errors.Is(err, ErrNoAnswer) {
		t.Errorf("told %v", err)
	}
	p := a.peerFor(dead)
	p.mu.Lock()
	p.refuseTo = a.now() + longestBackoff // the machine may stand still for longer than the first pause
	p.mu.Unlock()
	if err := a.SendControl(dead, []byte("still?")); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("right after a failure: %v", err)
	}
}

func TestRekey(t *testing.T) {
	a := newHost(t, func(c *Config) { c.Rekey = 1 })
	b := newHost(t, nil)
	connect(t, a, b)
	if err := a.SendControl(b.Self(), []byte("1")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new session is made", func() bool { return a.Stats().Handshakes >= 2 })
	if err := a.SendControl(b.Self(), []byte("2")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both messages arrive", func() bool { return len(b.got()) == 2 })
	eventually(t, "old sessions go", func() bool { return a.Stats().Sessions <= keptSessions })
}

// A host that starts anew has lost its sessions; the others notice.
func TestRestart(t *testing.T) {
	a, b := newHost(t, nil), newHost(t, nil)
	connect(t, a, b)
	id, addr := b.cfg.Identity, b.Self().Addr
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = newHost(t, func(c *Config) { c.Identity, c.Listen = id, addr })
	eventually(t, "a's messages arrive again", func() bool {
		_ = a.SendControl(b.Self(), []byte("ping"))
		return len(b.got()) > 0
	})
}

func TestConfigIsChecked(t *testing.T) {
	id, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort("127.0.0.1:0")
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Listen: addr, Token: testToken}, "no identity"},
		{Config{Identity: id, Listen: addr}, "neither a join token nor a CA"},
		{Config{Identity: id, Token: testToken}, "no address"},
	} {
		if _, err := New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.cfg, err, c.want)
		}
	}
	a := newHost(t, nil)
	if _, err := New(Config{Identity: id, Listen: a.Self().Addr, Token: testToken}); err == nil || !strings.Contains(err.Error(), "another overlayd") {
		t.Errorf("an address in use: %v", err)
	}
}

func TestIPv6(t *testing.T) {
	change := func(c *Config) { c.Listen = netip.MustParseAddrPort("[::1]:0") }
	probe, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6")
	}
	probe.Close()
	a, b := newHost(t, change), newHost(t, change)
	line(t, a, b)
	var out collector
	defer b.AddSink(testStream, SinkConfig{Deliver: out.deliver}).Close()
	publish(t, a, payloads(0, 100, 1316))
	eventually(t, "all arrive", func() bool { return out.len() == 100 })
	if err := b.SendControl(a.Self(), []byte("six")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a hears b", func() bool { return len(a.got()) == 1 })
}

// A host that listens on every address serves both families.
func TestBothFamilies(t *testing.T) {
	any := newHost(t, func(c *Config) { c.Listen = netip.MustParseAddrPort("[::]:0") })
	port := any.Self().Addr.Port()
	four := newHost(t, nil)
	p, err := four.Connect(context.Background(), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
	if err != nil {
		t.Fatal(err)
	}
	if err := four.SendControl(p, []byte("over IPv4")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it arrives", func() bool { return len(any.got()) == 1 })
	if err := any.SendControl(four.Self(), []byte("and back")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the answer too", func() bool { return len(four.got()) == 1 })
}
