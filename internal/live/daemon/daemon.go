// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sandstream/internal/live/control"
	"sandstream/internal/live/delivery"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

const (
	joinWithin  = 10 * time.Second // see Config
	leaveWithin = 10 * time.Second
)

// Daemon is one host of the overlay.
type Daemon struct {
	cfg        Config
	lock       *os.File // of the state folder
	log        *slog.Logger
	start      time.Time
	tr         *transport.Transport
	loop       *loop
	node       *overlay.Node // the loop's
	streams    *delivery.Streams
	control    *control.Server
	membership membership
	problems   problems
	addr       atomic.Pointer[netip.AddrPort] // by which others reach the host
	counters   counters
	lists      map[uint64]chan<- overlay.Listed // the loop's: who waits for a part of the directory
	reportAt   wire.Time                        // the loop's: when what was delivered is measured next
	stop       chan struct{}                    // closed when the host is to end
	wg         sync.WaitGroup
}

// membership is where the host stands between its first word to the overlay and its
// last.
type membership struct {
	joined  chan struct{} // closed when the host owns ids
	left    chan struct{} // closed when it has handed over
	leaving atomic.Bool   // the host is to hand over
	failed  chan error    // why the host cannot be part of the overlay
}

func newMembership() membership {
	return membership{joined: make(chan struct{}), left: make(chan struct{}), failed: make(chan error, 1)}
}

// fail says why the host cannot be part of the overlay; the first reason counts, and
// none does once it is.
func (m *membership) fail(err error) {
	select {
	case <-m.joined:
		return
	default:
	}
	m.end(err)
}

// end says why the host must not be part of the overlay any more.
func (m *membership) end(err error) {
	select {
	case m.failed <- err:
	default:
	}
}

// counters count control messages that came to nothing.
type counters struct {
	dropped   atomic.Uint64 // the inbox had no room for
	malformed atomic.Uint64 // did not decode
	sendFails atomic.Uint64
}

// New opens sockets and starts the host. It is a member once Joined is closed.
func New(ctx context.Context, cfg Config) (_ *Daemon, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.resolveEvery == 0 {
		cfg.resolveEvery = time.Minute
	}
	if cfg.joinWithin == 0 {
		cfg.joinWithin = joinWithin
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
		node: overlay.New(proto, self, rand.Uint64()), membership: newMembership(), stop: make(chan struct{}),
	}
	d.addr.Store(&self.Addr)
	d.streams = delivery.New(delivery.Config{
		Transport: tr, Protocol: d.node, Self: self, Keyholder: tr.Keyholder(), NameIn: tr.NameIn, Log: d.log, Now: d.now, Do: d.do,
		Post:    func(f func()) { d.loop.post(f) },
		Changed: func(c *delivery.Change) { d.control.Changed(c) },
	})
	d.loop = newLoop(d.turn, d.streams.End)
	d.control, err = control.Open(control.Config{
		Socket: cfg.Socket, Metrics: cfg.Metrics, Web: cfg.Web, Version: cfg.Version, DataAddr: tr.Self().Addr.String(), Log: d.log,
	})
	if err != nil {
		d.streams.Close()
		tr.Close()
		return nil, err
	}
	if err := tr.Start(handler{d}); err != nil {
		d.control.Close()
		d.streams.Close()
		tr.Close()
		return nil, err
	}
	e := d.streams.Engine()
	d.log.Info("started", "address", self.Addr, "port", tr.Self().Addr, "version", cfg.Version, "socket", cfg.Socket, "engine", e.Name, "why", e.Why)
	d.control.Serve(host{d})
	if _, err := netip.ParseAddrPort(cfg.Advertise); cfg.Advertise != "" && err != nil {
		d.wg.Go(d.follow)
	}
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
	joined := d.membership.joined
	for wait := true; wait; {
		select {
		case <-joined:
			notify("STATUS=member of the overlay")
			joined = nil
		case <-d.membership.left:
			d.linger()
			return nil
		case err := <-d.membership.failed:
			return err
		case <-ctx.Done():
			wait = false
		}
	}
	notify("STOPPING=1\nSTATUS=handing ids over")
	select {
	case <-d.membership.joined:
		return d.Leave(context.Background())
	default:
		return nil // it owns nothing
	}
}

// linger lets answers and last messages leave.
func (d *Daemon) linger() { time.Sleep(100 * time.Millisecond) }

// Joined is closed when the host owns ids.
func (d *Daemon) Joined() <-chan struct{} { return d.membership.joined }

// Self is the host's id and the address by which others reach it.
func (d *Daemon) Self() wire.Peer { return wire.Peer{ID: d.tr.Self().ID, Addr: *d.addr.Load()} }

// Leave hands the host's ids over, if any host is left to take them. It gives up
// after some seconds: the heirs claim the ids then, as after a crash.
func (d *Daemon) Leave(ctx context.Context) error {
	if !d.membership.leaving.Swap(true) {
		d.log.Info("leaving")
		d.loop.post(func() {
			d.streams.Leave()
			d.node.Leave(d.now())
		})
	}
	select {
	case <-d.membership.left:
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
	d.control.Close()
	d.loop.stop()
	<-d.loop.ended
	d.tr.Close()
	d.wg.Wait()
	d.streams.Close()
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
		d.counters.malformed.Add(1)
		return
	}
	if !d.loop.offer(func() { d.node.Handle(d.now(), from, m) }) {
		d.counters.dropped.Add(1)
	}
}

// Unreachable tells a host that has yet to become a member's user: this may be why.
func (h handler) Unreachable(to wire.Peer, err error) {
	select {
	case <-h.d.membership.joined:
	default:
		h.d.problems.set(to.Addr.String(), err.Error())
	}
	h.d.log.Debug("unreachable", "peer", to.String(), "err", err)
}

// Twin ends the host if the other one with its key came first, or while it is no
// member. Else its user is told: somebody else must act.
func (h handler) Twin(at string, later bool) {
	d := h.d
	err := fmt.Errorf("%w: it is at %s", transport.ErrTwin, at)
	if later {
		d.membership.end(twinError(err))
		return
	}
	d.membership.fail(twinError(err))
	text := "another host has shown a copy of this host's key, from " + at + ": it is not let in; give it a --state of its own, and remove the copied host.key"
	if d.problems.setFor(10*time.Minute, "twin", text) {
		d.log.Warn("twin", "at", at, "detail", text)
	}
}

// follow looks up the name by which others reach this host, as its address may change.
func (d *Daemon) follow() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	last := d.Self().Addr
	for {
		select {
		case <-time.After(d.cfg.resolveEvery):
		case <-d.stop:
			return
		}
		addr, err := d.cfg.named(ctx, d.tr.Self().Addr)
		if err != nil {
			if d.problems.set("advertise", err.Error()) {
				d.log.Warn("advertise", "err", err)
			}
			continue // the last one stays
		}
		d.problems.solved("advertise")
		if addr == last {
			continue
		}
		d.log.Info("moved", "name", d.cfg.Advertise, "from", last, "to", addr)
		last = addr
		d.addr.Store(&addr)
		d.loop.post(func() { d.node.Moved(d.now(), addr) })
	}
}
