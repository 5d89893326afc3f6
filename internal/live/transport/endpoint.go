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
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// endpoint is QUIC on the transport's port. The QUIC library takes 110 KB and four
// goroutines for a listener that does nothing, so that there is one only while
// there is something to do: an endpoint that had no connection for a while
// sleeps, and wakes with the first packet that could begin one, or to dial.
type endpoint struct {
	t        *Transport
	side     *quicSide
	tls      *tls.Config
	conf     *quic.Config
	tokenKey quic.TokenGeneratorKey // the same after sleep, for QUIC's Retry

	mu     sync.Mutex
	quic   *quic.Transport // nil: asleep
	awake  atomic.Bool     // quic != nil, for who does not hold mu
	waking atomic.Bool     // somebody is about to wake it

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

func newEndpoint(t *Transport, u *udpBatch) *endpoint {
	e := &endpoint{t: t, side: newQUICSide(u), tls: tlsConfig(t.cfg.Identity), conf: quicConfig(), seed: maphash.MakeSeed()}
	_, _ = rand.Read(e.tokenKey[:]) // never fails
	return e
}

// packet takes a packet of QUIC's from the port's reader, which must not wait.
// While nobody has a use for others, only one that can begin a connection counts.
func (e *endpoint) packet(b []byte, from *net.UDPAddr) {
	asleep := !e.awake.Load()
	if asleep && b[0]&longHeader == 0 || !e.side.push(b, from) {
		e.t.stats.malformed.Add(1)
		return
	}
	e.t.stats.rxQUIC.Add(1)
	if !asleep || e.waking.Swap(true) {
		return
	}
	e.t.spawn(func() {
		_, err := e.wake()
		e.waking.Store(false)
		if err != nil && !e.t.closed.Load() {
			e.t.cfg.Log.Error("QUIC does not start", "err", err)
		}
	})
}

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
	q := &quic.Transport{Conn: e.side, ConnContext: e.admit, VerifySourceAddress: e.crowded, TokenGeneratorKey: &e.tokenKey}
	l, err := q.Listen(e.tls, e.conf)
	if err != nil {
		return nil, fmt.Errorf("start QUIC: %w", err)
	}
	if !e.t.spawn(func() { e.accept(l) }) {
		return nil, errors.Join(ErrClosed, q.Close())
	}
	e.quic = q
	e.awake.Store(true)
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
	e.awake.Store(false)
	_ = e.quic.Close() // leaves the port open
	e.quic = nil
	e.side.drop()
	e.admitMu.Lock()
	e.sources = nil
	e.admitMu.Unlock()
}

func (e *endpoint) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var err error
	if e.quic != nil {
		err = e.quic.Close()
	}
	return errors.Join(err, e.side.Close())
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
