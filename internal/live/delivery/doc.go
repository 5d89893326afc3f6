// SPDX-License-Identifier: Apache-2.0

// Package delivery is what local users get of the overlay: their streams leave
// and arrive in order, whole and measured, and pass the SPAs that a stream asks
// for on this host.
//
// Package daemon calls it. Between the protocol, which says what passes here
// (overlay.ForwardEntry, overlay.SubChanged), and the transport, which moves
// packets, it keeps the transport's table of streams with their SPAs (flow), joins
// the parts of a split stream (parts.go), puts a subscriber's packets in order and
// frees them of duplicates (orderer), and tells the protocol what was delivered,
// which that compares with the contract. Of the protocol it calls the few methods
// of interface Protocol; of the control API it knows nothing.
//
// # Goroutines
//
// Streams, with its flows, subscriptions and ticks, belongs to the daemon's loop:
// its methods are called there, one at a time, and take no lock. Plan and
// Subscribe are the exceptions, for any goroutine; so are all methods of the
// Publication and the Reader they give, by which users send and receive.
//
// Packets never pass the loop. The transport's goroutines call pipelines and
// orderers, and an orderer hands what is in order to its Reader. Locks are taken in
// this order, each held for one batch: the SPA's (slot), the orderer's, the
// Reader's. The loop takes the same locks to read counters and to change SPAs, never
// two at once.
package delivery
