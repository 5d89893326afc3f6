// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// One address has half of the connections at most, however slowly it makes them.
func TestConnectionsOfOneAddress(t *testing.T) {
	h := newHost(t, func(c *Config) { c.MaxInbound, c.Handshakes = 8, 1000 })
	from := func(addr string) (end func(), ok bool) {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := h.Transport.control.admit(ctx, &quic.ClientInfo{RemoteAddr: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))})
		return cancel, err == nil
	}
	var ends []func()
	for i := range 10 {
		end, ok := from("192.0.2.1:" + string(rune('1'+i%9)))
		defer end()
		if ok != (i < 4) {
			t.Errorf("connection %d of one address: %v", i+1, ok)
		}
		ends = append(ends, end)
	}
	e := h.Transport.control
	at := func(n int) net.Addr {
		return &net.UDPAddr{IP: net.ParseIP(fmt.Sprintf("2001:db8:%x::1", n)), Port: 1}
	}
	other := 1
	e.admitMu.Lock()
	for e.source(at(other)) == e.source(&net.UDPAddr{IP: net.IPv4(192, 0, 2, 1)}) { // by chance
		other++
	}
	e.admitMu.Unlock()
	for i := range 4 {
		end, ok := from(at(other).String())
		defer end()
		if !ok {
			t.Errorf("connection %d of another address is refused", i+1)
		}
	}
	end, ok := from("198.51.100.1:1")
	defer end()
	if ok {
		t.Error("more than the bound")
	}
	ends[0]()
	eventually(t, "one that ended makes room", func() bool {
		end, ok := from("192.0.2.1:1")
		t.Cleanup(end)
		return ok
	})
}

// Who connects and then writes its hello byte by byte holds a place for as long as
// who says nothing, begun at the same time.
func TestSlowHello(t *testing.T) {
	h := newHost(t, nil)
	dial := func() *quic.Conn {
		id, err := NewIdentity()
		if err != nil {
			t.Fatal(err)
		}
		conf := quicConfig()
		conf.KeepAlivePeriod = idleConn / 4
		conn, err := quic.DialAddr(t.Context(), h.Self().Addr.String(), tlsConfig(id), conf)
		if err != nil {
			return nil
		}
		t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
		return conn
	}
	ended := func(c *quic.Conn) chan time.Time {
		at := make(chan time.Time, 1)
		context.AfterFunc(c.Context(), func() { at <- time.Now() })
		return at
	}
	// A machine that stands still for a second breaks a connection; then once more.
	for range tries {
		slow, silent := dial(), dial()
		if slow == nil || silent == nil {
			continue
		}
		slowAt, silentAt := ended(slow), ended(silent)
		time.Sleep(streamWait - time.Second)
		str, err := slow.OpenStreamSync(t.Context())
		if err != nil {
			continue
		}
		if _, err := str.Write([]byte{1}); err != nil || slow.Context().Err() != nil || silent.Context().Err() != nil {
			continue
		}
		if longer := (<-slowAt).Sub(<-silentAt); longer > streamWait/2 {
			t.Errorf("a hello that does not come held a connection for %v longer than silence", longer)
		}
		return
	}
	t.Fatal("no connection lived until its first byte")
}
