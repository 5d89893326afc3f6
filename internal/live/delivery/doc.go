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
// It also keeps the streams' keys: a publication's book of who has which (book), and what
// is had or sought of others' (keys); package grant is what is said about them, and the
// protocol carries it.
//
// # Goroutines
//
// Streams, with its flows, subscriptions and ticks, belongs to the daemon's loop:
// its methods are called there, one at a time, and take no lock of their own. Plan,
// Subscribe and Engine are the exceptions, for any goroutine; so are all methods of the
// Publication and the Reader that the first two give, by which users send and receive.
//
// Packets never pass the loop. The transport's goroutines call pipelines and
// orderers, each under its own lock for one batch, and an orderer hands what is in
// order to its Reader. Of these locks two are held at once only in that order: a
// slot's and then that of spas (an SPA fails), an orderer's and then its Reader's. The
// loop takes them to read counters and to change SPAs, and waits in Sink.Close for
// the transport's callbacks; none of those waits for the loop.
package delivery
