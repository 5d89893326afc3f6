// SPDX-License-Identifier: Apache-2.0

// Command ynlgen writes what Go and readers need of the end host's binary
// interface:
//
//	netlink.go   commands, attributes and enumerations of the netlink family,
//	             from the specification kmod/uapi/uls.yaml
//	shm.go       constants and structures shared with an SPA, from
//	             kmod/uapi/uls_shm.h as the C compiler lays them out
//	abi.md       the family as a document
//
// The C side of the family comes from the kernel's own generator; see
// kmod/generate.sh, which runs both.
package main
