// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// SupportedDrivers are those with AF_XDP zero copy, which an SPA's port needs.
const SupportedDrivers = "e1000e (with this project's patches), ixgbe, i40e, ice, igb, igc, mlx5, stmmac, gve and others with AF_XDP zero copy"

// device finds a network device by name; the error lists those that are there.
func device(op, name string) (*net.Interface, error) {
	ifi, err := net.InterfaceByName(name)
	if err == nil {
		return ifi, nil
	}
	all, lerr := net.Interfaces()
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	e := errorf(op, name, os.ErrNotExist, "there is no such network device")
	if lerr == nil && len(names) > 0 {
		e = e.hint("there are: %s", strings.Join(names, ", "))
	}
	return nil, e
}

// Numbers of the kernel's family "netdev" (linux/netdev.h).
const (
	netdevCmdDevGet         = 1
	netdevAttrIfindex       = 1
	netdevAttrXDPFeatures   = 3
	netdevXDPActXSKZeroCopy = 1 << 3
)

// zeroCopy asks the kernel whether a device's driver can do AF_XDP zero copy.
// known is false on kernels that do not tell.
func zeroCopy(ifindex int) (can, known bool) {
	c, err := genetlink.Dial(nil)
	if err != nil {
		return false, false
	}
	defer c.Close()
	f, err := c.GetFamily("netdev")
	if err != nil {
		return false, false
	}
	ae := netlink.NewAttributeEncoder()
	ae.Uint32(netdevAttrIfindex, uint32(ifindex))
	data, err := ae.Encode()
	if err != nil {
		return false, false
	}
	msgs, err := c.Execute(genetlink.Message{
		Header: genetlink.Header{Command: netdevCmdDevGet, Version: 1}, Data: data,
	}, f.ID, netlink.Request)
	if err != nil || len(msgs) != 1 {
		return false, false
	}
	err = decode(msgs[0].Data, func(ad *netlink.AttributeDecoder) {
		if ad.Type() == netdevAttrXDPFeatures {
			known = true
			can = ad.Uint64()&netdevXDPActXSKZeroCopy != 0
		}
	})
	return can, known && err == nil
}

// driver returns the name of a device's driver, or "unknown".
func driver(name string) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "unknown"
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, name)
	if err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(info.Driver[:])
}

func noZeroCopy(op string, ifi *net.Interface) error {
	return errorf(op, ifi.Name, ErrNotSupported, "its driver (%s) cannot do AF_XDP zero copy", driver(ifi.Name)).
		hint("supported are %s", SupportedDrivers)
}

// explainPort puts an error of attaching XDP or binding the socket in words.
func explainPort(op string, ifi *net.Interface, queue int, err error) error {
	object := fmt.Sprintf("%s queue %d", ifi.Name, queue)
	switch {
	case errors.Is(err, os.ErrPermission):
		return &Error{
			Op: op, Object: object, Text: err.Error(), Err: err,
			Hint: "CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF are needed: run it as root",
		}
	case errors.Is(err, ErrNotSupported):
		return noZeroCopy(op, ifi)
	case errors.Is(err, unix.EBUSY), errors.Is(err, os.ErrExist):
		return errorf(op, object, ErrBusy, "%v", err).
			hint("another program has this queue or this device's XDP hook: 'ulsctl list' and 'ip link show %s' tell which", ifi.Name)
	case errors.Is(err, unix.ENETDOWN):
		return errorf(op, object, err, "the device is down").hint("ip link set %s up", ifi.Name)
	case errors.Is(err, unix.EINVAL):
		return errorf(op, object, errors.Join(err, ErrInvalid), "%v", err).
			hint("does the device have this queue, and an MTU of at most 1500?")
	}
	return &Error{Op: op, Object: object, Text: err.Error(), Err: err}
}

// neighbour looks the MAC address of a neighbour up in the kernel's table.
func neighbour(dev string, ip netip.Addr) ([6]byte, error) {
	f, err := os.Open("/proc/net/arp")
	if err != nil {
		return [6]byte{}, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// address, type, flags, MAC, mask, device
		w := strings.Fields(lines.Text())
		if len(w) == 6 && w[0] == ip.String() && w[5] == dev {
			if m, err := parseMAC(w[3]); err == nil && m != [6]byte{} {
				return m, nil
			}
		}
	}
	return [6]byte{}, errors.Join(fmt.Errorf("no neighbour %v on %s", ip, dev), lines.Err())
}

// resolve fills in the destination MAC address of a forwarded flow.
func (f *Flow) resolve(op, dev string) error {
	if !f.Forward || f.NewDstMAC != [6]byte{} {
		return nil
	}
	if !f.NewDstIP.IsValid() {
		return errorf(op, f.String(), ErrInvalid, "it keeps the address, so the next station is not known").
			hint("add 'mac ADDRESS'")
	}
	m, err := neighbour(dev, f.NewDstIP)
	if err != nil {
		return errorf(op, f.String(), ErrInvalid, "the MAC address of %v is not known", f.NewDstIP).
			hint("ping it first, or add 'mac ADDRESS' (of the gateway if it is not on this network)")
	}
	f.NewDstMAC = m
	return nil
}
