// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
)

// output is where payloads go.
type output interface {
	io.Writer
	Flush() error
}

// sink is stdout, or a UDP socket that sends each write as one datagram.
func sink(cmd *cobra.Command, udp, udpInterface string) (output, error) {
	if udp == "" {
		if udpInterface != "" {
			return nil, fail.Usagef("--udp-interface needs --udp with a multicast address")
		}
		if f, ok := cli.Underlying(cmd.OutOrStdout()).(*os.File); ok && closed(f) {
			fmt.Fprintln(cmd.ErrOrStderr(), "standard output is closed, or was given as /dev/null: payloads are counted and go nowhere (redirect it to a file or a pipe, or give --udp)")
		}
		return bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10), nil
	}
	conn, err := net.Dial("udp", udp)
	if err != nil {
		return nil, fail.Usagef("--udp %q: %w", udp, err)
	}
	if udpInterface != "" {
		if err := sendThrough(conn.(*net.UDPConn), udpInterface); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return datagrams{conn}, nil
}

// closed says whether the program may have been started with f closed. Go's runtime puts
// /dev/null in its place, opened for reading too. Programs that start others do the same
// (daemon(3), Python's subprocess.DEVNULL), so that it is no reason to end.
func closed(f *os.File) bool {
	var st, null unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || unix.Stat(os.DevNull, &null) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != null.Rdev {
		return false
	}
	mode, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	return err == nil && mode&unix.O_ACCMODE == unix.O_RDWR
}

// multicastInterface is the interface of a name, for the group at an address.
func multicastInterface(name string, group netip.Addr) (*net.Interface, error) {
	if !group.IsMulticast() {
		return nil, fail.Usagef("--udp-interface %s: %s is no multicast address, whose interface the routes choose", name, group)
	}
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fail.Usagef("--udp-interface %s: there is no such network interface ('ip link' lists them)", name)
	}
	return i, nil
}

// sendThrough chooses the interface that multicast is sent through.
func sendThrough(c *net.UDPConn, name string) error {
	group := c.RemoteAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	i, err := multicastInterface(name, group)
	if err != nil {
		return err
	}
	if group.Is4() {
		err = ipv4.NewPacketConn(c).SetMulticastInterface(i)
	} else {
		err = ipv6.NewPacketConn(c).SetMulticastInterface(i)
	}
	if err != nil {
		return fail.Usagef("--udp-interface %s: %w", name, err)
	}
	return nil
}

type datagrams struct{ net.Conn }

// Write sends a datagram. A port where nobody listens yet is no reason to end.
func (d datagrams) Write(p []byte) (int, error) {
	if n, err := d.Conn.Write(p); err == nil {
		return n, nil
	}
	return d.Conn.Write(p) // the error was the answer to the datagram before
}

func (d datagrams) Flush() error { return nil }
