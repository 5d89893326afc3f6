// SPDX-License-Identifier: Apache-2.0

// Package daemon is a host of the overlay: it wires the protocol (package overlay),
// the transport, what local users get of their streams (package delivery) and the
// servers through which they reach the host (package control), and keeps the host's
// life: configuration, state folder, joining, leaving, the service manager's
// notifications. Command overlayd runs it.
//
// # Goroutines
//
// The loop (type loop) owns the protocol: one goroutine at a time, and none while
// there is nothing to do. It takes control messages, requests of users and the time, and
// carries out the protocol's effects: messages to the transport, forwarding entries
// and changes of contracts to package delivery, events to package control and the
// log. What is the loop's needs no lock; others get at it by do, which waits, or by
// the loop's post. Stream data never passes it.
//
// Starting and ending are in one order: state folder, transport, streams, servers;
// back, the servers end first, while the loop still serves the calls that end with
// them, then the loop, the transport, and the engine that the transport's
// goroutines call.
package daemon
