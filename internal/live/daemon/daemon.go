// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sandstream/internal/fail"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
	"sandstream/overlayapi/overlayv1"
)

const leaveWithin = 10 * time.Second

// Daemon is one host of the overlay.
type Daemon struct {
	cfg   Config
	lock  *os.File // of the state folder
	log   *slog.Logger
	start time.Time
	tr    *transport.Transport
	node  *overlay.Node // the loop's
	spas  *spas
	loop  *loop
	stop  chan struct{} // closed when the host is to end
	wg    sync.WaitGroup

	joined  chan struct{} // closed when the host owns ids
	left    chan struct{} // closed when it has handed over
	leaving atomic.Bool   // the host is to hand over
	failed  chan error    // why the host cannot be part of the overlay

	dropped   atomic.Uint64 // control messages that the inbox had no room for
	malformed atomic.Uint64 // control messages that did not decode
	sendFails atomic.Uint64

	// The loop's.
	subs     map[overlay.SubID]*subscription
	partOf   map[overlay.SubID]overlay.SubID // subscriptions to parts of a split stream
	pubs     map[wire.StreamID]*publication
	flows    map[wire.StreamID]*flow
	ticks    ticks
	reportAt wire.Time // when what was delivered is measured next

	watchMu  sync.Mutex
	watchers map[chan *overlayv1.WatchResponse]struct{}
	servers  servers
}

// New opens sockets and starts the host. It is a member once Joined is closed.
func New(ctx context.Context, cfg Config) (_ *Daemon, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	proto, err := cfg.protocol()
	if err != nil {
		return nil, err
	}
	tc, err := cfg.transport()
	if err != nil {
		return nil, err
	}
	lock, err := lockState(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if tc.Identity, err = cfg.identity(tc.CA); err != nil {
		return nil, err
	}
	tr, err := transport.New(tc)
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return nil, fmt.Errorf("listen on %s: this is no address of this machine: name one that is by --listen", cfg.Listen)
	}
	if err != nil {
		return nil, err
	}
	self := tr.Self()
	if self.Addr, err = cfg.advertised(ctx, self.Addr); err != nil {
		tr.Close()
		return nil, err
	}
	d := &Daemon{
		cfg: cfg, lock: lock, log: cfg.Log.With("host", self.ID.String()), start: time.Now(), tr: tr,
		node: overlay.New(proto, self, rand.Uint64()),
		stop: make(chan struct{}), joined: make(chan struct{}), left: make(chan struct{}), failed: make(chan error, 1),
		subs: map[overlay.SubID]*subscription{}, partOf: map[overlay.SubID]overlay.SubID{}, pubs: map[wire.StreamID]*publication{},
		flows: map[wire.StreamID]*flow{}, watchers: map[chan *overlayv1.WatchResponse]struct{}{},
	}
	d.loop = newLoop(d.turn, d.endAll)
	d.spas = newSPAs(d.log)
	if err := d.servers.open(d); err != nil {
		d.spas.close()
		tr.Close()
		return nil, err
	}
	if err := tr.Start(handler{d}); err != nil {
		d.servers.close()
		d.spas.close()
		tr.Close()
		return nil, err
	}
	d.log.Info("started", "address", self.Addr, "data", tr.DataAddr(), "socket", cfg.Socket, "engine", d.spas.name, "why", d.spas.why)
	d.servers.serve(d)
	if cfg.Create {
		d.loop.post(func() { d.node.Create(d.now()) })
	} else {
		d.wg.Go(func() { d.findSeeds(cfg.Join) })
	}
	return d, nil
}

// Run is a host from start to end: until ctx is over, when it hands over its
// ids, or until the API's Leave.
func Run(ctx context.Context, cfg Config) error {
	d, err := New(ctx, cfg)
	if err != nil {
		return err
	}
	defer d.Close()
	notify("READY=1\nSTATUS=looking for the overlay")
	joined := d.joined
	for wait := true; wait; {
		select {
		case <-joined:
			notify("STATUS=member of the overlay")
			joined = nil
		case <-d.left:
			d.linger()
			return nil
		case err := <-d.failed:
			return err
		case <-ctx.Done():
			wait = false
		}
	}
	notify("STOPPING=1\nSTATUS=handing ids over")
	select {
	case <-d.joined:
		return d.Leave(context.Background())
	default:
		return nil // it owns nothing
	}
}

// linger lets answers and last messages leave.
func (d *Daemon) linger() { time.Sleep(100 * time.Millisecond) }

// Joined is closed when the host owns ids.
func (d *Daemon) Joined() <-chan struct{} { return d.joined }

// Self is the host's id and the address by which others reach it.
func (d *Daemon) Self() wire.Peer { return d.node.Self() }

// Leave hands the host's ids over, if any host is left to take them. It gives up
// after some seconds: the heirs claim the ids then, as after a crash.
func (d *Daemon) Leave(ctx context.Context) error {
	if !d.leaving.Swap(true) {
		d.log.Info("leaving")
		d.loop.post(func() { d.node.Leave(d.now()) })
	}
	select {
	case <-d.left:
		d.linger()
		return nil
	case <-d.loop.ended:
		return nil
	case <-time.After(leaveWithin):
		return fmt.Errorf("leave: the ids were not taken over within %v; the others take them as after a crash", leaveWithin)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close stops the host at once, as a crash would. Nothing of it runs when it
// returns.
func (d *Daemon) Close() {
	select {
	case <-d.stop:
		return
	default:
	}
	close(d.stop)
	d.servers.close()
	d.loop.stop()
	<-d.loop.ended
	d.tr.Close()
	d.wg.Wait()
	d.spas.close()
	d.lock.Close()
}

func (d *Daemon) now() wire.Time { return time.Since(d.start) }

// handler takes what the transport hears.
type handler struct{ d *Daemon }

// Control must not block: without room the message is dropped, as it could
// have been on the way.
func (h handler) Control(from wire.Peer, b []byte) {
	d := h.d
	m, err := wire.Decode(b)
	if err != nil {
		d.malformed.Add(1)
		return
	}
	if !d.loop.offer(func() { d.node.Handle(d.now(), from, m) }) {
		d.dropped.Add(1)
	}
}

func (h handler) Unreachable(to wire.Peer, err error) {
	h.d.log.Debug("unreachable", "peer", to.String(), "err", err)
}

// findSeeds finds out who the members are of which only the address is known,
// and joins through the first that answers. Members that do not answer are tried
// again: they may start later. One that refuses us ends the host, before it is a
// member; so do members that can never answer, if there are no others.
func (d *Daemon) findSeeds(addrs []string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d.wg.Go(func() {
		select {
		case <-d.stop:
			cancel()
		case <-ctx.Done():
		}
	})
	said := map[string]string{}
	for {
		var found []wire.Peer
		var hopeless int
		var why, twin error
		for _, a := range addrs {
			p, err := d.connect(ctx, a)
			if err == nil {
				found = append(found, p)
				continue
			}
			if ctx.Err() != nil {
				return
			}
			switch {
			case errors.Is(err, transport.ErrSelf):
				twin = err
			case errors.Is(err, errHopeless):
				hopeless++
				why = err
			case errors.Is(err, transport.ErrToken) || errors.Is(err, transport.ErrCA) || errors.Is(err, fail.ErrUsage):
				d.failed <- fmt.Errorf("join: %w", err)
				return
			}
			if said[a] != err.Error() {
				said[a] = err.Error()
				d.log.Warn("join", "member", a, "err", err)
			}
		}
		switch {
		case len(found) > 0:
		case twin != nil:
			d.failed <- fmt.Errorf("join: %w", twin)
			return
		case hopeless == len(addrs):
			d.failed <- fail.Usagef("join: %w", why)
			return
		}
		if len(found) > 0 {
			d.log.Info("joining", "through", found[0].String())
			events, unwatch := d.watch()
			defer unwatch()
			d.loop.post(func() { d.node.Join(d.now(), found) })
			for {
				select {
				case e := <-events:
					if e.Kind == overlay.EventShutOut {
						d.failed <- fail.Usagef("join: %s", e.Detail)
						return
					}
				case <-d.joined:
					return
				case <-ctx.Done():
					return
				}
			}
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}

func (d *Daemon) connect(ctx context.Context, addr string) (wire.Peer, error) {
	a, err := resolve(ctx, addr, d.tr.Self().Addr)
	if err != nil {
		return wire.Peer{}, err
	}
	p, err := d.tr.Connect(ctx, a)
	switch {
	case !errors.Is(err, transport.ErrSelf):
		return p, err
	case d.listensOn(a):
		// All hosts may be given one list of members: the others may start later.
		return p, fail.Errorf(errHopeless, "member %s is this host itself, or has a copy of its key: name another member, and give each host its own --state", addr)
	}
	return p, fail.Errorf(transport.ErrSelf, "member %s: a host with this very key (%s) is there already: give each host its own --state", addr, d.Self().ID.Hex())
}

// errHopeless is of members that can never be joined through.
var errHopeless = errors.New("not a member to join through")

// listensOn says whether an address may be this host's own.
func (d *Daemon) listensOn(a netip.AddrPort) bool {
	l := d.tr.Self().Addr
	switch {
	case a == l || a == d.Self().Addr:
		return true
	case a.Port() != l.Port() || !l.Addr().IsUnspecified():
		return false
	case a.Addr().IsLoopback():
		return true
	}
	addrs, _ := net.InterfaceAddrs()
	return slices.ContainsFunc(addrs, func(n net.Addr) bool {
		p, err := netip.ParsePrefix(n.String())
		return err == nil && p.Addr().Unmap() == a.Addr()
	})
}

// endAll tells local users that the host stops.
func (d *Daemon) endAll() {
	for _, s := range d.subs {
		s.finish(errStopping)
	}
	for _, p := range d.pubs {
		p.end()
	}
	for id := range d.flows {
		d.forward(id, nil)
	}
}

// resolve finds the address of HOST:PORT, one that can be reached from where we
// listen.
func resolve(ctx context.Context, addr string, listen netip.AddrPort) (netip.AddrPort, error) {
	if a, err := netip.ParseAddrPort(addr); err == nil {
		ip, err := pick(addr, listen, a.Addr())
		return netip.AddrPortFrom(ip, a.Port()), err
	}
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, fail.Usagef("member %q is no HOST:PORT: %w", addr, err)
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("member %s: %w", addr, err)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("member %s: %w", addr, err)
	}
	ip, err := pick(addr, listen, ips...)
	return netip.AddrPortFrom(ip, uint16(port)), err
}

// pick is the first of a member's addresses that a socket bound to listen can
// send to.
func pick(member string, listen netip.AddrPort, ips ...netip.Addr) (netip.Addr, error) {
	for _, ip := range ips {
		ip = ip.Unmap()
		// Bound to no address, an IPv6 socket is for both.
		if ip.Is4() == listen.Addr().Is4() || !listen.Addr().Is4() && listen.Addr().IsUnspecified() {
			return ip, nil
		}
	}
	have, want := "IPv6", "IPv4"
	if listen.Addr().Is4() {
		have, want = want, have
	}
	return netip.Addr{}, fail.Errorf(errHopeless, "member %s has only an %s address, and this host listens on %s, which is %s: name an %s address by --listen", member, want, listen, have, want)
}
