// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sandstream/internal/overlay/wire"
)

// Config says who the host is, where it listens and what it bounds. Zero
// fields get the defaults that are named.
type Config struct {
	Identity *Identity      // required
	Listen   netip.AddrPort // UDP address of everything; port 0: any. [::]: both address families
	Token    Token          // the overlay's join token
	CA       *x509.CertPool // if not nil, hosts must show certificates it signed. One of Token and CA is required
	Log      *slog.Logger   // default: none
	Build    string         // of the program, in words: told to other hosts, at most 100 bytes
	// Admit, if not nil, says whom not to speak to although its certificate is good, and
	// why; the other host is told.
	Admit func(wire.HostID, *x509.Certificate) error

	NoOffload bool // neither GSO nor GRO

	SendQueue        int           // stream packets that wait for one peer: 1,024
	SendRate         int64         // bytes a second to one peer: 125,000,000 (1 Gbit/s); negative: no bound
	RecvRate         int64         // bytes of streams a second from one peer: the same
	ControlRate      int           // control messages a second from one peer: 2,000
	Handshakes       int           // connections accepted a second: 200
	MaxInbound       int           // accepted connections at once: 256
	MaxPeers         int           // peers: 1,024
	SocketBuffer     int           // bytes of the port's buffers: 4 MiB
	HandshakeTimeout time.Duration // to give up connecting: 3 s
	KeepPeer         time.Duration // a peer without traffic is forgotten: 5 min
	Rekey            time.Duration // age of a session's keys at which new ones are made: 1 h
}

func (c *Config) defaults() {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&c.SendQueue, 1024)
	set(&c.ControlRate, 2000)
	set(&c.Handshakes, 200)
	set(&c.MaxInbound, 256)
	set(&c.MaxPeers, 1024)
	set(&c.SocketBuffer, 4<<20)
	for _, v := range []*int64{&c.SendRate, &c.RecvRate} {
		if *v == 0 {
			*v = 125_000_000
		}
	}
	for _, v := range []struct {
		v *time.Duration
		d time.Duration
	}{{&c.HandshakeTimeout, 3 * time.Second}, {&c.KeepPeer, 5 * time.Minute}, {&c.Rekey, time.Hour}} {
		if *v.v <= 0 {
			*v.v = v.d
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Handler is told what comes from other hosts. Its methods are called by
// several goroutines, must not block, and may call the transport.
type Handler interface {
	// Control gets a control message from a host whose key was checked. b is valid
	// during the call only.
	Control(from wire.Peer, b []byte)
	// Twin says that another host lives with this one's key, and where, as far as is
	// known. later: this host is the one that came later, and should end.
	Twin(at string, later bool)
	// Unreachable says that a handshake has failed, and why; control messages that
	// waited for it are lost.
	Unreachable(to wire.Peer, err error)
}

// Transport connects a host with others. Its methods may be called by any
// goroutine.
type Transport struct {
	cfg     Config
	self    wire.Peer
	run     run
	own     versions
	aes     bool
	handler Handler
	data    *udpBatch // the port
	control *endpoint // QUIC on it
	start   time.Time
	wall    uint64 // of start, ns

	ctx    context.Context
	cancel context.CancelFunc
	closed atomic.Bool
	wgMu   sync.Mutex
	wg     sync.WaitGroup
	ticker *time.Timer
	dials  chan struct{} // places for handshakes with peers that had a session
	firsts chan struct{} // and for those with strangers

	peerMu    sync.Mutex
	peers     map[wire.HostID]*peer
	strangers int       // those of peers that never had a session
	past      PeerStats // sums of those that were forgotten

	smu      sync.RWMutex
	sessions map[uint32]*session

	streamMu sync.RWMutex
	streams  map[wire.StreamID]*stream

	send  sender
	hot   atomic.Bool // much traffic: the reader keeps its buffers, and all are larger
	calls uint64      // system calls up to the last tick

	refusals refusals
	stats    counters
}

// New opens the port. Nothing is received before Start.
func New(cfg Config) (*Transport, error) {
	cfg.defaults()
	if cfg.Identity == nil {
		return nil, errors.New("transport: no identity: make one with LoadOrCreateIdentity")
	}
	if len(cfg.Token) == 0 && cfg.CA == nil {
		return nil, errors.New("transport: neither a join token nor a CA: without one anybody could join")
	}
	if len(cfg.Build) > maxBuild {
		cfg.Build = cfg.Build[:maxBuild]
	}
	if !cfg.Listen.IsValid() {
		return nil, errors.New("transport: no address to listen on")
	}
	t := &Transport{
		cfg: cfg, aes: hasAES(), start: time.Now(), dials: make(chan struct{}, dialsAtOnce), firsts: make(chan struct{}, dialsAtOnce),
		peers: map[wire.HostID]*peer{}, sessions: map[uint32]*session{}, streams: map[wire.StreamID]*stream{},
	}
	t.wall = uint64(t.start.UnixNano())
	t.run = newRun(t.start)
	t.own = versions{min: wireMin, max: wireMax, minor: wireMinor, build: words(cfg.Build)}
	data, err := listenBatch(cfg.Listen, !cfg.NoOffload, cfg.SocketBuffer)
	if err != nil {
		return nil, err
	}
	t.data, t.control = data, newEndpoint(t, data)
	addr := data.addr()
	t.self = wire.Peer{ID: cfg.Identity.ID, Addr: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t, nil
}

func networkOf(a netip.Addr) string {
	switch {
	case a.Is4():
		return "udp4"
	case a.IsUnspecified():
		return "udp"
	}
	return "udp6"
}

// Start begins to receive.
func (t *Transport) Start(h Handler) error {
	t.handler = h
	if !t.spawn(t.read) {
		return ErrClosed
	}
	t.wgMu.Lock()
	t.ticker = time.AfterFunc(time.Second, t.tick)
	t.wgMu.Unlock()
	return nil
}

// Close ends everything and returns when no goroutine is left; it waits for
// callbacks that run. The peers are not told: they find out as for a host that dies.
func (t *Transport) Close() error {
	t.wgMu.Lock()
	if t.closed.Swap(true) {
		t.wgMu.Unlock()
		return nil
	}
	if t.ticker != nil {
		t.ticker.Stop()
	}
	t.wgMu.Unlock()
	t.streamMu.RLock()
	for _, s := range t.streams {
		s.mu.Lock()
		for _, k := range s.sinks {
			k.stop()
		}
		s.mu.Unlock()
	}
	t.streamMu.RUnlock()
	t.cancel()
	t.peerMu.Lock()
	for _, p := range t.peers {
		p.mu.Lock()
		if p.conn != nil {
			_ = p.conn.CloseWithError(codeDone, "")
		}
		p.mu.Unlock()
	}
	t.peerMu.Unlock()
	err := errors.Join(t.control.close(), t.data.conn.Close())
	t.wg.Wait()
	return err
}

// spawn runs f in a goroutine that Close waits for, unless it is too late.
func (t *Transport) spawn(f func()) bool {
	t.wgMu.Lock()
	defer t.wgMu.Unlock()
	if t.closed.Load() {
		return false
	}
	t.wg.Go(f)
	return true
}

// Self is this host: its id and the address it listens on.
func (t *Transport) Self() wire.Peer { return t.self }

// now is the transport's clock: time since it was made, never 0.
func (t *Transport) now() time.Duration { return time.Since(t.start) + 1 }

// WallNs turns a time of the transport's clock into ns since 1970. It is the
// clock of Header.SentNs; it does not jump when the system's clock is set.
func (t *Transport) WallNs(now time.Duration) uint64 { return t.wall + uint64(now) }

// Now is the present on the clock of Header.SentNs, in ns.
func (t *Transport) Now() uint64 { return t.WallNs(t.now()) }

// Connect does a handshake with the host at addr and tells who it is: for
// joining through a member of which only the address is known.
func (t *Transport) Connect(ctx context.Context, addr netip.AddrPort) (wire.Peer, error) {
	type result struct {
		p   *peer
		err error
	}
	c := make(chan result, 1)
	if !t.spawn(func() {
		p, err := t.connect(t.ctx, addr, wire.HostID{})
		c <- result{p, err}
	}) {
		return wire.Peer{}, ErrClosed
	}
	select {
	case r := <-c:
		if r.err != nil {
			return wire.Peer{}, r.err
		}
		return r.p.who(), nil
	case <-ctx.Done():
		return wire.Peer{}, fmt.Errorf("connect to %s: %w", addr, ctx.Err())
	}
}

// busySession is how many datagrams a second make it worth keeping expanded
// keys and the reader's buffers.
const busySession = 64

// tick does, once a second, what nobody waits for.
func (t *Transport) tick() {
	now := t.now()
	t.control.tire(now)
	calls := t.stats.rxCalls.Load() + t.stats.txCalls.Load()
	if hot := calls-t.calls >= 4*busySession; hot != t.hot.Load() {
		t.hot.Store(hot)
		if !hot {
			t.data.wake()
		}
	}
	t.calls = calls
	var tell []*peer
	t.peerMu.Lock()
	for _, p := range t.peers {
		p.mu.Lock()
		if p.used.Swap(false) {
			p.lastUsed = now
		}
		if p.n == 0 && !p.ready {
			p.ring, p.head = nil, 0
		}
		for i, s := range p.sessions {
			if s == nil {
				continue
			}
			s.quiet(busySession)
			if i == 0 && p.lastUsed == now && (now-s.created > t.cfg.Rekey || s.sent.Load() > rekeyPackets) {
				p.redial()
			}
		}
		idle := p.idle(now, t.cfg.KeepPeer)
		if p.owes.Load() && p.sendSession() != nil && len(p.control) == 0 {
			// The peer may take silence for death: say that we are here. It does not
			// answer this.
			p.control = append(p.control, nil)
			if p.needTurn() {
				tell = append(tell, p)
			}
		}
		if p.lastUsed == now {
			if b := p.probeDue(now); b != nil && len(p.control) < controlQueue {
				p.control = append(p.control, b)
				if p.needTurn() {
					tell = append(tell, p)
				}
			}
		}
		p.mu.Unlock()
		if idle {
			t.forget(p)
		}
	}
	t.peerMu.Unlock()
	if len(tell) > 0 {
		t.enqueue(tell...)
		t.kick()
	}
	t.wgMu.Lock()
	defer t.wgMu.Unlock()
	if !t.closed.Load() {
		t.ticker.Reset(time.Second)
	}
}
