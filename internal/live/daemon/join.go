// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"sandstream/internal/fail"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay/wire"
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
	said := map[string]string{}
	for {
		found, err := d.ask(ctx, addrs, said)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			d.membership.fail(fmt.Errorf("join: %w", err))
			return
		case len(found) > 0:
			d.log.Info("joining", "through", found[0].String())
			d.loop.post(func() { d.node.Join(d.now(), found) })
			return
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}

// ask tries all members once, and gives those that answer. An error says why there is
// no hope that one ever will. said is what the log has of each member already.
func (d *Daemon) ask(ctx context.Context, addrs []string, said map[string]string) ([]wire.Peer, error) {
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
			return nil, err
		}
		switch {
		case errors.Is(err, transport.ErrSelf):
			twin = err
		case errors.Is(err, errHopeless):
			hopeless++
			why = err
		case errors.Is(err, transport.ErrToken) || errors.Is(err, transport.ErrCA) || errors.Is(err, fail.ErrUsage):
			return nil, err
		}
		if said[a] != err.Error() {
			said[a] = err.Error()
			d.log.Warn("join", "member", a, "err", err)
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case twin != nil:
		return nil, twin
	case hopeless == len(addrs):
		return nil, fail.Usagef("%w", why)
	}
	return nil, nil
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
