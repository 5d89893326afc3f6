// SPDX-License-Identifier: Apache-2.0

// Package control is how users and operators reach the daemon: the control API on
// its unix socket, and where they are wanted the web page and the metrics.
//
// Package daemon opens a Server, which listens, and starts it with a Host: the
// interface by which this package sees the daemon, its protocol and its streams. It
// imports package delivery, one way, for what passes between a user and his stream:
// a Publication, a Reader, its packets and counts. Else each packet would be copied
// into a type of this package on its way out.
//
// # Goroutines
//
// net/http runs each call in a goroutine of its own. What a call needs of the
// daemon's loop it gets within Host.Inspect, whose function runs there: what that
// takes out must be copies, and it must not block. Event and Changed are called by the
// loop, and never wait for anybody; the one lock, that of watchers, is held for
// sends that do not block.
package control
