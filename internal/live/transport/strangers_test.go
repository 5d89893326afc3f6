// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"sandstream/internal/overlay/wire"
)

// nowhere is an address at which nobody answers.
var nowhere = netip.MustParseAddrPort("127.0.0.1:9")

func stranger(i int) wire.Peer {
	return wire.Peer{ID: wire.HostID{9, byte(i), byte(i >> 8)}, Addr: nowhere}
}

// Hosts that do not exist, named by a member, take neither the places of those
// that do nor their turn to be dialled.
func TestStrangersLeavePlaces(t *testing.T) {
	a := newHost(t, func(c *Config) { c.HandshakeTimeout = time.Second })
	b, c, known := newHost(t, nil), newHost(t, nil), newHost(t, nil)
	connect(t, a, known)
	for range cap(a.firsts) {
		a.firsts <- struct{}{} // all turns for strangers are taken, for good
	}
	for i := range 1500 {
		if err := a.SendControl(stranger(i), []byte{1}); err != nil {
			t.Fatalf("stranger %d: %v", i, err)
		}
	}
	if n := a.Stats().Peers; n > 1024/8+1 {
		t.Errorf("%d peers: strangers took more than an eighth of the places", n)
	}
	p := a.peerFor(known.Self())
	eventually(t, "a peer is dialled anew, before all strangers", func() bool {
		p.mu.Lock()
		p.redial()
		p.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		return a.stat(known.Self().ID).Handshakes >= 2
	})
	connect(t, b, a) // a host that joins
	for range cap(a.firsts) {
		<-a.firsts
	}
	eventually(t, "a host that was not spoken to before hears us", func() bool {
		if len(c.got()) > 0 {
			return true
		}
		_ = a.SendControl(c.Self(), []byte("hello")) // as the protocol sends again
		time.Sleep(10 * time.Millisecond)
		return false
	})
}

// A host that exists is found although fakes are named all the time.
func TestStrangerIsFoundInTheFlood(t *testing.T) {
	a := newHost(t, func(c *Config) { c.HandshakeTimeout, c.MaxPeers = 500*time.Millisecond, 512 })
	b := newHost(t, nil)
	start, named := time.Now(), 0
	for ; named < 300; named++ { // all places, and all that are dialled
		_ = a.SendControl(stranger(named), []byte{1})
	}
	for len(b.got()) == 0 {
		if time.Since(start) > 60*time.Second {
			t.Fatalf("not heard behind %d fakes", named)
		}
		for range 8 { // many times what can be dialled
			_ = a.SendControl(stranger(named), []byte{1})
			named++
		}
		_ = a.SendControl(b.Self(), []byte("hello")) // as the protocol sends again
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("heard after %v and %d fakes", time.Since(start), named)
}

// A full table gives up a stranger for a host with a session, and a leg of the
// forwarding table is no stranger's place to lose.
func TestStrangersYield(t *testing.T) {
	a := newHost(t, func(c *Config) { c.MaxPeers = 16 })
	forward(t, a, Entry{Children: []Leg{{Host: stranger(0)}}})
	for i := range 10 {
		_ = a.SendControl(stranger(1+i), []byte{1})
	}
	a.peerMu.Lock()
	leg, n, count := a.peers[stranger(0).ID], len(a.peers), a.strangers
	a.peerMu.Unlock()
	if leg == nil || n != 2 || count != 2 {
		t.Errorf("%d peers, %d strangers, the child's leg %v", n, count, leg)
	}
	for i := range 16 {
		h := newHost(t, nil)
		if _, err := h.Connect(context.Background(), a.Self().Addr); err != nil && i < 15 {
			t.Errorf("host %d: %v", i, err)
		} else if err == nil && i == 15 {
			t.Error("a 16th host, beside the child: more than the bound")
		}
	}
	a.peerMu.Lock()
	defer a.peerMu.Unlock()
	if len(a.peers) != 16 || a.strangers != 1 || a.peers[stranger(0).ID] != leg {
		t.Errorf("%d peers, %d strangers", len(a.peers), a.strangers)
	}
}

// A peer that was forgotten while it was dialled begins nothing more, and the
// session is the new one's.
func TestForgottenWhileDialled(t *testing.T) {
	a, b := newHost(t, nil), newHost(t, nil)
	a.dials, a.firsts = make(chan struct{}, 1), make(chan struct{}, 1)
	a.firsts <- struct{}{} // nobody's turn
	if err := a.SendControl(b.Self(), make([]byte, maxSealed+1)); err != nil {
		t.Fatal(err)
	}
	old := a.peerFor(b.Self())
	a.peerMu.Lock()
	a.forget(old)
	a.peerMu.Unlock()
	connect(t, a, b)
	<-a.firsts
	old.mu.Lock()
	if old.keep(make([]byte, maxSealed+1)) == nil || old.sendSession() != nil {
		t.Error("a peer that is not in the table takes messages")
	}
	old.mu.Unlock()
	if p := a.peerFor(b.Self()); p == old || !a.up(b.Self().ID) {
		t.Error("the session is not with the table's peer")
	}
	if n := a.Stats().Handshakes; n != 1 {
		t.Errorf("%d handshakes", n)
	}
	if err := a.SendControl(b.Self(), make([]byte, maxSealed+1)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a long message arrives", func() bool { return len(b.got()) == 1 })
}
