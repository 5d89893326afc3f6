// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sys/unix"
)

// endpoint is the control socket. The QUIC library takes 110 KB and four
// goroutines for a listener that does nothing, so that there is one only while
// there is something to do: an endpoint that had no connection for a while
// sleeps, and wakes with the first packet that could begin one, or to dial.
type endpoint struct {
	t        *Transport
	udp      *net.UDPConn
	raw      syscall.RawConn
	tls      *tls.Config
	conf     *quic.Config
	tokenKey quic.TokenGeneratorKey // the same after sleep, for QUIC's Retry

	mu   sync.Mutex
	quic *quic.Transport // nil: asleep
	// watching is closed when the watch has left the socket; nil: there is none.
	watching chan struct{}

	uses    atomic.Int32 // connections and attempts at one
	lastUse atomic.Int64 // end of the last one, or the last packet; on the transport's clock

	admitMu   sync.Mutex
	inbound   int
	admission bucket
	// sources has the same for each source address, by its hash: one flood leaves
	// half of the handshakes and of the connections to others. It is made anew with
	// each waking.
	sources *[256]source
	seed    maphash.Seed
}

type source struct {
	admission bucket
	inbound   int
}

// sleepAfter is how long an endpoint without connection stays awake.
const sleepAfter = 2 * time.Second

func newEndpoint(t *Transport, addr netip.AddrPort) (*endpoint, error) {
	udp, err := net.ListenUDP(networkOf(addr.Addr()), net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("control socket: %w: is another overlayd running? choose another address", err)
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		udp.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	e := &endpoint{t: t, udp: udp, raw: raw, tls: tlsConfig(t.cfg.Identity, t.cfg.CA), conf: quicConfig(), seed: maphash.MakeSeed()}
	_, _ = rand.Read(e.tokenKey[:]) // never fails
	return e, nil
}

// quicSocket hides from the QUIC library that this is a UDP socket: its batch
// buffers would be for a few packets a minute.
type quicSocket struct{ *net.UDPConn }

func (quicSocket) SyscallConn()            {} // not the method that the library looks for
func (quicSocket) ReadMsgUDP()             {} // nor this
func (quicSocket) SetReadBuffer(int) error { return nil }

// acquire gives the awake endpoint, which then does not sleep before release.
func (e *endpoint) acquire() (*quic.Transport, error) {
	e.uses.Add(1)
	q, err := e.wake()
	if err != nil {
		e.release()
	}
	return q, err
}

func (e *endpoint) release() {
	e.lastUse.Store(int64(e.t.now()))
	e.uses.Add(-1)
}

func (e *endpoint) wake() (*quic.Transport, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.t.closed.Load() {
		return nil, ErrClosed
	}
	if e.quic != nil {
		return e.quic, nil
	}
	if e.watching != nil {
		_ = e.udp.SetReadDeadline(time.Unix(1, 0))
		<-e.watching
		e.watching = nil
		_ = e.udp.SetReadDeadline(time.Time{})
	}
	q := &quic.Transport{Conn: quicSocket{e.udp}, ConnContext: e.admit, VerifySourceAddress: e.crowded, TokenGeneratorKey: &e.tokenKey}
	l, err := q.Listen(e.tls, e.conf)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if !e.t.spawn(func() { e.accept(l) }) {
		return nil, errors.Join(ErrClosed, q.Close())
	}
	e.quic = q
	e.lastUse.Store(int64(e.t.now()))
	return q, nil
}

// tire puts the endpoint to sleep if it was without use for long enough.
func (e *endpoint) tire(now time.Duration) {
	if e.uses.Load() > 0 || now-time.Duration(e.lastUse.Load()) < sleepAfter {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.quic == nil || e.uses.Load() > 0 {
		return
	}
	_ = e.quic.Close() // leaves the socket open
	e.quic = nil
	e.admitMu.Lock()
	e.sources = nil
	e.admitMu.Unlock()
	e.sleep()
}

// sleep begins to watch. e.mu is held.
func (e *endpoint) sleep() {
	done := make(chan struct{})
	if e.t.spawn(func() { e.watch(done) }) {
		e.watching = done
	}
}

// start is the beginning: asleep.
func (e *endpoint) start() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sleep()
}

// watch waits for a packet that may begin a connection. Others are dropped:
// without connections nobody has a use for them. done is closed when the socket
// is free for another reader.
func (e *endpoint) watch(done chan struct{}) {
	var b [1]byte
	var err error
	for found := false; !found && err == nil; {
		err = e.raw.Read(func(fd uintptr) bool {
			for range 64 { // and then look at the deadline
				n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
				if errors.Is(err, unix.EAGAIN) {
					return false
				}
				if found = err == nil && n > 0 && b[0]&0x80 != 0; found { // a long header
					return true
				}
				_, _, _ = unix.Recvfrom(int(fd), b[:], unix.MSG_DONTWAIT)
				e.t.stats.malformed.Add(1)
			}
			return true
		})
	}
	close(done)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return // who dials has woken the endpoint
	}
	if err == nil {
		_, err = e.wake()
	}
	if err != nil && !e.t.closed.Load() {
		e.t.cfg.Log.Error("the control socket does not wake up", "err", err)
	}
}

func (e *endpoint) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var err error
	if e.quic != nil {
		err = e.quic.Close()
	}
	return errors.Join(err, e.udp.Close())
}

// accept takes connections until the listener is closed.
func (e *endpoint) accept(l *quic.Listener) {
	for {
		conn, err := l.Accept(e.t.ctx)
		if err != nil {
			return
		}
		if !e.t.spawn(func() { e.t.serve(conn) }) {
			return
		}
	}
}

// admit bounds the connections that hosts not known yet can make us keep.
func (e *endpoint) admit(ctx context.Context, who *quic.ClientInfo) (context.Context, error) {
	c := &e.t.cfg
	now, rate := e.t.now(), float64(c.Handshakes)
	e.admitMu.Lock()
	from := e.source(who.RemoteAddr)
	ok := e.inbound < c.MaxInbound && from.inbound < max(c.MaxInbound/2, 1) &&
		from.admission.take(now, 1, rate/2, max(rate/2, 1)) && e.admission.take(now, 1, rate, rate)
	if ok {
		e.inbound++
		from.inbound++
	}
	e.admitMu.Unlock()
	if !ok {
		e.t.stats.handshakesRefused.Add(1)
		return nil, errors.New("too many handshakes")
	}
	e.uses.Add(1)
	context.AfterFunc(ctx, func() {
		e.release()
		e.admitMu.Lock()
		e.inbound--
		from.inbound--
		e.admitMu.Unlock()
	})
	return ctx, nil
}

// source is what is known of a source address: of an IPv6 host's network, as it has
// addresses without number. e.admitMu is held.
func (e *endpoint) source(a net.Addr) *source {
	if e.sources == nil {
		e.sources = new([256]source)
	}
	var ip netip.Addr
	if u, ok := a.(*net.UDPAddr); ok {
		ip = u.AddrPort().Addr().Unmap()
	}
	b := ip.As16()
	if !ip.Is4() {
		clear(b[8:])
	}
	return &e.sources[maphash.Bytes(e.seed, b[:])%uint64(len(e.sources))]
}

// crowded asks diallers to prove their address first (QUIC's Retry) once half
// of what admit allows is in use: a flood from forged addresses then costs us
// no state.
func (e *endpoint) crowded(net.Addr) bool {
	e.admitMu.Lock()
	defer e.admitMu.Unlock()
	rate := float64(e.t.cfg.Handshakes)
	return e.inbound > e.t.cfg.MaxInbound/2 || e.admission.last != 0 && e.admission.tokens < rate/2
}
