// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"net"
	"os"
	"sync"
	"time"
)

// quicBit is set in the first byte of a QUIC packet, and in that of no sealed
// datagram (RFC 9443): QUIC's fixed bit, and its bit of a long header, which are
// both above the types of datagrams.
const quicBit = 0x40

// longHeader is set, beside quicBit, in packets that can begin a connection.
const longHeader = 0x80

// isQUIC says whose datagram it is that begins with first.
func isQUIC(first byte) bool { return first >= quicBit }

// quicQueue bounds the packets that wait for the QUIC library: handshakes and
// long control messages are few.
const quicQueue = 256

// quicSide is the port as the QUIC library sees it: the reader of the socket gives
// it the packets that are QUIC's. It is a net.PacketConn, and for the library no UDP
// socket, whose batch buffers would be for a few packets a minute.
type quicSide struct {
	u *udpBatch

	mu      sync.Mutex
	more    sync.Cond // of mu
	queue   []quicPacket
	expired bool // the deadline: the library only sets one that is past, to be woken
	closed  bool
}

type quicPacket struct {
	b    []byte
	from *net.UDPAddr
}

func newQUICSide(u *udpBatch) *quicSide {
	q := &quicSide{u: u}
	q.more.L = &q.mu
	return q
}

// push takes a copy of a packet; it says whether there was room.
func (q *quicSide) push(b []byte, from *net.UDPAddr) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.queue) >= quicQueue {
		return false
	}
	q.queue = append(q.queue, quicPacket{append([]byte(nil), b...), from})
	q.more.Signal()
	return true
}

// drop forgets what nobody has read.
func (q *quicSide) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = nil
}

// ReadFrom gives the next packet.
func (q *quicSide) ReadFrom(b []byte) (int, net.Addr, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.queue) == 0 && !q.expired && !q.closed {
		q.more.Wait()
	}
	switch {
	case q.closed:
		return 0, nil, net.ErrClosed
	case q.expired:
		return 0, nil, os.ErrDeadlineExceeded
	}
	p := q.queue[0]
	q.queue[0] = quicPacket{}
	if q.queue = q.queue[1:]; len(q.queue) == 0 {
		q.queue = nil
	}
	return copy(b, p.b), p.from, nil
}

// WriteTo sends a packet.
func (q *quicSide) WriteTo(b []byte, to net.Addr) (int, error) { return q.u.conn.WriteTo(b, to) }

// Close ends reading; the socket is the transport's.
func (q *quicSide) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.queue = true, nil
	q.more.Broadcast()
	return nil
}

// LocalAddr is the port's address.
func (q *quicSide) LocalAddr() net.Addr { return q.u.conn.LocalAddr() }

// SetReadDeadline ends a read at once, or allows reading again.
func (q *quicSide) SetReadDeadline(t time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expired = !t.IsZero() && !t.After(time.Now())
	q.more.Broadcast()
	return nil
}

// SetDeadline is SetReadDeadline: writing does not wait.
func (q *quicSide) SetDeadline(t time.Time) error { return q.SetReadDeadline(t) }

// SetWriteDeadline does nothing: writing does not wait.
func (q *quicSide) SetWriteDeadline(time.Time) error { return nil }

// SetReadBuffer does nothing: the socket has its buffers.
func (q *quicSide) SetReadBuffer(int) error { return nil }

// SetWriteBuffer does nothing either.
func (q *quicSide) SetWriteBuffer(int) error { return nil }
