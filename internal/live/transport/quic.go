// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"

	"sandstream/internal/overlay/wire"
)

// MaxMessage is the longest control message, in bytes.
const MaxMessage = 64 << 10

const (
	basePacket   = 1200            // bytes of UDP payload that any path carries
	idleConn     = time.Second     // QUIC connections are closed after so long: sessions outlive them
	streamWait   = 3 * time.Second // for a step of the handshake or a message
	dialsAtOnce  = 32              // to hosts we knew, and as many to others: those to dead hosts must not hold up others
	exporterName = "EXPERIMENTAL sandstream v2"
)

func quicConfig() *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:           streamWait,
		MaxIdleTimeout:                 idleConn,
		InitialStreamReceiveWindow:     MaxMessage,
		MaxStreamReceiveWindow:         MaxMessage,
		InitialConnectionReceiveWindow: 2 * MaxMessage,
		MaxConnectionReceiveWindow:     2 * MaxMessage,
		MaxIncomingStreams:             1, // the hello
		MaxIncomingUniStreams:          4, // long control messages
		// Any path carries that; the sealed datagrams, which are many, find out more.
		InitialPacketSize:       basePacket,
		DisablePathMTUDiscovery: true,
	}
}

// dial connects to the peer in the background unless that is already under
// way or was just tried in vain. p.mu is held.
func (p *peer) dial() {
	if p.gone || p.dialling || p.t.now() < p.refuseTo {
		return
	}
	ctx, cancel := context.WithCancel(p.t.ctx)
	p.cancel = cancel
	p.dialling = p.t.spawn(func() {
		defer cancel()
		p.work(ctx)
	})
	if !p.dialling {
		cancel()
	}
}

// work makes a session, and sends the messages that wait for one or are too
// long for a datagram, until none is left or the peer is forgotten.
func (p *peer) work(ctx context.Context) {
	t := p.t
	p.mu.Lock()
	turn := t.dials
	if p.data == nil {
		turn = t.firsts
	}
	p.mu.Unlock()
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-turn }()
	p.mu.Lock()
	p.connecting = true
	first := p.sendSession() == nil || p.renew
	p.renew = false
	p.mu.Unlock()
	for {
		if first {
			got, err := t.connect(ctx, p.address(), p.id)
			if err == nil && got != p {
				err = errForgotten
			}
			if err != nil {
				p.failed(err)
				return
			}
			first = false
		}
		conn, msg, done := p.nextLong()
		if done {
			return
		}
		if conn == nil {
			first = true
			p.requeue(msg)
			continue
		}
		if err := sendLong(t.ctx, conn, msg); err != nil {
			p.mu.Lock()
			if p.conn == conn {
				p.conn = nil
			}
			p.mu.Unlock()
			p.stats.txErrors.Add(1)
			continue // the core sends again what matters
		}
		p.stats.txControl.Add(1)
		p.stats.txBytes.Add(uint64(len(msg)))
	}
}

func (p *peer) address() netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}

// nextLong gives the next long message and the connection for it, nil if there
// is none. done: nothing is left, and the worker must end.
func (p *peer) nextLong() (conn *quic.Conn, msg []byte, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.releaseShort()
	if len(p.pending) == 0 {
		p.idleNow()
		return nil, nil, true
	}
	msg = p.pending[0]
	p.pending = p.pending[1:]
	p.waiting -= len(msg)
	if p.conn != nil && p.conn.Context().Err() != nil {
		p.conn = nil
	}
	return p.conn, msg, false
}

// idleNow says that no goroutine works for the peer. p.mu is held.
func (p *peer) idleNow() {
	p.pending, p.waiting = nil, 0
	p.dialling, p.connecting, p.cancel = false, false, nil
}

func (p *peer) requeue(msg []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append([][]byte{msg}, p.pending...)
	p.waiting += len(msg)
}

// releaseShort moves the messages that waited for a session only to the
// datagrams. p.mu is held; the sender is told by a goroutine of its own.
func (p *peer) releaseShort() {
	if p.sendSession() == nil {
		return
	}
	kept := p.pending[:0]
	for _, m := range p.pending {
		if len(m) > maxSealed {
			kept = append(kept, m)
			continue
		}
		p.waiting -= len(m)
		if len(p.control) < controlQueue {
			p.control = append(p.control, m)
		}
	}
	p.pending = kept
	if len(p.control) > 0 && p.needTurn() {
		p.t.enqueue(p)
		p.t.spawn(p.t.kick)
	}
}

// failed drops what waited and lets some time pass before the next attempt.
func (p *peer) failed(err error) {
	p.mu.Lock()
	p.stats.txNoSession.Add(uint64(len(p.pending)))
	p.idleNow()
	gone := p.gone
	p.backoff = min(max(2*p.backoff, firstBackoff), longestBackoff)
	p.refuseTo = p.t.now() + p.backoff
	to := wire.Peer{ID: p.id, Addr: p.addr}
	p.mu.Unlock()
	if gone {
		return // nobody waits for it
	}
	p.t.stats.handshakesFailed.Add(1)
	if p.t.closed.Load() {
		return
	}
	p.t.cfg.Log.Debug("handshake failed", "host", to.String(), "err", err)
	p.t.handler.Unreachable(to, err)
}

func sendLong(ctx context.Context, conn *quic.Conn, msg []byte) error {
	ctx, cancel := context.WithTimeout(ctx, streamWait)
	defer cancel()
	s, err := conn.OpenUniStreamSync(ctx)
	if err != nil {
		return err
	}
	_ = s.SetWriteDeadline(time.Now().Add(streamWait))
	if _, err := s.Write(msg); err != nil {
		s.CancelWrite(0)
		return err
	}
	return s.Close()
}

// exported is what both sides derive from the TLS session.
type exported struct {
	bind               [32]byte // what the proof of the token is bound to
	dialKey, listenKey [32]byte // for datagrams from the dialler, from the listener
}

func export(conn *quic.Conn) (*exported, error) {
	cs := conn.ConnectionState().TLS
	b, err := cs.ExportKeyingMaterial(exporterName, nil, 96)
	if err != nil {
		return nil, fmt.Errorf("derive keys: %w", err)
	}
	return &exported{bind: [32]byte(b[:32]), dialKey: [32]byte(b[32:64]), listenKey: [32]byte(b[64:])}, nil
}

// connect does the handshake with the host at addr, whose id must be want
// unless that is zero.
func (t *Transport) connect(ctx context.Context, addr netip.AddrPort, want wire.HostID) (*peer, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.HandshakeTimeout)
	defer cancel()
	q, err := t.control.acquire()
	if err != nil {
		return nil, err
	}
	conn, err := q.Dial(ctx, net.UDPAddrFromAddrPort(addr), t.control.tls, t.control.conf)
	if err != nil {
		t.control.release()
		return nil, t.explain(addr.String(), err)
	}
	context.AfterFunc(conn.Context(), t.control.release)
	p, err := t.greet(ctx, conn, addr, want)
	if err != nil {
		hangUp(conn, err)
		if r := new(refusal); errors.As(err, &r) {
			return nil, err // which names the host
		}
		return nil, t.explain(addr.String(), err)
	}
	if !t.spawn(func() { t.longMessages(p, conn) }) {
		_ = conn.CloseWithError(codeDone, "")
		return nil, ErrClosed
	}
	return p, nil
}

// greet is the dialler's side of the handshake.
func (t *Transport) greet(ctx context.Context, conn *quic.Conn, addr netip.AddrPort, want wire.HostID) (*peer, error) {
	cs := conn.ConnectionState().TLS
	if cs.NegotiatedProtocol == alpnFirst {
		return nil, t.refuseFirst(addr)
	}
	id, err := t.verifyPeer(cs)
	if err != nil {
		return nil, refuseBy(fmt.Errorf("host %s shows: %w", addr, err))
	}
	if !want.IsZero() && id != want {
		return nil, fmt.Errorf("%w: it is host %s, not %s (which lost its key, or left)", ErrOtherID, id.Hex(), want.Hex())
	}
	keys, err := export(conn)
	if err != nil {
		return nil, err
	}
	s, err := t.newSession()
	if err != nil {
		return nil, err
	}
	str, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = str.SetDeadline(deadline)
	if _, err := str.Write(t.hello(s, t.cfg.Token.proof(dialler, keys.bind[:], t.self.ID, id)).encode()); err != nil {
		return nil, err
	}
	theirs, err := readHello(str)
	if err != nil {
		return nil, err
	}
	if t.versions().common(theirs.versions()) == 0 {
		err := t.versions().refuse(addr.String(), theirs.versions())
		return nil, &refusal{codeVersion, t.versions().encode(), err}
	}
	proof := t.cfg.Token.proof(listener, keys.bind[:], t.self.ID, id)
	if !hmac.Equal(proof[:], theirs.Proof) {
		return nil, fmt.Errorf("%w: the host does not know this overlay's token", ErrToken)
	}
	if id == t.self.ID {
		return nil, t.metMyself(theirs, addr)
	}
	s.agree(t, theirs)
	s.sendKey, s.recvKey = keys.dialKey, keys.listenKey
	p, err := t.establish(s, conn, wire.Peer{ID: id, Addr: addr}, theirs, true)
	if err != nil {
		return nil, err
	}
	return p, str.Close() // its end tells the listener that we have the session
}

// hello is what this host says of itself, with its index of session s.
func (t *Transport) hello(s *session, proof [32]byte) *hello {
	v := t.versions()
	h := &hello{
		Min: v.min, Max: v.max, Minor: v.minor, Build: v.build, Features: t.features(), Index: s.local,
		Proof: proof[:], Largest: uint16(t.data.largest()), Run: t.run, Sealed: t.sign(t.run.sealed()), ToCome: helloToCome,
	}
	return h
}

// features are what this host can do.
func (t *Transport) features() features {
	f := featureLink | featureToCome
	if t.aes {
		f |= featureAES
	}
	return f
}

// agree takes over what the other side's hello says.
func (s *session) agree(t *Transport, theirs *hello) {
	both := t.features() & theirs.Features
	s.remote = theirs.Index
	s.useAES = both&featureAES != 0
	s.link = both&featureLink != 0
	s.run = theirs.Run
}

// establish puts a session whose keys are complete into use, with the peer that
// the table has then.
func (t *Transport) establish(s *session, conn *quic.Conn, who wire.Peer, theirs *hello, confirmed bool) (*peer, error) {
	t.peerMu.Lock()
	p := t.peers[who.ID]
	switch {
	case p == nil:
		if p = t.add(who, false); p == nil {
			t.peerMu.Unlock()
			return nil, fmt.Errorf("%w (%d)", ErrFull, t.cfg.MaxPeers)
		}
	case p.stranger:
		p.stranger = false
		t.strangers--
	}
	p.used.Store(true) // it stays: no longer a stranger, and used
	t.peerMu.Unlock()
	s.peer = p
	s.confirmed.Store(confirmed)
	t.smu.Lock()
	t.sessions[s.local] = s
	t.smu.Unlock()
	p.mu.Lock()
	p.addr = who.Addr
	if to := net.UDPAddrFromAddrPort(who.Addr); p.data == nil || !sameAddr(p.data, to) {
		p.data = to
		p.pathBegins()
	}
	if p.largest = theirs.Largest; p.largest == 0 {
		p.largest = maxDatagram
	}
	p.versions = t.share(theirs.versions())
	p.seen.Store(nil)
	gone := p.install(s)
	p.conn = conn
	p.backoff, p.refuseTo, p.asked = 0, 0, 0
	p.mu.Unlock()
	if gone != nil {
		t.dropSession(gone)
	}
	t.stats.handshakes.Add(1)
	p.stats.handshakes.Add(1)
	if confirmed {
		p.search()
	}
	return p, nil
}

// serve is the listener's side of a connection.
func (t *Transport) serve(conn *quic.Conn) {
	p, err := t.welcome(conn)
	if err != nil {
		t.stats.handshakesFailed.Add(1)
		t.refused(conn.RemoteAddr().String(), err)
		hangUp(conn, err)
		return
	}
	t.longMessages(p, conn)
}

// welcome is the listener's side of the handshake.
func (t *Transport) welcome(conn *quic.Conn) (*peer, error) {
	cs := conn.ConnectionState().TLS
	from := unmapped(conn.RemoteAddr().(*net.UDPAddr).AddrPort())
	if cs.NegotiatedProtocol == alpnFirst {
		return nil, t.refuseFirst(from)
	}
	id, err := t.verifyPeer(cs)
	if err != nil {
		return nil, refuseBy(err)
	}
	ctx, cancel := context.WithTimeout(t.ctx, streamWait)
	defer cancel()
	str, err := conn.AcceptStream(ctx)
	if err != nil {
		return nil, refuse(codeMalformed, t.noHello(from, err))
	}
	deadline, _ := ctx.Deadline() // for all of the hello
	_ = str.SetDeadline(deadline)
	theirs, err := readHello(str)
	if err != nil {
		return nil, refuse(codeMalformed, t.noHello(from, err))
	}
	if t.versions().common(theirs.versions()) == 0 {
		err := t.versions().refuse(from.String(), theirs.versions())
		return nil, &refusal{codeVersion, t.versions().encode(), err}
	}
	keys, err := export(conn)
	if err != nil {
		return nil, refuse(codeMalformed, err)
	}
	proof := t.cfg.Token.proof(dialler, keys.bind[:], id, t.self.ID)
	if !hmac.Equal(proof[:], theirs.Proof) {
		return nil, refuse(codeToken, fmt.Errorf("host %s: %w: it belongs to another overlay", id.Hex(), ErrToken))
	}
	s, err := t.newSession()
	if err != nil {
		return nil, refuse(codeFull, err)
	}
	answer := t.hello(s, t.cfg.Token.proof(listener, keys.bind[:], id, t.self.ID)).encode()
	// The dialler waits, and so does the QUIC library, which takes silence for the end.
	waits := func() {
		if _, err := str.Write(answer[:1]); err == nil {
			answer = answer[1:]
		}
	}
	if id != t.self.ID { // else the answer tells the dialler whom it has met
		if err := t.onlyOne(ctx, id, cs.PeerCertificates[0].PublicKey.(ed25519.PublicKey), theirs, from, waits); err != nil {
			return nil, err
		}
		s.agree(t, theirs)
		s.sendKey, s.recvKey = keys.listenKey, keys.dialKey
	}
	if id == t.self.ID {
		_, _ = str.Write(answer)
		_, _ = io.ReadFull(str, make([]byte, 1)) // it hangs up
		return nil, refuse(codeSelf, t.metMyself(theirs, from))
	}
	p, err := t.establish(s, conn, wire.Peer{ID: id, Addr: from}, theirs, false)
	if err != nil {
		return nil, refuse(codeFull, err)
	}
	if _, err = str.Write(answer); err == nil {
		// The dialler ends the stream when it has the session.
		if _, err = io.ReadFull(str, make([]byte, 1)); errors.Is(err, io.EOF) {
			err = str.Close()
		} else if err == nil {
			err = errHello
		}
	}
	if err != nil {
		t.removeSession(s)
		return nil, refuse(codeMalformed, fmt.Errorf("host %s: %w", id.Hex(), t.explain(from.String(), err)))
	}
	s.confirmed.Store(true)
	p.search()
	p.mu.Lock()
	p.releaseShort()
	if len(p.pending) > 0 {
		p.dial()
	}
	p.mu.Unlock()
	return p, nil
}

// noHello says why a host at an address has said nothing of itself.
func (t *Transport) noHello(from netip.AddrPort, err error) error {
	var app *quic.ApplicationError
	if errors.As(err, &app) && app.Remote && app.ErrorCode != codeDone {
		return t.explain(from.String(), err)
	}
	return fmt.Errorf("no hello: %w", err)
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// longMessages reads the messages that do not fit a datagram until the
// connection ends.
func (t *Transport) longMessages(p *peer, conn *quic.Conn) {
	defer func() {
		p.mu.Lock()
		if p.conn == conn {
			p.conn = nil
		}
		p.mu.Unlock()
		_ = conn.CloseWithError(codeDone, "")
	}()
	for {
		str, err := conn.AcceptUniStream(t.ctx)
		if err != nil {
			return
		}
		_ = str.SetReadDeadline(time.Now().Add(streamWait))
		b, err := io.ReadAll(io.LimitReader(str, MaxMessage+1))
		if err != nil || len(b) > MaxMessage || len(b) == 0 {
			t.stats.malformed.Add(1)
			_ = conn.CloseWithError(codeMalformed, "")
			return
		}
		if !p.mayControl(t.now(), 1+len(b)/maxSealed) {
			p.stats.rxRateLimited.Add(1)
			continue
		}
		p.stats.rxControl.Add(1)
		p.stats.rxBytes.Add(uint64(len(b)))
		p.heard()
		t.handler.Control(p.who(), b)
	}
}
