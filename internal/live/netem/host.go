// SPDX-License-Identifier: Apache-2.0

package netem

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Errors of Open that say that this machine or this user cannot run the emulator.
var (
	ErrNotSupported = errors.New("netem: not supported here")
	ErrPermission   = errors.New("netem: not permitted")
)

// Values of linux/virtio_net.h.
const (
	vnetHeaderLen = 10
	vnetNeedsCsum = 1
)

// device is the name of the TUN device in each namespace.
const device = "ow0"

// host is a namespace and the far end of its device.
type host struct {
	ns  netns.NsHandle
	far farEnd
}

// farEnd is what packets of a host are read from and written to, behind a header of
// the device's kind. Reads and writes do not block.
type farEnd struct {
	fd     int
	header []byte // of what is written
	// The peer of a VETH device and its socket live in a namespace of their own.
	ns netns.NsHandle
}

func (f farEnd) close() {
	unix.Close(f.fd)
	if f.ns > 0 {
		f.ns.Close()
	}
}

// inNamespace runs f in ns on a thread of its own; in the namespace with ns < 0 it
// makes a new one. Nothing else may run there: if the way back fails, the thread ends
// with the goroutine.
func inNamespace(ns netns.NsHandle, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- func() error {
			back, err := netns.Get()
			if err != nil {
				return fmt.Errorf("netem: own network namespace: %w", err)
			}
			defer back.Close()
			if ns < 0 {
				err = unix.Unshare(unix.CLONE_NEWNET)
			} else {
				err = netns.Set(ns)
			}
			if errors.Is(err, unix.EPERM) {
				return fmt.Errorf("%w: a network namespace needs CAP_SYS_ADMIN; run as root or with 'unshare --map-root-user --net'", ErrPermission)
			}
			if err != nil {
				return fmt.Errorf("netem: network namespace: %w", err)
			}
			err = f()
			if netns.Set(back) == nil {
				runtime.UnlockOSThread()
			}
			return err
		}()
	}()
	return <-done
}

// openHost makes a namespace with a device of address addr.
func openHost(kind Device, addr netip.Prefix, mtu int) (h host, err error) {
	err = inNamespace(-1, func() error {
		if h.ns, err = netns.Get(); err != nil {
			return fmt.Errorf("netem: new network namespace: %w", err)
		}
		if kind == VETH {
			h.far, err = openVETH()
		} else {
			h.far, err = openTUN()
		}
		if err == nil {
			err = configure(addr, mtu)
			if err == nil && h.far.ns > 0 {
				err = h.far.awaitPeer()
			}
			if err != nil {
				h.far.close()
			}
		}
		if err != nil {
			h.ns.Close()
		}
		return err
	})
	return h, err
}

// openTUN opens a TUN device in the calling thread's namespace. The kernel may leave
// checksums to us (without that it refuses UDP segmentation offload on some versions)
// but must cut large packets itself: each packet is lost or delayed on its own.
func openTUN() (farEnd, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return farEnd{}, fmt.Errorf("%w: /dev/net/tun: %w; load the module: modprobe tun (kernel option CONFIG_TUN)", ErrNotSupported, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return farEnd{}, fmt.Errorf("%w: /dev/net/tun: %w; run as root or chmod 666 /dev/net/tun", ErrPermission, err)
	case err != nil:
		return farEnd{}, fmt.Errorf("netem: /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(device)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err == nil {
		err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM)
	}
	if err != nil {
		unix.Close(fd)
		return farEnd{}, fmt.Errorf("netem: TUN device: %w", err)
	}
	return farEnd{fd: fd, header: make([]byte, vnetHeaderLen)}, nil
}

// configure brings up loopback and the device in the calling thread's namespace.
func configure(addr netip.Prefix, mtu int) error {
	// Nothing here speaks IPv6; without it no router solicitations are counted as
	// packets nobody can route. A kernel without IPv6 has no such file.
	err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("netem: %w", err)
	}
	for _, name := range []string{"lo", device} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("netem: device %s: %w", name, err)
		}
		if name == device {
			ip := &net.IPNet{IP: addr.Addr().AsSlice(), Mask: net.CIDRMask(addr.Bits(), 32)}
			if err = netlink.AddrAdd(link, &netlink.Addr{IPNet: ip}); err != nil {
				return fmt.Errorf("netem: address %s: %w", addr, err)
			}
			if err = netlink.LinkSetMTU(link, mtu); err != nil {
				return fmt.Errorf("netem: MTU %d: %w", mtu, err)
			}
			// The default of 500 packets is less than a burst of a segmented send.
			if err = netlink.LinkSetTxQLen(link, 10000); err != nil {
				return fmt.Errorf("netem: queue length: %w", err)
			}
		}
		if err = netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("netem: device %s: %w", name, err)
		}
	}
	return nil
}

func (h host) close() {
	h.far.close()
	h.ns.Close()
}
