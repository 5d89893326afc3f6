// SPDX-License-Identifier: Apache-2.0

// Package frame is the header of a stream's packets on the overlay, version 2.
//
// It is 64 bytes, big-endian, in front of the payload of a UDP datagram. The C
// twin is sandboxlib/include/spa/stream.h; the two must agree (TestKnownAnswer
// and sandboxlib/tests/t_stream.c hold the same bytes).
//
//	off size field
//	 0   1   version = 2
//	 1   1   flags: 1 KEY  2 DISCARDABLE  4 COMPRESSED  8 END  16 BEAT
//	        32 ALONE
//	 2   1   drop class: 0 keep; the higher, the sooner it may go
//	 3   1   reserved, 0
//	 4   1   place of the packet in its message, from 0
//	 5   1   place of the message's last packet: 0 if it is one packet
//	 6   2   reserved, 0
//	 8  16   stream id, 128 random bits
//	24   8   seq: the publisher's number of the packet in the stream, from 1
//	32   8   sent_ns: the publisher's clock when the message was published
//	40   8   sealer: whose key the payload is sealed under
//	48   4   epoch of the stream's key
//	52   2   path: which of several parallel paths, 0 if there is one
//	54   1   hops travelled; saturates
//	55   1   marks: 1 THINNED
//	56   4   budget_us: latency budget left, 0xffffffff: none
//	60   4   elapsed_us: link costs and residence times so far; saturates
//
// The first 52 bytes are the sealer's: they are associated data of the payload's
// seal (package seal), so that nobody changes them who has not the stream's key.
// The last 12 are every hop's to change. Hops authenticate all 64 to one another.
//
// Behind the header comes the sealed payload and its tag of 16 bytes; or nothing,
// if a relay has taken the payload out because of the drop class: such a packet
// bears the mark THINNED, and keeps its place in the numbering. Where the payload
// is in the clear, at the publisher, at a subscriber and at a host that was given
// the key, there is no tag (DecodePlain). The size of a payload is that of the
// datagram less the headers: nothing here knows how much a link carries.
//
// A message of more than one packet has its packets under numbers that follow one
// another, and all bear the same last place: at most 256 packets. Unless they are
// marked ALONE, the message is of use as a whole only.
//
// Decode is strict: what it accepts, Encode gives back byte for byte. Neither
// allocates.
package frame
