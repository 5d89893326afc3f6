// SPDX-License-Identifier: Apache-2.0

// Package xsk opens zero-copy AF_XDP sockets.
//
// It asks for zero copy and for nothing less: the kernel's copy mode and generic
// XDP never reach the upcall, so a driver that cannot do it is an error here.
//
// A Socket has its own frames (UMEM) and four rings. Given to the uls module its
// rings belong to a stream processing agent, and nobody here touches an index
// again; the kernel keeps socket, frames and rings for as long as the module
// holds them, so the process may close everything and exit. Without the module a
// Socket is an ordinary AF_XDP socket: see Fill, Receive, Send and Complete.
package xsk
