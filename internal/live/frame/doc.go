// SPDX-License-Identifier: Apache-2.0

// Package frame is the header of a stream's packets on the overlay.
//
// It is 48 bytes, big-endian, in front of the payload of a UDP datagram. The C
// twin is sandboxlib/include/spa/stream.h; the two must agree.
//
//	off size field
//	 0   1   version = 1
//	 1   1   flags: 1 KEY  2 DISCARDABLE  4 COMPRESSED  8 END  16 BEAT
//	 2   2   path: which of several parallel paths, 0 if there is one
//	 4   4   budget_us: latency budget left, 0xffffffff: none
//	 8  16   stream id, 128 random bits
//	24   8   seq: the publisher's sequence number in the stream, from 1
//	32   8   sent_ns: the publisher's clock when the packet was published
//	40   4   elapsed_us: link costs and residence times so far; saturates
//	44   2   hops travelled; saturates
//	46   2   reserved, 0
//
// Decode is strict: what it accepts, Encode gives back byte for byte. Neither
// allocates.
package frame
