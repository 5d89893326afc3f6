// SPDX-License-Identifier: Apache-2.0

// Package uls controls user-level sandboxing: it is the client of the kernel
// module's generic netlink family "uls", as wgctrl is WireGuard's.
//
// A stream processing agent (SPA) is native code in an ELF file. The kernel runs
// it at user level, at interrupt time, over whatever process is current, each
// time a network card has put a batch of frames into its memory.
//
// # Looking
//
// Reading needs no privileges, except the log:
//
//	c, err := uls.New()
//	if err != nil {
//		return err // says what is missing and the way out
//	}
//	defer c.Close()
//	spas, err := c.SPAs()
//
// Info, SPAs, SPA, SPAByName, Stats, Log and Subscribe (events) are the readers.
//
// # Mapping
//
// Map does everything that it takes to put an SPA in front of a device: it checks
// the ELF file, loads and relocates it, steers the chosen UDP flows to a
// zero-copy AF_XDP socket, hands the socket to the module and tells the SPA its
// parameters and flows. It either succeeds or leaves nothing behind.
//
//	flow, err := uls.ParseFlow("udp dst 10.0.1.1:9000 -> 10.0.2.2:9001 mac 52:54:00:00:00:02")
//	...
//	spa, err := c.Map(uls.MapOptions{File: "forward.spa", Device: "eth0", Flows: []uls.Flow{flow}})
//
// When Map returns, the process may exit: the module keeps the socket, and the XDP
// program is pinned below /sys/fs/bpf/uls. Replace exchanges the code under
// traffic, Unmap undoes everything. An SPA that faults, overruns its budget or
// makes a system call it must not is taken out of service by the kernel: its
// traffic is then the kernel stack's again, an event tells, and the record stays
// in the list as "aborted" until Unmap.
//
// # Errors
//
// An error carries operation and object, and the kernel's own words where it gave
// some. Test with errors.Is: ErrNotSupported (no patched kernel, no module, a
// driver that cannot do it), os.ErrPermission, os.ErrNotExist, os.ErrExist,
// ErrBusy. errors.As with *Error gives the parts.
package uls
