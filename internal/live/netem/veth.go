// SPDX-License-Identifier: Apache-2.0

package netem

import (
	"errors"
	"fmt"
	"net"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	etherHeaderLen = 14
	peerDevice     = "ow0peer"
)

// openVETH makes a pair of devices: one for the calling thread's namespace, the other
// in a new namespace that holds nothing else, with a packet socket on it. The
// namespace is in no program's way, and what the peer sees is for the socket only.
func openVETH() (f farEnd, err error) {
	host, err := netns.Get()
	if err != nil {
		return f, fmt.Errorf("netem: network namespace: %w", err)
	}
	defer host.Close()
	err = inNamespace(-1, func() error {
		if f.ns, err = netns.Get(); err != nil {
			return fmt.Errorf("netem: new network namespace: %w", err)
		}
		if err = makePair(host); err == nil {
			f.fd, err = openPeer()
		}
		if err != nil {
			f.ns.Close()
		}
		return err
	})
	if err != nil {
		return farEnd{}, err
	}
	near, err := prepareNear()
	if err != nil {
		f.close()
		return farEnd{}, err
	}
	// Without ARP a host addresses what it sends to itself; what it receives must be
	// addressed to it as well.
	f.header = append(f.header, near...)
	f.header = append(f.header, 2, 0, 0, 0, 0, 1, 8, 0) // from nobody in particular; IPv4
	return f, nil
}

// makePair makes both devices in the calling thread's namespace and moves one to host.
func makePair(host netns.NsHandle) error {
	err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: peerDevice}, PeerName: device, PeerNamespace: netlink.NsFd(host),
	})
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: virtual Ethernet pairs: %w; load the module: modprobe veth (kernel option CONFIG_VETH)", ErrNotSupported, err)
	case err != nil:
		return fmt.Errorf("netem: virtual Ethernet pair: %w", err)
	}
	peer, err := netlink.LinkByName(peerDevice)
	if err == nil {
		// It is never the bottleneck: the host's MTU is what counts.
		err = errors.Join(netlink.LinkSetMTU(peer, 65535), netlink.LinkSetUp(peer))
	}
	if err != nil {
		return fmt.Errorf("netem: device %s: %w", peerDevice, err)
	}
	return nil
}

// openPeer opens a packet socket on the peer. Its packets come as they are on a wire:
// see prepareNear.
func openPeer() (int, error) {
	i, err := net.InterfaceByName(peerDevice)
	if err != nil {
		return -1, fmt.Errorf("netem: %w", err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return -1, fmt.Errorf("%w: packet sockets: %w; load the module: modprobe af_packet (kernel option CONFIG_PACKET)", ErrNotSupported, err)
	}
	if err != nil {
		return -1, fmt.Errorf("netem: packet socket: %w", err)
	}
	err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if err == nil {
		// Not permitted in a user namespace: then what the system allows must do.
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) != nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 16<<20)
		}
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: 0x0008, Ifindex: i.Index}) // ETH_P_IP in network order
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("netem: packet socket: %w", err)
	}
	return fd, nil
}

// awaitPeer waits until the kernel has noticed that both ends are up, which it does in
// its own time: before, what is sent on the peer is dropped without a word.
func (f farEnd) awaitPeer() error {
	return inNamespace(f.ns, func() error {
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			peer, err := netlink.LinkByName(peerDevice)
			if err != nil {
				return fmt.Errorf("netem: device %s: %w", peerDevice, err)
			}
			if peer.Attrs().OperState == netlink.OperUp {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("netem: device %s: still %v after 10 s", peerDevice, peer.Attrs().OperState)
			}
		}
	})
}

// prepareNear turns off what would let the host send anything but finished packets:
// address resolution, checksums left to the device, large packets. It gives the
// device's hardware address.
func prepareNear() (net.HardwareAddr, error) {
	near, err := netlink.LinkByName(device)
	if err == nil {
		err = errors.Join(netlink.LinkSetARPOff(near), netlink.LinkSetGSOMaxSegs(near, 1), txChecksumOff())
	}
	if err != nil {
		return nil, fmt.Errorf("netem: device %s: %w", device, err)
	}
	return near.Attrs().HardwareAddr, nil
}

// txChecksumOff asks for finished checksums (ETHTOOL_STXCSUM).
func txChecksumOff() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	value := struct{ cmd, data uint32 }{unix.ETHTOOL_STXCSUM, 0}
	req := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte // the rest of struct ifreq
	}{data: unsafe.Pointer(&value)}
	copy(req.name[:], device)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return fmt.Errorf("checksum offload: %w", errno)
	}
	return nil
}
