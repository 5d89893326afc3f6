// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"sandstream/internal/fail"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay/wire"
)

// How soon a start that leads nowhere is told of, and how often again.
const (
	sayAfter = 6 * time.Second
	sayEvery = time.Minute
)

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
	for {
		found, err := d.ask(ctx, addrs)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			d.membership.fail(fmt.Errorf("join: %w", err))
			return
		case len(found) > 0:
			d.log.Info("joining", "through", found[0].String())
			d.loop.post(func() { d.node.Join(d.now(), found) })
			d.await(found[0])
			return
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}

// await says what is in the way while the members that answer give the host no ids.
func (d *Daemon) await(through wire.Peer) {
	for wait := sayAfter; ; wait = sayEvery {
		select {
		case <-d.membership.joined:
			return
		case <-d.stop:
			return
		case <-time.After(wait):
		}
		why := d.problems.list()
		if len(why) == 0 {
			why = []string{fmt.Sprintf("host %s lets this one in, but no host has answered the request for ids: answers go to %s: is that where the others reach this host (--advertise)?",
				through, d.Self().Addr)}
			d.problems.set("ids", why[0])
		}
		d.log.Warn("still joining", "through", through.String(), "why", strings.Join(why, "; "))
	}
}

// ask tries all members once, all at a time, and gives those that answer. An error says
// why there is no hope that one ever will.
func (d *Daemon) ask(ctx context.Context, addrs []string) ([]wire.Peer, error) {
	type answer struct {
		peer wire.Peer
		err  error
	}
	answers := make([]answer, len(addrs))
	var wg sync.WaitGroup
	for i, a := range addrs {
		wg.Go(func() {
			p, err := d.connect(ctx, a)
			answers[i] = answer{p, err}
			if err == nil {
				d.problems.solved(a)
			} else if ctx.Err() == nil && d.problems.set(a, err.Error()) {
				d.log.Warn("join", "member", a, "err", err)
			}
		})
	}
	wg.Wait()
	var found []wire.Peer
	var hopeless int
	var why, fatal error
	for _, a := range answers {
		switch err := a.err; {
		case err == nil:
			found = append(found, a.peer)
		case ctx.Err() != nil:
			return nil, err
		case errors.Is(err, transport.ErrTwin):
			return nil, twinError(err) // whoever else answers
		case errors.Is(err, errHopeless) || errors.Is(err, transport.ErrVersion):
			hopeless++
			why = err
		case errors.Is(err, transport.ErrToken) || errors.Is(err, transport.ErrCA) || errors.Is(err, transport.ErrRefused) || errors.Is(err, fail.ErrUsage):
			if fatal == nil {
				fatal = err
			}
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case fatal != nil:
		return nil, fatal
	case hopeless < len(addrs):
		return nil, nil
	case errors.Is(why, transport.ErrVersion):
		return nil, fail.Errorf(fail.ErrUnsupported, "%w", why)
	}
	return nil, fail.Usagef("%w", why)
}

// connect finds out who the member at HOST:PORT is: at the first of its addresses that
// answers.
func (d *Daemon) connect(ctx context.Context, addr string) (wire.Peer, error) {
	at, err := d.cfg.resolve(ctx, addr, d.tr.Self().Addr)
	if err != nil {
		return wire.Peer{}, err
	}
	var errs []error
	for _, a := range at {
		p, err := d.tr.Connect(ctx, a)
		if err == nil {
			return p, nil
		}
		if errors.Is(err, transport.ErrSelf) {
			// All hosts may be given one list of members: the others may start later.
			return p, fail.Errorf(errHopeless, "member %s is this host itself: name another member", addr)
		}
		errs = append(errs, err)
		if !errors.Is(err, transport.ErrNoAnswer) {
			break
		}
	}
	return wire.Peer{}, errors.Join(errs...)
}

func twinError(err error) error {
	return fail.Usagef("%w: each host needs a key of its own: give this one a --state of its own, and remove the copied host.key", err)
}

// errHopeless is of members that can never be joined through.
var errHopeless = errors.New("not a member to join through")

// lookUp gives the addresses that HOST:PORT has now.
func (c *Config) lookUp(ctx context.Context, addr string) ([]netip.Addr, uint16, error) {
	if a, err := netip.ParseAddrPort(addr); err == nil {
		return []netip.Addr{a.Addr().Unmap()}, a.Port(), nil
	}
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, 0, fail.Usagef("%q is no HOST:PORT: %w", addr, err)
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return nil, 0, err
	}
	lookup := c.lookupHost
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	ips, err := lookup(ctx, host)
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	return ips, uint16(port), err
}

// resolve finds the addresses of a member, HOST:PORT, that can be reached from where we
// listen.
func (c *Config) resolve(ctx context.Context, addr string, listen netip.AddrPort) ([]netip.AddrPort, error) {
	ips, port, err := c.lookUp(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("member %s: %w", addr, err)
	}
	ips, err = pick(addr, listen, ips...)
	at := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		at[i] = netip.AddrPortFrom(ip, port)
	}
	return at, err
}

// reaches says whether a socket bound to listen can send to ip. Bound to no address, an
// IPv6 socket is for both.
func reaches(listen, ip netip.Addr) bool {
	return ip.Is4() == listen.Is4() || !listen.Is4() && listen.IsUnspecified()
}

// pick gives those of a member's addresses that a socket bound to listen can send to.
func pick(member string, listen netip.AddrPort, ips ...netip.Addr) ([]netip.Addr, error) {
	var good []netip.Addr
	for _, ip := range ips {
		if ip = ip.Unmap(); reaches(listen.Addr(), ip) {
			good = append(good, ip)
		}
	}
	if len(good) > 0 {
		return good, nil
	}
	have, want := "IPv6", "IPv4"
	if listen.Addr().Is4() {
		have, want = want, have
	}
	return nil, fail.Errorf(errHopeless, "member %s has only an %s address, and this host listens on %s, which is %s: name an %s address by --listen, or none (:PORT) for both", member, want, listen, have, want)
}
