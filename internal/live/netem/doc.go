// SPDX-License-Identifier: Apache-2.0

// Package netem puts real programs on an emulated network, on one Linux machine
// and without the kernel's own emulation.
//
// Each host is a network namespace with one device, 10.77.x.y/16: a TUN device, or
// where the machine has none a virtual Ethernet pair. The other ends of all devices are
// held by this process, where one thread moves IPv4 packets between them: after a
// delay with jitter, at a rate, with loss and duplicates, all per ordered pair of hosts
// (Link). TransitStub draws the delays from an Internet-like graph. At run time links change (SetLink), the hosts fall
// into parts that cannot reach one another (Partition, Heal) and single hosts
// drop off the network (Cut, Restore).
//
//	net, err := netem.Open(netem.Options{Hosts: 16, Seed: 1})
//	net.SetLinks(matrix)
//	cmd := net.Command(3, "ping", "-c1", net.Addr(4).String())
//	err = net.Do(3, func() error { conn, err = net.ListenUDP(...); return err })
//
// Every packet is seen by Options.Watch, as it enters, and when it is delivered or
// dropped, with the reason; Options.Capture takes the same as pcapng with two
// interfaces for each host. What a test learns this way does not depend on the
// programs under test.
//
// Which packets are lost and how much jitter the n-th packet of a pair gets depends
// on the seed only. Which packet is the n-th, and the time at which it comes, is up
// to the programs: runs with real programs are not repeatable in the small.
//
// The namespaces have no name. They end with the last process in them, and programs
// started by Command are killed when this process dies, so nothing is left behind,
// whatever way it ends.
//
// Open needs root, or a user namespace where the caller is root (InUserNamespace),
// and /dev/net/tun or the kernel's veth and packet sockets. Otherwise its error is
// ErrNotSupported or ErrPermission, and says what is missing.
package netem
