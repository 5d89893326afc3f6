// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sandstream/internal/live/seal"
	"sandstream/internal/overlay/wire"
)

func TestMain(m *testing.M) {
	if os.Getenv(relayEnv) != "" {
		if err := relay(); err != nil {
			fmt.Fprintln(os.Stderr, "relay:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

var testToken = Token("a token for tests, 32 characters or more")

// host is a transport with a handler that keeps what it is told.
type host struct {
	*Transport
	mu      sync.Mutex
	control []string // "from: message"
	failed  []error
	twins   []bool // later, each time
}

func (h *host) Twin(_ string, later bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.twins = append(h.twins, later)
}

func (h *host) Control(from wire.Peer, b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.control = append(h.control, fmt.Sprintf("%s: %s", from.ID, b))
}

func (h *host) Unreachable(_ wire.Peer, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = append(h.failed, err)
}

// testKey is what all hosts of a test know; of one suite by default, so that a test does
// the same on every machine.
var testKey = seal.NewKey(seal.AES128GCM, 7)

func testRing(id wire.StreamID) *seal.Ring {
	r := seal.NewRing(id)
	r.Add(testKey)
	return r
}

// SetForward gives a stream that begins at h a sealer.
func (h *host) SetForward(id wire.StreamID, e Entry) error {
	if len(e.Upstream) == 0 && e.Seal == nil {
		e.Seal = seal.NewSealer(id, h.Self().ID, 0)
		if err := e.Seal.Use(testKey); err != nil {
			return err
		}
	}
	return h.Transport.SetForward(id, e)
}

// AddSink gives a reader the key.
func (h *host) AddSink(id wire.StreamID, cfg SinkConfig) *Sink {
	if cfg.Keys == nil {
		cfg.Keys = testRing(id)
	}
	return h.Transport.AddSink(id, cfg)
}

func (h *host) got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.control...)
}

func (h *host) failures() []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]error(nil), h.failed...)
}

func (h *host) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.control, h.failed = nil, nil
}

// newHost starts a host on the loopback interface; change may be nil.
func newHost(t testing.TB, change func(*Config)) *host {
	t.Helper()
	return newHostWith(t, change, func(*Transport) {})
}

// newHostWith lets the transport be changed before it starts.
func newHostWith(t testing.TB, change func(*Config), before func(*Transport)) *host {
	t.Helper()
	id, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Identity: id, Listen: netip.MustParseAddrPort("127.0.0.1:0"), Token: testToken, SocketBuffer: 4 << 20}
	if change != nil {
		change(&cfg)
	}
	tr, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	before(tr)
	h := &host{Transport: tr}
	if err := tr.Start(h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return h
}

// tries is how often a handshake is tried: one that a machine stands still in is given
// up by both sides.
const tries = 5

// connect makes a session from a to b.
func connect(t testing.TB, a, b *host) {
	t.Helper()
	p, err := a.Connect(context.Background(), b.Self().Addr)
	for n := 1; err != nil && n < tries; n++ {
		t.Logf("connect: %v", err)
		p, err = a.Connect(context.Background(), b.Self().Addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	if p != b.Self() {
		t.Fatalf("connected to %v, want %v", p, b.Self())
	}
	eventually(t, "the listener has the session", func() bool { return b.up(a.Self().ID) })
}

func (h *host) up(id wire.HostID) bool {
	for _, p := range h.Peers() {
		if p.Peer.ID == id {
			return p.Up
		}
	}
	return false
}

// stat gives the counters for one peer.
func (h *host) stat(id wire.HostID) PeerStats {
	for _, p := range h.Peers() {
		if p.Peer.ID == id {
			return p
		}
	}
	return PeerStats{}
}

// eventually waits for a condition, at most a minute.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
