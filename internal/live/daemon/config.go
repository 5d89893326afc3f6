// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"sandstream/internal/fail"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
)

// Config is what a host needs to know.
type Config struct {
	Create    bool     // a new overlay; else Join
	Join      []string // HOST:PORT of members
	Listen    string   // ADDRESS:PORT of the UDP port; without address: all of them, of both families
	Advertise string   // HOST:PORT by which others reach it; "": Listen, or the address of the route to the first member
	Token     string   // join token; or
	CAFile    string   // PEM certificates
	StateDir  string   // of the host's key
	Socket    string   // path of the API's unix socket
	Metrics   string   // TCP address; "": off
	Web       string   // TCP address; "": off

	CapacityBps uint64          // that the host may send; 0: no bound
	Radix       int             // 2 or 3; 0: 3
	Protocol    *overlay.Config // times and limits; nil: overlay.DefaultConfig
	Version     string
	Log         *slog.Logger

	lookupHost   func(ctx context.Context, host string) ([]netip.Addr, error) // nil: the system's
	resolveEvery time.Duration                                                // how often a name in Advertise is looked up; 0: 1 min
	joinWithin   time.Duration                                                // how long a user waits for a host that is still joining; 0: 10 s
}

// protocol is the core's configuration.
func (c *Config) protocol() (overlay.Config, error) {
	p := overlay.DefaultConfig()
	if c.Protocol != nil {
		p = *c.Protocol
	}
	if c.Radix != 0 {
		p.Radix = c.Radix
	}
	p.CapacityBps = c.CapacityBps
	if err := p.Check(); err != nil {
		return p, fail.Usagef("%w", err)
	}
	return p, nil
}

// transport is the transport's configuration, but for the identity.
func (c *Config) transport() (transport.Config, error) {
	t := transport.Config{Log: c.Log, Build: c.Version}
	if c.Token != "" {
		tok, err := transport.ParseToken(c.Token)
		if err != nil {
			return t, fail.Usagef("%w", err)
		}
		t.Token = tok
	}
	if c.CAFile != "" {
		pool, err := transport.LoadPool(c.CAFile)
		if err != nil {
			return t, err
		}
		t.CA = pool
	}
	addr, err := net.ResolveUDPAddr("udp", c.Listen)
	if err != nil {
		return t, fail.Usagef("listen on %q: %w", c.Listen, err)
	}
	t.Listen = addr.AddrPort()
	if addr.IP == nil {
		t.Listen = netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(addr.Port))
	}
	t.Listen = netip.AddrPortFrom(t.Listen.Addr().Unmap(), t.Listen.Port())
	return t, nil
}

// identity is the host's, with a certificate by which others let it in.
func (c *Config) identity(ca *x509.CertPool) (*transport.Identity, error) {
	id, err := transport.LoadOrCreateIdentity(c.StateDir)
	if err != nil || ca == nil {
		return id, err
	}
	if err := id.Check(ca); err != nil {
		crt := filepath.Join(c.StateDir, transport.CertFile)
		return nil, fmt.Errorf("host certificate %s, checked with %s: %w: no host would let this one in; have the CA sign it "+
			"('overlayd sign CA-FOLDER %s') and put what that prints in its place", crt, c.CAFile, err, crt)
	}
	return id, nil
}

// advertised is the address that is told to other hosts.
func (c *Config) advertised(ctx context.Context, bound netip.AddrPort) (netip.AddrPort, error) {
	if c.Advertise != "" {
		return c.named(ctx, bound)
	}
	if !bound.Addr().IsUnspecified() {
		return bound, nil
	}
	network := "udp"
	if bound.Addr().Is4() {
		network = "udp4"
	}
	for _, m := range c.Join {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, m) // asks the routing table; sends nothing
		if err != nil {
			continue
		}
		local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
		conn.Close()
		return netip.AddrPortFrom(local.Addr().Unmap(), bound.Port()), nil
	}
	return bound, fail.Usagef("listening on %s, which is no address that others could reach: name one by --listen or --advertise", bound)
}

// named is the address that Advertise has now. A name may have another one later.
func (c *Config) named(ctx context.Context, bound netip.AddrPort) (netip.AddrPort, error) {
	ips, port, err := c.lookUp(ctx, c.Advertise)
	if err != nil {
		return netip.AddrPort{}, fail.Usagef("advertise %q: %w: name an ADDRESS:PORT or HOST:PORT that others could reach", c.Advertise, err)
	}
	if port == 0 {
		port = bound.Port()
	}
	for _, ip := range ips {
		if !ip.IsUnspecified() && reaches(bound.Addr(), ip) {
			return netip.AddrPortFrom(ip, port), nil
		}
	}
	return netip.AddrPort{}, fail.Usagef("advertise %q: no address that others could reach, by the family of %s, which this host listens on", c.Advertise, bound.Addr())
}
