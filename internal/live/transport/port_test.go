// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sandstream/internal/overlay/wire"
)

// A wall between two hosts that lets only their two ports through is no wall: all that
// passes between them is from the one port to the other.
func TestOnePort(t *testing.T) {
	b := newHost(t, nil)
	wall, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	a := newHost(t, nil)
	ports := map[netip.AddrPort]netip.AddrPort{a.Self().Addr: b.Self().Addr, b.Self().Addr: a.Self().Addr}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			n, from, err := wall.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			to, ok := ports[from]
			if !ok {
				t.Errorf("a datagram from %s", from)
				continue
			}
			_, _ = wall.WriteToUDPAddrPort(buf[:n], to)
		}
	}()
	t.Cleanup(func() {
		wall.Close()
		<-done
	})
	through := wall.LocalAddr().(*net.UDPAddr).AddrPort()
	p, err := a.Connect(context.Background(), through)
	if err != nil {
		t.Fatal(err)
	}
	if p.ID != b.Self().ID {
		t.Fatalf("met %v", p)
	}
	eventually(t, "b has the session", func() bool { return b.up(a.Self().ID) })
	forward(t, a, Entry{Children: []Leg{{Host: p}}})
	forward(t, b, Entry{Upstream: []Leg{{Host: wire.Peer{ID: a.Self().ID, Addr: through}}}})
	var out collector
	defer b.AddSink(testStream, SinkConfig{Deliver: out.deliver}).Close()
	publish(t, a, payloads(0, 100, 1000))
	eventually(t, "a stream passes", func() bool { return out.len() == 100 })
	for _, m := range [][]byte{[]byte("short"), make([]byte, 20_000)} {
		if err := a.SendControl(p, m); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "messages of both kinds pass", func() bool { return len(b.got()) == 2 })
}

// QUIC works while streams keep the port busy, and the other way round; and a short
// header wakes nobody.
func TestQUICAmongDatagrams(t *testing.T) {
	a, b, c := newHost(t, nil), newHost(t, nil), newHost(t, nil)
	line(t, a, b)
	var out collector
	defer b.AddSink(testStream, SinkConfig{Deliver: out.deliver}).Close()
	eventually(t, "QUIC is put away", func() bool { return !b.Transport.control.awake.Load() })
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(b.Self().Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	before := b.Stats().Malformed
	for _, first := range []byte{0x40, 0x7f} {
		if _, err := conn.Write([]byte{first, 1, 2, 3}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Write(nil); err != nil { // an empty datagram
		t.Fatal(err)
	}
	eventually(t, "all are counted", func() bool { return b.Stats().Malformed == before+3 })
	if b.Transport.control.awake.Load() {
		t.Error("a packet that can not begin a connection woke QUIC")
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				publish(t, a, payloads(i, 10, 1000))
				time.Sleep(time.Millisecond)
			}
		}
	}()
	for range 3 {
		connect(t, c, b)
	}
	close(stop)
	<-ended
	if out.len() == 0 {
		t.Error("nothing of the stream came")
	}
}

// A host that merely started anew, at another address, is let in; a second one with a
// copy of its key is not while the first lives, and both are told.
func TestTwin(t *testing.T) {
	member, first := newHost(t, nil), newHost(t, nil)
	connect(t, first, member)
	id := first.cfg.Identity
	copied := func(c *Config) { c.Identity = id }
	second := newHost(t, copied)
	if _, err := second.Connect(t.Context(), member.Self().Addr); !errors.Is(err, ErrTwin) || !strings.Contains(err.Error(), first.Self().Addr.String()) {
		t.Errorf("a copy of a member's key: %v", err)
	}
	told := func(h *host, later bool) func() bool {
		return func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return len(h.twins) > 0 && h.twins[len(h.twins)-1] == later
		}
	}
	eventually(t, "the later one is told", told(second, true))
	eventually(t, "the earlier one is told", told(first, false))
	if !member.up(id.ID) {
		t.Error("the member has no session with the first one any more")
	}
	// They meet.
	second.clear()
	if _, err := second.Connect(t.Context(), first.Self().Addr); !errors.Is(err, ErrTwin) {
		t.Errorf("through its twin: %v", err)
	}
	eventually(t, "the later one is told again", told(second, true))
	if _, err := first.Connect(t.Context(), first.Self().Addr); !errors.Is(err, ErrSelf) {
		t.Errorf("to itself: %v", err)
	}
	_ = first.Close()
	if _, err := second.Connect(t.Context(), member.Self().Addr); err != nil {
		t.Errorf("started anew at another address: %v", err)
	}
}

// Nobody but a host with the key can make another one believe that it has a twin.
func TestForgedTwin(t *testing.T) {
	id, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	h, liar := newHost(t, func(c *Config) { c.Identity = id }), newHost(t, nil)
	connect(t, liar, h)
	own := h.Transport.run
	forged := twin{run: run{Name: [16]byte{1}, Start: 1}}
	copy(forged.mark[:], liar.sign(forged.run.sameKey(own)))
	past := twin{run: forged.run} // of the host's last run, which was asked about another
	copy(past.mark[:], h.sign(forged.run.sameKey(run{Name: [16]byte{2}, Start: 2})))
	for name, w := range map[string]*twin{"signed by another": &forged, "of another time": &past} {
		if w.proves(h.key(), own) {
			t.Errorf("a twin %s is believed", name)
		}
	}
	for _, text := range []string{"", "!", "AAAA 127.0.0.1:1", strings.Repeat("A", 120)} {
		if err := h.provenTwin(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	// It claims that another one has shown the key: the signature is not the key's.
	p := liar.peerFor(h.Self())
	ask := appendRun([]byte{linkMark, linkAsk}, run{Name: [16]byte{3}, Start: 1 << 63})
	ask = append(append(ask, liar.sign(run{Name: [16]byte{3}, Start: 1 << 63}.sealed())...), "somewhere"...)
	liar.sendLink(p, ask)
	eventually(t, "it is refused", func() bool { return h.stat(liar.Self().ID).RxMalformed == 1 })
	if len(h.twins) != 0 {
		t.Error("the host believes in a twin")
	}
}

// Who is not admitted is told why, on either side.
func TestRefusedInWords(t *testing.T) {
	why := errors.New("its certificate was revoked on 1 April")
	strict := newHost(t, func(c *Config) {
		c.Admit = func(wire.HostID, *x509.Certificate) error { return why }
	})
	h := newHost(t, nil)
	if _, err := h.Connect(t.Context(), strict.Self().Addr); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), why.Error()) {
		t.Errorf("to a host that refuses: %v", err)
	}
	if _, err := strict.Connect(t.Context(), h.Self().Addr); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), why.Error()) {
		t.Errorf("from a host that refuses: %v", err)
	}
}
