// SPDX-License-Identifier: Apache-2.0

// Package daemon is a host of the overlay: it wires the protocol core (package
// overlay), the transport and the engine that runs SPAs, and serves the control
// API, the web page and the metrics.
//
// The loop (type loop) owns the core: one goroutine at a time, and none while there
// is nothing to do. It takes control messages, requests of the API
// and the time, and carries out the core's effects: messages to the transport,
// forwarding entries with their SPAs to its table, changes of contracts to the
// subscribers. Stream data never passes it: the transport's goroutines move
// packets from socket to socket, and call SPAs and local readers.
//
// A subscriber's packets are put in order and freed of duplicates here (type
// orderer), and what is delivered is measured: that is what the core compares
// with the contract.
package daemon
