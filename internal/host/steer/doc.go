// SPDX-License-Identifier: Apache-2.0

// Package steer decides which frames of a device go to AF_XDP sockets: chosen
// UDP flows do, the rest (ssh, ARP, ...) goes on to the kernel's stack.
//
// A device has one XDP program, in the driver's native mode or not at all, and
// two maps: sockets by queue (an XSKMAP) and flows by destination address,
// destination port and queue. All three are pinned below /sys/fs/bpf/uls/DEVICE,
// so they outlive the process that made them and a later one can change flows.
//
// A frame is redirected only if its flow is in one map and its queue has a
// socket in the other. A socket that is closed leaves its map by itself: traffic
// is then back with the kernel's stack without anybody's help. That is what
// makes it safe to abort a stream processing agent from the kernel.
//
// Matched are frames of untagged Ethernet with IPv4 without options that are not
// fragments. Everything else passes.
package steer
